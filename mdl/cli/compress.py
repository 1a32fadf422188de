"""`mdl compress`: what it leaves and prints."""

import json
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from analysis.bounds.bounds import binomial_tail, percent_up
from analysis.certify.folder import check_folder
from analysis.certify.prior import SPLIT
from analysis.codes.bit_file import PRIOR_FILE, save_codeword
from analysis.codes.checkpoint_message import message_network
from analysis.compress.compression import Compression
from analysis.compress.recipes import RECIPES, find_recipe
from analysis.compress.run_file import RunFile, StoppedError
from mdl.cli.compress_jobs import Job
from mdl.terminal import console
from mdl.terminal.answers import bound_answer
from mdl.terminal.compression_progress import CompressionProgress
from training.checkpoint.checkpoint import Checkpoint, save_checkpoint
from training.data.telling import count_repeated, repeats_line
from training.errors import TrainingError
from training.run.evaluate import count_errors
from training.run.provenance import collect_versions
from training.system.files import write_text_atomically
from training.system.locks import run_lock
from training.system.signals import StopRequest

BITS_FILE = "network.mdl"
CHECKPOINT_FILE = "checkpoint.pt"
REPORT_FILE = "compression.json"
PLOT_FILE = "compression.png"
STATE_FILE = "unfinished.npz"
"""What a compression that was stopped continues from; gone once it has ended."""
_LOCK = "run.lock"
_LONGER = 3
"""Times as many epochs are suggested where the bound is no better than a guess."""


def check_place(out: Path) -> None:
    """Refuse a folder that is neither new nor that of a compression that was stopped.

    Raises:
        OSError: As `analysis.certify.folder.check_folder` has it.
    """
    if not (out / STATE_FILE).exists():
        check_folder(out)


def carry_out(
    out: Path, job: Job, *, more: Mapping[str, Any], plot: bool, again: str
) -> tuple[Compression, dict[str, object]] | int:
    """Compress, or continue what a folder holds, and write the folder.

    Args:
        out: The folder.
        job: What to compress.
        more: Goes into the report.
        plot: Whether to draw the curve.
        again: The command that continues it.

    Returns:
        The compression and its report; if it was stopped, 128 and the number of the signal.

    Raises:
        ConfigError: The folder holds a compression by other settings.
        FileExistsError: Another process has finished the folder meanwhile.
        RunBusyError: Another process works in the folder.
        TrainingError: The loss is not finite, or the folder cannot be written.
    """
    progress = CompressionProgress(len(job.images), job.spec.num_classes)
    words = f"continue what was saved last with: {again}"
    with _nothing_left(out), run_lock(out / _LOCK), StopRequest(words) as stop:
        file = RunFile(out / STATE_FILE, job.identity(), stop=stop, tell=progress.on_note)
        if (out / BITS_FILE).exists() and not file.path.exists():
            raise FileExistsError(f"{out} has been written by another process; give a new folder")
        try:
            compression = job.run(progress, file)
            report = compression_report(job, compression) | dict(more)
            try:
                write_compression(out, job, compression, report, plot=plot)
            except OSError as error:
                raise TrainingError(
                    f"{error}; what led to it is kept in {file.path}: make room, then {again}"
                ) from error
        except StoppedError:
            progress.on_note(f"Stopped and saved. Continue with: {again}")
            return 128 + (stop.signal_number or signal.SIGTERM)
        file.remove()
    return compression, report


@contextmanager
def _nothing_left(out: Path) -> Iterator[None]:
    """On an error, remove a folder that was made here and holds nothing."""
    is_new = not out.exists()
    try:
        yield
    except Exception:
        if is_new:
            with suppress(OSError):
                out.rmdir()
        raise


def compressed_checkpoint(job: Job, compression: Compression) -> Checkpoint:
    """A checkpoint of the decoded network, folded, with the data set that it belongs to."""
    message = compression.codeword.message
    return Checkpoint(
        network=job.spec,
        state=message.state,
        data=job.record,
        normalization=job.inputs.normalization,
        versions=collect_versions(),
        metrics={
            "train_errors": compression.errors.num_errors,
            "num_samples": compression.errors.num_samples,
            "description_bits": compression.codeword.num_bits,
            "bound": compression.bound,
            "compress": job.made_by,
        },
    )


def compression_report(job: Job, compression: Compression) -> dict[str, object]:
    """All that is known of it, as plain values for JSON."""
    message = compression.codeword.message
    report: dict[str, object] = compression.to_dict()
    report["test_errors"] = count_errors(message_network(message), job.test, message.known_inputs)
    report["num_test"] = len(job.test)
    report["num_repeated"] = count_repeated(job.images)
    report["network"] = asdict(job.spec)
    report["data"] = job.record.name
    report["training"] = asdict(job.settings.training)
    report["versions"] = collect_versions()
    if job.prior is not None:
        own = job.prior.codeword
        report["prior"] = {"kind": job.kind, "sha256": own.sha256, "description_bits": own.num_bits}
    return report


def write_compression(
    out: Path, job: Job, compression: Compression, report: dict[str, object], *, plot: bool
) -> None:
    """Write the folder, each file whole, the bits first.

    Raises:
        OSError: It cannot be written.
    """
    out.mkdir(exist_ok=True)
    if job.prior is not None and compression.codeword.prior_sha256 is not None:
        save_codeword(job.prior.codeword, out / PRIOR_FILE)
    save_codeword(compression.codeword, out / BITS_FILE)
    save_checkpoint(compressed_checkpoint(job, compression), out / CHECKPOINT_FILE)
    text = json.dumps(report, indent=2, sort_keys=True, allow_nan=False) + "\n"
    write_text_atomically(out / REPORT_FILE, text)
    if plot:
        _plot(out / PLOT_FILE, job, compression)


def _plot(path: Path, job: Job, compression: Compression) -> None:
    from figures.compression import CompressionFigure, plot_compression  # noqa: PLC0415
    from figures.style.look import figure_style, literal, save_figure  # noqa: PLC0415

    num_samples = compression.errors.num_samples
    with figure_style():
        figure = plot_compression(
            CompressionFigure(
                title=literal(f"{job.spec.name} on {job.record.name}"),
                bits=[point.description_bits for point in compression.curve],
                errors=[point.num_errors / num_samples for point in compression.curve],
                bounds=[point.bound for point in compression.curve],
                num_samples=num_samples,
                delta=compression.delta,
            )
        )
        save_figure(figure, path)


def print_compression(
    out: Path,
    job: Job,
    compression: Compression,
    report: dict[str, object],
    *,
    checkpoint: Path | None,
    given: Mapping[str, object],
) -> None:
    """Print the bound, how each stage ended, the test errors, and what to run next.

    Args:
        out: The folder.
        job: What was compressed.
        compression: What came out.
        report: From `compression_report`.
        checkpoint: What it came from; None for a recipe.
        given: The options as the user gave them, by name; None or a default where not.
    """
    best: dict[str, dict[str, Any]] = {}
    points: list[dict[str, Any]] = report["curve"]  # type: ignore[assignment]
    for point in points:
        stage = point["stage"]
        if stage not in best or point["bound"] <= best[stage]["bound"]:
            best[stage] = point
    m = len(job.images)
    delta: Any = report["delta"]
    answer, why = bound_answer(
        f"{job.spec.name} on {job.record.name}",
        compression.bound,
        compression.errors,
        bits=compression.codeword.num_bits,
        code=f"{compression.codeword.code} code",
        delta=delta,
        num_classes=job.spec.num_classes,
        way_out=" Longer training and fewer levels help, or a network that is short from the start."
        if checkpoint
        else " Longer training helps.",
        samples="held-out" if job.kind == SPLIT else "training",
    )
    num_test = report["num_test"]
    tested = [f"Test errors: {report['test_errors']:,} of {num_test:,}."] if num_test else []
    num_repeated: Any = report["num_repeated"]
    tested += filter(None, [repeats_line(num_repeated, m), _prior_line(job, compression)])
    console.print_answer(
        answer,
        *tested,
        f"Written: {out}",
        why=why,
        table=console.Rows(
            columns=("stage, at its best", "epoch", "bits", "training errors", "bound"),
            rows=[
                (
                    stage,
                    f"{point['epoch']:,}",
                    f"{point['description_bits']:,}",
                    f"{point['num_errors'] / m:.2%}",
                    percent_up(point["bound"]),
                )
                for stage, point in best.items()
            ],
        ),
        next_=_next_commands(
            out,
            job,
            checkpoint=checkpoint,
            given=given,
            is_telling=compression.bound < 1 - 1 / job.spec.num_classes,
        ),
    )


def _prior_line(job: Job, compression: Compression) -> str:
    """What is to be said of the prior; "" without one."""
    if job.prior is None:
        return ""
    codeword, own = compression.codeword, job.prior.codeword.num_bits
    if codeword.prior_sha256 is None:
        return "The bits are fewer without the prior, and are relative to none."
    errors = compression.errors
    counted = binomial_tail(
        errors.num_errors, errors.num_samples, compression.counted_bits + own, compression.delta
    )
    return (
        f"Relative to a prior ({job.kind}) of {own:,} bits; with these counted in, the bound is "
        f"{percent_up(counted)}."
    )


def _next_commands(
    out: Path, job: Job, *, checkpoint: Path | None, given: Mapping[str, object], is_telling: bool
) -> list[str]:
    """To certify the bits, or, where they prove no more than a guess does, to get fewer.

    What the user gave stays; a recipe has its own epochs where three times as many are not more.
    """
    if is_telling:
        images, cert = _data_options(job, given["data"]), console.new_name(f"{out}-cert")
        images["prior"] = given["prior"] if (out / PRIOR_FILE).exists() else None
        delta = given["delta"]
        return [console.command("certify", out / BITS_FILE, **images, delta=delta, out=cert)]
    epochs = _LONGER * job.settings.training.epochs
    again = dict(given)
    if checkpoint is not None:
        more: dict[str, object] = again | {"epochs": epochs, "levels": 1}
        longer = console.command("compress", checkpoint, **more, out=console.new_name(str(out)))
        recipe = next(iter(RECIPES))
        config = job.record.config
        tight = {"data": given["data"] or config["source"], "label_column": config["label_column"]}
        kept = {name: given[name] for name in ("delta", "seed", "threads")}
        short = console.new_name("tight")
        return [longer, console.command("compress", recipe=recipe, **tight, **kept, out=short)]
    is_more = epochs > find_recipe(str(given["recipe"])).epochs
    again["epochs"] = epochs if is_more else None
    return [console.command("compress", **again, out=console.new_name(str(out)))]


def _data_options(job: Job, data: object) -> dict[str, object]:
    """The options by which `mdl certify` finds the same m images for a file of bits."""
    config = job.record.config
    chosen = {name: config[name] or None for name in ("num_train", "num_test", "validation")}
    chosen["label_column"] = config["label_column"]
    return {"data": data or config["source"], **chosen, "data_seed": config["seed"] or None}
