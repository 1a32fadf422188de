"""What `mdl compress` leaves behind and prints."""

import json
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Any

from analysis.codes.bit_file import save_codeword
from analysis.codes.checkpoint_message import message_network
from analysis.compress.compress import Compression
from mdl.cli.compress.plan import Job, compressed_checkpoint
from mdl.terminal import console
from mdl.terminal.bound_tables import percent_up
from training.checkpoint.checkpoint import save_checkpoint
from training.run.evaluate import count_errors
from training.run.provenance import collect_versions
from training.system.files import write_text_atomically

BITS_FILE = "network.mdl"
CHECKPOINT_FILE = "checkpoint.pt"
REPORT_FILE = "compression.json"
PLOT_FILE = "compression.png"


def compression_report(job: Job, compression: Compression) -> dict[str, object]:
    """All that is known of it, as plain values for JSON."""
    network = message_network(compression.codeword.message)
    inputs = job.inputs
    report: dict[str, object] = compression.to_dict()
    report["test_errors"] = count_errors(
        network, job.test, inputs.normalization, permutation=inputs.permutation
    )
    report["num_test"] = len(job.test)
    report["network"] = asdict(job.spec)
    report["data"] = job.record.name
    report["training"] = asdict(job.settings.training)
    report["versions"] = collect_versions()
    return report


def write_compression(
    out: Path, job: Job, compression: Compression, report: dict[str, object], *, plot: bool
) -> None:
    """Write the folder, each file whole, the bits first.

    Raises:
        OSError: It cannot be written.
    """
    out.mkdir(exist_ok=True)
    save_codeword(compression.codeword, out / BITS_FILE)
    save_checkpoint(compressed_checkpoint(job, compression), out / CHECKPOINT_FILE)
    text = json.dumps(report, indent=2, sort_keys=True, allow_nan=False) + "\n"
    write_text_atomically(out / REPORT_FILE, text)
    if plot:
        _plot(out / PLOT_FILE, job, compression)


def _plot(path: Path, job: Job, compression: Compression) -> None:
    from figures.compression import CompressionFigure, plot_compression  # noqa: PLC0415
    from figures.style.look import figure_style, save_figure  # noqa: PLC0415

    num_samples = compression.errors.num_samples
    with figure_style():
        figure = plot_compression(
            CompressionFigure(
                title=f"{job.spec.name} on {job.record.name}",
                bits=[point.description_bits for point in compression.curve],
                errors=[point.num_errors / num_samples for point in compression.curve],
                bounds=[point.bound for point in compression.curve],
                num_samples=num_samples,
                delta=compression.delta,
            )
        )
        save_figure(figure, path)


def print_compression(out: Path, job: Job, report: dict[str, object], data: str | None) -> None:
    """Print how each stage ended, the test errors, and what to run next.

    Args:
        out: The folder.
        job: What was compressed.
        report: From `compression_report`.
        data: What --data said, or None.
    """
    best: dict[str, dict[str, Any]] = {}
    points: list[dict[str, Any]] = report["curve"]  # type: ignore[assignment]
    for point in points:
        stage = point["stage"]
        if stage not in best or point["bound"] <= best[stage]["bound"]:
            best[stage] = point
    m = len(job.inputs.images)
    console.print_table(
        f"{job.spec.name} on {job.record.name}, m = {m:,}, δ = {report['delta']}",
        ("stage, at its best", "epoch", "bits", "training errors", "bound"),
        [
            (
                stage,
                f"{point['epoch']:,}",
                f"{point['description_bits']:,}",
                f"{point['num_errors'] / m:.2%}",
                percent_up(point["bound"]),
            )
            for stage, point in best.items()
        ],
    )
    num_test = report["num_test"]
    if isinstance(num_test, int) and num_test:
        console.stdout().print(
            f"Test errors: {report['test_errors']} of {num_test:,}", markup=False
        )
    console.stdout().print(f"Written: {out}", markup=False)
    console.print_next(f"mdl certify {out / BITS_FILE} {_data_options(job, data)} -o {out}-cert")


def _data_options(job: Job, data: str | None) -> str:
    """The options by which `mdl certify` finds the same m images for a file of bits."""
    config = job.record.config
    options = {"--data": data or config["source"]}
    for option in ("num_train", "num_test", "validation"):
        if config[option]:
            options[f"--{option.replace('_', '-')}"] = config[option]
    if config["seed"]:
        options["--data-seed"] = config["seed"]
    return shlex.join(str(each) for pair in options.items() for each in pair)
