"""What `mdl sparse` shows: tables of time, memory and layers, plain values, and pictures."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from figures.sparse_training import LayerRecord, RunCosts, draw_run_costs, draw_screened
from figures.style.look import figure_style, save_figure_pair
from mdl.experiments.reproduce.tables import MISSING
from mdl.experiments.sparse_gain.gain import Projection, SparseGain
from mdl.experiments.sparse_gain.record import RunRecord
from mdl.terminal import console
from mdl.terminal.console import duration, epochs_text

ASSUMPTION = (
    "A projection, not a measurement: every epoch beyond these runs is taken to last as long as "
    "one of their last tenth. The learning rate of a longer run falls more slowly, so its layers "
    "would become sparse at another epoch, and its rows be screened at another rate."
)

_TIMES = ("", "epochs", "dense", "sparse", "dense / sparse")


def gain_to_dict(gain: SparseGain, projection: Projection) -> dict[str, Any]:
    """Primitives only, for JSON."""
    phases = {
        "whole": gain.whole,
        "before_handover": gain.before,
        "after_handover": gain.after,
        "last_tenth": gain.last,
        "all_dense": gain.all_dense,
    }
    runs = {"dense": (gain.dense, gain.dense_memory), "sparse": (gain.sparse, gain.sparse_memory)}
    return {
        "runs": {
            name: {
                "run": str(record.path),
                "test_errors": record.test.num_errors,
                "num_test": record.test.num_samples,
                "test_accuracy": record.test.accuracy,
                "memory": asdict(memory),
                "bytes_per_nonzero": gain.bytes_per_nonzero(record),
                "versions": record.versions,
            }
            for name, (record, memory) in runs.items()
        },
        "config": gain.sparse.config.to_dict(),
        "phases": {name: phase.to_dict() for name, phase in phases.items()},
        "all_dense_share": gain.all_dense_share,
        "all_dense_seconds_share": gain.all_dense_seconds_share,
        "largest_ratio": gain.largest_ratio,
        "weight_bytes_ratio": gain.dense_memory.weights_last / gain.sparse_memory.weights_last,
        "sparse_layer_bytes_per_nonzero": gain.sparse_layer_bytes_per_nonzero,
        "layers": [asdict(layer) for layer in gain.layers],
        "projection": asdict(projection) | {"ratio": projection.ratio, "assumption": ASSUMPTION},
    }


def answer_gain(
    gain: SparseGain, projection: Projection, *, notes: Sequence[str], next_: Sequence[str]
) -> None:
    """Print what was gained in time and memory, times by phase, and the projection."""
    whole, dense, sparse = gain.whole, gain.dense_memory, gain.sparse_memory
    weights = _times(dense.weights_last / sparse.weights_last)
    console.print_answer(
        f"Time, dense / sparse: {_times(whole.ratio)} ({whole.dense_seconds:,.1f} s / "
        f"{whole.sparse_seconds:,.1f} s). Memory of the weights at the end: {weights} "
        f"({dense.weights_last / 1e6:,.1f} MB / {sparse.weights_last / 1e6:,.1f} MB).",
        f"Test accuracy: dense {gain.dense.test.accuracy:.2%}, "
        f"sparse {gain.sparse.test.accuracy:.2%}.",
        *_dense_lines(gain)[:-1],
        *_projection_lines(projection),
        *notes,
        table=console.Rows(columns=_TIMES, rows=_time_rows(gain)),
        next_=next_,
    )


def print_gain(gain: SparseGain, projection: Projection) -> None:
    """Print every table, with a sentence on what the dense start costs."""
    console.print_table("Training time, seconds", _TIMES, _time_rows(gain))
    _print_memory(gain)
    _print_layers(gain)
    output = console.stdout()
    for line in (*_dense_lines(gain), *_projection_lines(projection)):
        output.print(line, markup=False)


def _time_rows(gain: SparseGain) -> list[tuple[str, ...]]:
    phases = [("all epochs", gain.whole)]
    if gain.handovers:
        first = min(gain.handovers.values())
        phases += [
            (f"before the first sparse layer (epoch {first})", gain.before),
            ("from then on", gain.after),
        ]
    phases.append((f"the last tenth ({epochs_text(gain.last.num_epochs)})", gain.last))
    return [
        (
            name,
            str(phase.num_epochs),
            *(f"{each:,.1f}" for each in (phase.dense_seconds, phase.sparse_seconds)),
            _times(phase.ratio),
        )
        for name, phase in phases
    ]


def _print_memory(gain: SparseGain) -> None:
    dense, sparse = gain.dense_memory, gain.sparse_memory
    rows = [
        ("weights, after the first epoch", dense.weights_first, sparse.weights_first),
        ("weights, after the last epoch", dense.weights_last, sparse.weights_last),
        ("process, after the first epoch", dense.process_first, sparse.process_first),
        ("process, after the last epoch", dense.process_last, sparse.process_last),
        ("process, largest", dense.process_largest, sparse.process_largest),
    ]
    console.print_table(
        "Memory, MB; weights with their copies and supports",
        ("", "dense", "sparse", "dense / sparse"),
        [
            (
                name,
                *(MISSING if each is None else f"{each / 1e6:,.1f}" for each in (ours, theirs)),
                _times(ours / theirs if ours and theirs else None),
            )
            for name, ours, theirs in rows
        ],
    )


def _print_layers(gain: SparseGain) -> None:
    console.print_table(
        "Layers, and the mean share of their rows that is screened",
        (
            "layer",
            "weights",
            "nonzeros, dense run",
            "sparse run",
            "sparse from epoch",
            "screened while dense",
            "while sparse",
        ),
        [
            (
                each.layer,
                f"{each.num_weights:,}",
                f"{each.dense_nonzeros:,}",
                f"{each.sparse_nonzeros:,}",
                MISSING if each.handover is None else str(each.handover),
                *map(_percent, (each.screened_dense, each.screened_sparse)),
            )
            for each in gain.layers
        ],
    )
    rows = []
    for name, record in (("dense", gain.dense), ("sparse", gain.sparse)):
        test = record.test
        rows.append(
            (
                name,
                f"{test.accuracy:.2%}",
                f"{test.num_errors:,} of {test.num_samples:,}",
                _number(gain.bytes_per_nonzero(record)),
            )
        )
    console.print_table(
        "At the end", ("run", "test accuracy", "test errors", "bytes a nonzero, all layers"), rows
    )


def _dense_lines(gain: SparseGain) -> list[str]:
    each = gain.sparse_layer_bytes_per_nonzero
    lines = [] if each is None else [f"Sparse layers alone: {each:.2f} bytes a nonzero."]
    if not gain.handovers:
        lines.append("No layer became sparse in this run.")
    elif gain.largest_ratio is not None:
        lines.append(
            f"Every layer was dense in {_percent(gain.all_dense_share)} of the epochs, which took "
            f"{_percent(gain.all_dense_seconds_share)} of the dense run's time; so no more than "
            f"{_times(gain.largest_ratio)} can be gained in all, were sparse epochs for nothing."
        )
    lines.append("Screened while dense: at the first step of an epoch; while sparse: at all.")
    return lines


def _projection_lines(projection: Projection) -> list[str]:
    return [
        f"{projection.num_epochs:,} epochs: about {duration(projection.dense_seconds)} dense, "
        f"{duration(projection.sparse_seconds)} sparse, {_times(projection.ratio)}. {ASSUMPTION}"
    ]


def _times(ratio: float | None) -> str:
    """A ratio with its sign.

    >>> _times(3.456), _times(None)
    ('3.46x', '–')
    """
    return MISSING if ratio is None else f"{ratio:.2f}x"


def _percent(share: float | None) -> str:
    return MISSING if share is None else f"{share:.1%}"


def _number(value: float | None) -> str:
    return MISSING if value is None else f"{value:,.2f}"


def save_gain_figures(gain: SparseGain, stem: Path) -> list[Path]:
    """Write `stem` and `stem`-screened, each as PNG and PDF.

    Args:
        gain: What to draw.
        stem: Path without a suffix, in a folder that exists.

    Returns:
        The four files.

    Raises:
        OSError: The folder cannot be written to.
    """
    with figure_style():
        costs, screened = draw_costs(gain), draw_shares(gain)
    beside = stem.with_name(f"{stem.name}-screened")
    return save_figure_pair(costs, stem) + save_figure_pair(screened, beside)


def draw_costs(gain: SparseGain) -> Figure:
    """Seconds of every epoch, and the bytes of the weights after it."""
    memory = [
        f"{name} {each.process_last / 1e6:,.0f}\N{NO-BREAK SPACE}MB"
        for name, each in (("dense", gain.dense_memory), ("sparse", gain.sparse_memory))
        if each.process_last is not None
    ]
    whole = f" Of the whole process at the end: {', '.join(memory)}." if memory else ""
    return draw_run_costs(
        [_costs("dense", gain.dense), _costs("sparse", gain.sparse)],
        handovers=gain.handovers,
        note=f"{describe_run(gain.sparse)}. Memory: of the weights, their low-precision copies and "
        f"supports.{whole}",
    )


def draw_shares(gain: SparseGain) -> Figure:
    """Screened rows and density by epoch, of the sparse run's layers that are looked at."""
    epochs = gain.sparse.epochs
    looked_at = [
        layer
        for layer in gain.sparse.num_weights
        if any(layer in epoch.point.screened for epoch in epochs)
    ]
    turns = ", ".join(f"{layer} from epoch {epoch}" for layer, epoch in gain.handovers.items())
    return draw_screened(
        [
            LayerRecord(
                layer=layer,
                epochs=tuple(epoch.point.epoch for epoch in epochs),
                screened=tuple(epoch.point.screened.get(layer) for epoch in epochs),
                density=tuple(
                    _density(epoch.point.num_nonzeros.get(layer), gain.sparse.num_weights[layer])
                    for epoch in epochs
                ),
            )
            for layer in looked_at
        ],
        title=describe_run(gain.sparse),
        note="Screened: rows in which no zero weight could come back; while a layer is dense, at "
        "the first step of the epoch, while it is sparse, at all steps. Sparse: "
        f"{turns or 'none'}.",
    )


def describe_run(record: RunRecord) -> str:
    """Network, width, λ and learning rate of a run, in a few words."""
    config = record.config
    size = f"α = {config.base_channels}" if config.base_channels else f"h = {config.hidden_units}"
    return (
        f"{config.network}, {size}, λ = {config.l1_conv:g} and {config.l1_fc:g}, lr {config.lr:g}"
    )


def _costs(label: str, record: RunRecord) -> RunCosts:
    return RunCosts(
        label=label,
        epochs=tuple(epoch.point.epoch for epoch in record.epochs),
        seconds=record.epoch_seconds,
        memory=tuple(epoch.weight_bytes for epoch in record.epochs),
    )


def _density(num_nonzeros: int | None, num_weights: int) -> float | None:
    return None if num_nonzeros is None else num_nonzeros / num_weights
