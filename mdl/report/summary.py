"""What `mdl report --json` says of each run: the page's main numbers as plain values."""

from typing import Any

from mdl.report.measurements import MeasuredRun


def summarize_run(measured: MeasuredRun) -> dict[str, Any]:
    """Primitives. Errors and accuracies are fractions, lengths are bits; None is not measured."""
    run, bits, filters = measured.run, measured.bits, measured.filters
    checkpoint = run.checkpoint
    last = run.points[-1] if run.points else None
    report = None if bits is None else bits.report
    return {
        "run": str(run.path),
        "name": run.name,
        "finished": run.is_finished,
        "epochs_done": None if last is None else last.epoch,
        "network": None if checkpoint is None else checkpoint.network.name,
        "num_weights": None if checkpoint is None else checkpoint.network.num_weights,
        "num_nonzeros": None if checkpoint is None else sum(checkpoint.num_nonzeros.values()),
        "test_accuracy": _last(measured, "test_accuracy"),
        "validation_accuracy": _last(measured, "validation_accuracy"),
        "seconds": None if last is None else last.seconds,
        "filter_ratio": None if filters is None else filters.summary.ratio,
        "code": None if bits is None else bits.codeword.code,
        "description_bits": None if bits is None else bits.codeword.num_bits,
        "bound": None if report is None else report.bound.value,
        "missing": [text for text in (measured.no_filters, bits.missing if bits else "") if text],
    }


def _last(measured: MeasuredRun, field: str) -> float | None:
    found = [getattr(point, field) for point in measured.run.points]
    values: list[float] = [value for value in found if value is not None]
    return values[-1] if values else None
