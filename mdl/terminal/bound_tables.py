"""The tables of `mdl bound`: counts, errors, lengths and bounds, of our networks and of others'."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from mdl.terminal import console
from mdl.terminal.count_tables import print_counts
from mdl.terminal.ledger_tables import print_ledger
from training.tensor_files.stored_tensor import printable

if TYPE_CHECKING:
    from analysis.bounds.bounds import Bound
    from analysis.bounds.lengths import DescriptionLength
    from analysis.codes.network_code import Codeword
    from analysis.describe.bound_report import BoundReport
    from analysis.describe.external_report import ExternalReport, GivenErrors
    from analysis.describe.file_description import FileDescription
    from analysis.describe.validity import Finding
    from analysis.quantize.formats import NumberFormat
    from analysis.quantize.nonzeros import NetworkCounts

_DESCRIPTIONS = {
    "bits": "the bits themselves",
    "plain": "plain, n b",
    "theorem-2": "theorem-2, as in its proof",
    "enumerative": "enumerative, log C(n, ‖w‖₀)",
}


class Described(Protocol):
    """What every report has."""

    @property
    def counts(self) -> "NetworkCounts":
        """Of every tensor."""

    @property
    def lengths(self) -> "dict[str, DescriptionLength]":
        """Of the descriptions, by name."""

    @property
    def number_format(self) -> "NumberFormat":
        """R_b."""


def print_measured(report: "BoundReport", data_name: str) -> None:
    """Print the bound of a checkpoint of ours, whose errors were counted."""
    spec = report.spec
    console.stdout().print(
        f"{spec.name} on {data_name}: m = {report.num_samples:,} training images of "
        f"{spec.in_channels}x{spec.image_size}x{spec.image_size}, c = {spec.num_classes} classes, "
        f"δ = {report.delta:g}",
        markup=False,
    )
    _print_rounding(report.number_format)
    console.stdout().print(
        "What acts on nothing taken out, units in the order of their shifts: the same function"
    )
    print_counts("Numbers of the described network", spec.name, report.counts, report.twins)
    _print_errors(
        (name, count.num_samples, count.num_errors)
        for name, count in (
            ("training", report.train),
            ("training, before rounding", report.train_before),
            ("validation", report.validation),
            ("test", report.test),
        )
        if count is not None
    )
    print_lengths(report)
    print_ledger(report.codeword)
    print_bounds(report.bounds, report.hold_out)
    _print_verdict(
        report.bound,
        report.findings,
        delta=report.delta,
        guessing=1 - 1 / spec.num_classes,
        basis=f"B = {report.description_bits:,} bits of the {report.codeword.code} code",
    )


def print_external(report: "ExternalReport") -> None:
    """Print the lengths of an external network, and its bound if errors were given."""
    network = report.network
    where = f", under {network.key!r}" if network.key else ""
    console.stdout().print(f"{network.path}{where}: δ = {report.delta:g}", markup=False)
    if network.norms:
        console.stdout().print(f"{len(network.norms):,} BatchNorms found by their names.")
    _print_rounding(report.number_format)
    _print_tensors(report.counts)
    given = report.given
    if given is not None:
        rows = [("training, given", given.num_samples, given.num_errors)]
        if given.test is not None:
            rows.append(("test, given", given.test[1], given.test[0]))
        _print_errors(rows)
    print_lengths(report)
    if given is not None:
        print_bounds(report.bounds)
    _print_verdict(report.bound, report.findings, basis=_basis(report), delta=report.delta)


def print_external_bits(
    codeword: "Codeword",
    given: "GivenErrors",
    bounds: "tuple[Bound, ...]",
    note: "Finding",
    *,
    delta: float,
) -> None:
    """Print the bound of an external network from its bits and the errors that were given."""
    print_ledger(codeword)
    _print_errors([("training, given", given.num_samples, given.num_errors)])
    print_bounds({"bits": bounds})
    basis = f"B = {codeword.num_bits:,} bits of the {codeword.code} code"
    _print_verdict(bounds[-1], (note,), basis=basis, delta=delta)


def print_description(description: "FileDescription") -> None:
    """Print counts and lengths of a checkpoint of ours."""
    _print_rounding(description.number_format)
    print_counts(
        "Numbers of the described network",
        description.spec.name,
        description.counts,
        description.twins,
    )
    print_lengths(description)


def print_lengths(report: Described) -> None:
    """Print every length term by term."""
    total, bits = report.counts.total, report.number_format.bits_per_weight
    rows: list[tuple[str, ...]] = []
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
        f"k' = {total.num_distinct_nonzero:,} (without), b = {bits}; log is log2",
        ("description", "term", "formula", "as printed", "whole bits"),
        rows,
        num_text_columns=3,
    )


def print_bounds(
    bounds: "Mapping[str, tuple[Bound, ...]]", hold_out: "Bound | None" = None
) -> None:
    """Print all bounds, a column a description."""
    found = {name: {each.name: each for each in group} for name, group in bounds.items()}
    rows = []
    for like in max(bounds.values(), key=len):
        cells = [_cell(group.get(like.name)) for group in found.values()]
        rows.append((like.title, like.formula, *cells))
    if hold_out is not None:
        rows.append((hold_out.title, hold_out.formula, _cell(hold_out), *[""] * (len(found) - 1)))
    console.print_table(
        "Bounds on the true error, B in whole bits (Theorem 2: its terms as printed), ln natural",
        ("bound", "formula", *(_DESCRIPTIONS.get(name, name) for name in found)),
        rows,
        num_text_columns=2,
    )


def percent_up(fraction: float) -> str:
    """Percent with two decimals, rounded upward as a bound must be.

    >>> percent_up(0.123401), percent_up(0.1234)
    ('12.35%', '12.34%')
    """
    return f"{math.ceil(fraction * 1e4 - 1e-9) / 100:,.2f}%"


def _print_rounding(number_format: "NumberFormat") -> None:
    console.stdout().print(
        "BatchNorm folded into one scale and one shift per unit, every number rounded to "
        f"{number_format.name} (b = {number_format.bits_per_weight}: {number_format.about})",
        markup=False,
    )


def _print_tensors(counts: "NetworkCounts") -> None:
    rows = [
        (
            printable(row.name),
            "x".join(map(str, row.shape)) or "1",
            f"{row.num_weights:,}",
            f"{row.num_nonzeros:,}",
            f"{row.density:.2%}",
            f"{row.num_distinct:,}",
        )
        for row in counts.tensors
    ]
    total = counts.total
    rows.append(
        (
            "all tensors",
            "",
            f"{total.num_weights:,}",
            f"{total.num_nonzeros:,}",
            f"{total.density:.2%}",
            f"{total.num_distinct:,}",
        )
    )
    console.print_table(
        "Numbers of the described network",
        ("tensor", "shape", "numbers", "nonzeros", "density", "distinct values"),
        rows,
    )


def _print_errors(rows: Iterable[tuple[str, int, int]]) -> None:
    console.print_table(
        "Errors of the described network",
        ("images", "number", "errors", "error"),
        [
            (name, f"{samples:,}", f"{errors:,}", f"{errors / samples:.2%}")
            for name, samples, errors in rows
        ],
    )


def _cell(bound: "Bound | None") -> str:
    if bound is None:
        return ""
    return f"vacuous ({percent_up(bound.value)})" if bound.is_vacuous else percent_up(bound.value)


def _basis(report: "ExternalReport") -> str:
    return (
        f"B = {report.description_bits:,} bits: the {report.shortest.name} description and the "
        "choice of it"
    )


def _print_verdict(
    bound: "Bound | None",
    findings: "Sequence[Finding]",
    *,
    basis: str,
    delta: float,
    guessing: float | None = None,
) -> None:
    """The one line to take home, then what has to be known about it."""
    output = console.stdout()
    if any(finding.severity == "invalid" for finding in findings):
        output.print("No certificate: no bound can be quoted, for this reason.", style="bold red")
    elif bound is not None:
        output.print(_verdict(bound, basis, delta, guessing), markup=False, style="bold")
    for finding in sorted(findings, key=lambda each: each.severity != "invalid"):
        output.print(finding.text, markup=False)


def _verdict(bound: "Bound", basis: str, delta: float, guessing: float | None) -> str:
    reason = f"({bound.title}, {basis})"
    if bound.is_vacuous:
        return f"Vacuous: this length proves nothing about the true error {reason}."
    value = percent_up(bound.value)
    line = f"True error <= {value} with probability {1 - delta:.4g} {reason}."
    if guessing is not None and bound.value >= guessing:
        line += f" That is no better than guessing, {guessing:.2%}."
    return line
