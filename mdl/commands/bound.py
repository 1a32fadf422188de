"""`mdl bound`: a checkpoint's description length and what it proves about the true error."""

import math
from typing import TYPE_CHECKING, Annotated

import typer

from mdl import console
from mdl.options import CheckpointArgument, Device, DeviceOption, JsonOption

if TYPE_CHECKING:
    from analysis.bound_report import BoundReport
    from analysis.bounds import Bound

_DESCRIPTIONS = {"plain": "plain, n b", "sparse": "sparse, Theorem 2's proof"}


def bound(
    checkpoint: CheckpointArgument,
    bits: Annotated[
        int | None, typer.Option(help="b, bits a number: 32, 16 or 8 (default: 16).")
    ] = None,
    number_format: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="The set of numbers: float32, bfloat16, float16, e4m3fn or e5m2 "
            "(default: bfloat16 at 16 bits, e4m3fn at 8).",
        ),
    ] = None,
    delta: Annotated[
        float, typer.Option(help="δ: each bound may fail with this probability.")
    ] = 0.05,
    data: Annotated[str | None, typer.Option(help="Where the same data set lies now.")] = None,
    device: DeviceOption = Device.auto,
    json: JsonOption = False,
) -> None:
    """Bound the true error of a network by the length of its description.

    BatchNorm is folded, every number is rounded to b bits, and the errors of
    that network are counted on exactly the images that training saw.
    """
    from analysis.bound_report import report_bound
    from analysis.quantize import find_format
    from mdl.devices import choose_device
    from training.checkpoint import load_checkpoint
    from training.evaluate import evaluation_data

    if not 0 < delta < 1:
        raise typer.BadParameter(f"δ must lie in (0, 1), not {delta}", param_hint="--delta")
    try:
        chosen_format = find_format(bits, number_format)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--bits, --format") from error
    chosen_device = choose_device(device)
    loaded = load_checkpoint(checkpoint)
    images = evaluation_data(loaded, source=data)
    report = report_bound(loaded, images, chosen_format, delta=delta, device=chosen_device)
    if json:
        record = loaded.data
        place = {
            "checkpoint": str(checkpoint),
            "data": images.name,
            "fingerprint": None if record is None else record.fingerprint,
        }
        console.print_json(place | report.to_dict())
        return
    _print_report(report, images.name)
    console.print_next(
        f"mdl nonzeros {checkpoint}", f"mdl filters {checkpoint}", f"mdl evaluate {checkpoint}"
    )


def _print_report(report: "BoundReport", data_name: str) -> None:
    from mdl.commands.nonzeros import print_counts

    spec, number_format = report.spec, report.number_format
    output = console.stdout()
    output.print(
        f"{spec.name} on {data_name}: m = {report.num_samples:,} training images of "
        f"{spec.in_channels}x{spec.image_size}x{spec.image_size}, c = {spec.num_classes} classes, "
        f"δ = {report.delta:g}",
        markup=False,
    )
    output.print(
        "BatchNorm folded into one scale and one shift a unit, every number rounded to "
        f"{number_format.name} (b = {number_format.bits_per_weight}: {number_format.about})",
        markup=False,
    )
    print_counts("Numbers of the described network", spec.name, report.counts, report.twins)
    _print_errors(report)
    _print_lengths(report)
    _print_bounds(report)
    output.print(_verdict(report), markup=False, style="bold")
    for note in report.notes:
        output.print(note, markup=False)


def _print_errors(report: "BoundReport") -> None:
    rows = [
        (name, f"{count.num_samples:,}", f"{count.num_errors:,}", f"{count.error:.2%}")
        for name, count in (
            ("training", report.train),
            ("training, before rounding", report.train_before),
            ("validation", report.validation),
            ("test", report.test),
        )
        if count is not None
    ]
    console.print_table(
        "Errors of the described network", ("images", "number", "errors", "error"), rows
    )


def _print_lengths(report: "BoundReport") -> None:
    total, bits = report.counts.total, report.number_format.bits_per_weight
    rows = []
    for name, length in report.lengths.items():
        own = [
            (term.name, term.formula, f"{term.bits:,.1f}", f"{term.whole_bits:,}")
            for term in length.terms
        ]
        if len(own) > 1:
            own.append(("sum", length.formula, f"{length.bits:,.1f}", f"{length.whole_bits:,}"))
        if length.has_map:
            whole = f"{length.map_whole_bits:,}"
            own.append(
                ("of it the map, |d(g)|", length.map_formula, f"{length.map_bits:,.1f}", whole)
            )
        label = _DESCRIPTIONS.get(name, name)
        rows += [(label if index == 0 else "", *row) for index, row in enumerate(own)]
    console.print_table(
        f"Description lengths in bits: n = {total.num_weights:,}, "
        f"‖w‖₀ = {total.num_nonzeros:,}, k = {total.num_distinct:,} (with zero if it occurs), "
        f"b = {bits}; log is log2",
        ("description", "term", "formula", "as printed", "whole bits"),
        rows,
        num_text_columns=3,
    )


def _print_bounds(report: "BoundReport") -> None:
    found = {name: {each.name: each for each in bounds} for name, bounds in report.bounds.items()}
    rows = []
    for like in max(report.bounds.values(), key=len):
        cells = [_cell(bounds.get(like.name)) for bounds in found.values()]
        rows.append((like.title, like.formula, *cells))
    if report.hold_out is not None:
        rows.append(
            (report.hold_out.title, report.hold_out.formula, _cell(report.hold_out),
             *[""] * (len(found) - 1))
        )  # fmt: skip
    console.print_table(
        "Bounds on the true error, B in whole bits (Theorem 2: its terms as printed), ln natural",
        ("bound", "formula", *(_DESCRIPTIONS.get(name, name) for name in found)),
        rows,
        num_text_columns=2,
    )


def _cell(bound: "Bound | None") -> str:
    if bound is None:
        return ""
    return f"vacuous ({_percent_up(bound.value)})" if bound.is_vacuous else _percent_up(bound.value)


def _verdict(report: "BoundReport") -> str:
    quoted, classes = report.bound, report.spec.num_classes
    guessing = 1 - 1 / classes
    basis = (
        f"{quoted.title}, B = {report.description_bits:,} bits: the {report.shortest.name} "
        "description and the choice of it"
    )
    if quoted.is_vacuous:
        return f"Vacuous: this length proves nothing about the true error ({basis})."
    line = (
        f"True error <= {_percent_up(quoted.value)} with probability {1 - report.delta:.4g} "
        f"({basis})."
    )
    if not quoted.beats_guessing(classes):
        line += f" That is no better than guessing, {guessing:.2%}."
    return line


def _percent_up(fraction: float) -> str:
    """Percent with two decimals, rounded upward as a bound must be."""
    return f"{math.ceil(fraction * 1e4 - 1e-9) / 100:,.2f}%"
