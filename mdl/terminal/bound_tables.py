"""The tables of bounds and certificates: counts, errors, lengths, bounds, and the one verdict."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from analysis.bounds.bounds import bound_titles, percent_up
from mdl.terminal import console
from training.system.text import shorten

if TYPE_CHECKING:
    from analysis.bounds.bounds import Bound, ErrorCount
    from analysis.certify.certificate import Certificate
    from analysis.codes.network_code import Codeword
    from analysis.describe.bound_report import BoundReport
    from analysis.describe.description import Description
    from analysis.describe.external_report import ExternalReport
    from analysis.describe.validity import Finding
    from analysis.quantize.formats import NumberFormat
    from analysis.quantize.nonzeros import NetworkCounts


DESCRIPTIONS = {
    "bits": "the bits themselves",
    "plain": "plain, n b",
    "theorem-2": "theorem-2, as in its proof",
    "enumerative": "enumerative, log C(n, ‖w‖₀)",
}


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
        "Units and weights that change no output are left out, and units stand in the order of "
        "their shifts: the same function"
    )
    print_counts("Numbers of the described network", spec.name, report.counts, report.twins)
    _print_errors(
        {
            "training": report.train,
            "training, before rounding": report.train_before,
            "validation": report.validation,
            "test": report.test,
        }
    )
    print_lengths(report)
    print_ledger(report.codeword)
    print_bounds(report.bounds, report.hold_out)
    _print_verdict(
        report.bound,
        report.findings,
        delta=report.delta,
        num_classes=spec.num_classes,
        basis=f"B = {report.description_bits:,} bits of the {report.codeword.code} code",
    )


def print_external(report: "ExternalReport") -> None:
    """Print the lengths of an external network, and its bound if errors were given."""
    network = report.network
    where = f", under {shorten(network.file.key)}" if network.file.key else ""
    console.stdout().print(f"{network.file.path}{where}: δ = {report.delta:g}", markup=False)
    if network.norms:
        console.stdout().print(f"{len(network.norms):,} BatchNorms found by their names.")
    _print_rounding(report.number_format)
    print_tensors(report.counts)
    if report.train is not None:
        _print_errors({"training, given": report.train, "test, given": report.test})
    print_lengths(report)
    if report.train is not None:
        print_bounds(report.bounds)
    _print_verdict(report.bound, report.findings, basis=_basis(report), delta=report.delta)


def print_external_bits(
    codeword: "Codeword",
    train: "ErrorCount",
    bounds: "tuple[Bound, ...]",
    note: "Finding",
    *,
    delta: float,
) -> None:
    """Print the bound of an external network from its bits and the errors that were given."""
    print_ledger(codeword)
    _print_errors({"training, given": train})
    print_bounds({"bits": bounds})
    basis = f"B = {codeword.num_bits:,} bits of the {codeword.code} code"
    _print_verdict(bounds[-1], (note,), basis=basis, delta=delta)


def print_description(description: "Description") -> None:
    """Print counts and lengths of a checkpoint of ours."""
    _print_rounding(description.number_format)
    print_counts(
        "Numbers of the described network",
        description.spec.name if description.spec else "",
        description.counts,
        description.twins,
    )
    print_lengths(description)


def print_certificate(certificate: "Certificate") -> None:
    """Print network, errors, bounds and verdict; of one with fresh images its answer is that."""
    made, data = certificate, certificate.data
    output = console.stdout()
    output.print(
        f"{made.spec.name} on {data.title}: B = {made.description_bits:,} bits in the {made.code} "
        f"code, n = {made.counts.num_weights:,} numbers of {made.number_format} "
        f"(b = {made.bits_per_weight}), ‖w‖₀ = {made.counts.num_nonzeros:,}, "
        f"k = {made.counts.num_distinct:,}",
        markup=False,
    )
    counts = {f"{data.samples} (m)": made.errors, "held out": made.held_out, "test": made.test}
    _print_errors(counts, "Errors of the decoded network")
    titles = bound_titles()
    bounds = [(titles[name], bound_value(value)) for name, value in made.bounds.items()]
    if made.hold_out_bound is not None:
        bounds.append(("hold-out, if these images chose nothing", bound_value(made.hold_out_bound)))
    title = f"Bounds on the true error, δ = {made.delta:g}"
    console.print_table(title, ("bound", "value"), bounds)
    if made.fresh is not None:
        return
    for line in prior_lines(made):
        output.print(line, markup=False)
    basis = f"over the m = {made.errors.num_samples:,} {data.samples} images (binomial tail)"
    if is_vacuous(made.bound):
        verdict = "Vacuous: this length proves nothing about the true error."
    else:
        verdict = _verdict(made.bound, made.delta, basis, made.spec.num_classes)
    output.print(verdict, style="bold", markup=False)
    if made.repeats:
        output.print(made.repeats, markup=False)


def prior_lines(certificate: "Certificate") -> list[str]:
    """What is to be said of a certificate's prior, a sentence or two each; [] without one."""
    prior = certificate.prior
    if prior is None:
        return []
    told = f"The bits are relative to a prior ({prior.kind}"
    if prior.origin is not None:
        told += f", trained on {prior.origin.data}, seed {prior.origin.seed}"
    lines = [
        f"{told}) of {prior.description_bits:,} bits; with these counted in, the bound is "
        f"{bound_value(certificate.bound_with_prior)}."
    ]
    if prior.kind == "split":
        lines.append(
            f"With a split prior, the {certificate.description_bits:,} bits count as "
            f"{certificate.counted_bits:.4g}: the prior itself has nearly all of the weight."
        )
    held_out = prior.hold_out_bound(certificate.delta)
    if held_out is not None and prior.errors is not None:
        lines.append(
            f"A plain hold-out of the prior itself, without bits: {prior.errors.num_errors:,} of "
            f"{prior.errors.num_samples:,} errors, true error of the prior <= "
            f"{bound_value(held_out)}."
        )
    return [*lines, prior.assumption]


def print_lengths(report: "Description") -> None:
    """Print every length term by term."""
    total = report.counts.total
    sizes = [bits for bits, _ in report.parts] or [report.number_format.bits_per_weight]
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
        label = DESCRIPTIONS.get(name, name)
        rows += [(label if index == 0 else "", *row) for index, row in enumerate(own)]
    console.print_table(
        f"Description lengths in bits: n = {total.num_weights:,}, "
        f"‖w‖₀ = {total.num_nonzeros:,}, k = {total.num_distinct:,} (with zero if it occurs), "
        f"k' = {total.num_distinct_nonzero:,} (without), b = {', '.join(map(str, sizes))}; log is "
        "log2",
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
        ("bound", "formula", *(DESCRIPTIONS.get(name, name) for name in found)),
        rows,
        num_text_columns=2,
    )


def print_counts(
    title: str, network: str, counts: "NetworkCounts", twins: Mapping[str, Mapping[str, int]]
) -> None:
    """Print the table of counts: a row a tensor, then sums, with the twins' weights beside."""
    family = network.split("-", maxsplit=1)[0]
    rows, layers = [], []
    for row in counts.tensors:
        layer, _, field = row.name.rpartition(".")
        is_layer = field == "weight" and not layer.endswith("_norm")
        if is_layer:
            layers.append(row)
        beside = [f"{weights[layer]:,}" if is_layer else "" for weights in twins.values()]
        distinct = f"{row.num_distinct:,}"
        rows.append((row.name, *_sizes(row.num_weights, row.num_nonzeros), distinct, *beside))
    sums = sum(row.num_weights for row in layers), sum(row.num_nonzeros for row in layers)
    beside = [f"{sum(weights.values()):,}" for weights in twins.values()]
    rows.append(("weights of all layers", *_sizes(*sums), "", *beside))
    total = counts.total
    sizes = _sizes(total.num_weights, total.num_nonzeros)
    rows.append(("all tensors", *sizes, f"{total.num_distinct:,}", *[""] * len(twins)))
    columns = ["tensor", "numbers", "nonzeros", "density", "distinct values"]
    columns += [f"{family}-{kind} weights" for kind in twins]
    console.print_table(title, columns, rows)


def print_ledger(codeword: "Codeword") -> None:
    """Print a line for every part of every tensor, with its share, and the sum."""
    state = codeword.message.state
    rows = []
    before = None
    for entry in codeword.ledger.entries:
        tensor = "" if entry.tensor == before else entry.tensor
        numbers = f"{state[entry.tensor].numel():,}" if tensor in state else ""
        share = entry.bits / codeword.num_bits
        rows.append((tensor, entry.part, numbers, f"{entry.bits:,.1f}", f"{share:.1%}"))
        before = entry.tensor
    rows.append(("sum", "", "", f"{codeword.num_bits:,}", "100.0%"))
    console.print_table(
        f"Where the bits go, in the {codeword.code} code",
        ("tensor", "part", "numbers", "bits", "share"),
        rows,
        num_text_columns=2,
    )


def guessing_remark(bound: float, num_classes: int) -> str:
    """What to say of a bound that is not below the error of guessing among c classes; else "".

    >>> guessing_remark(0.95, 10), guessing_remark(0.8, 10)
    ('above guessing (90.00%): proves nothing', '')
    """
    guessing = 1 - 1 / num_classes
    return "" if bound < guessing else f"above guessing ({guessing:.2%}): proves nothing"


def is_vacuous(bound: float) -> bool:
    """Whether it is 100% or more, in the digits that are printed."""
    return bound > 1 - 1e-4 + 1e-9


def bound_value(bound: float) -> str:
    """A bound in percent, or that it is vacuous.

    >>> bound_value(0.2), bound_value(0.99999), bound_value(1.2)
    ('20.00%', 'vacuous', 'vacuous')
    """
    return "vacuous" if is_vacuous(bound) else percent_up(bound)


def _print_rounding(number_format: "NumberFormat") -> None:
    console.stdout().print(
        "BatchNorm folded into one scale and one shift per unit, every number rounded to "
        f"{number_format.name} (b = {number_format.bits_per_weight}: {number_format.about})",
        markup=False,
    )


def print_tensors(counts: "NetworkCounts", title: str = "Numbers of the described network") -> None:
    """Print the counts of all tensors with their shapes."""
    rows = [
        (
            row.name,
            "x".join(map(str, row.shape)) or "1",
            *_sizes(row.num_weights, row.num_nonzeros),
            f"{row.num_distinct:,}",
        )
        for row in counts.tensors
    ]
    total = counts.total
    sizes = _sizes(total.num_weights, total.num_nonzeros)
    rows.append(("all tensors", "", *sizes, f"{total.num_distinct:,}"))
    console.print_table(
        title, ("tensor", "shape", "numbers", "nonzeros", "density", "distinct values"), rows
    )


def _sizes(num_weights: int, num_nonzeros: int) -> tuple[str, str, str]:
    return f"{num_weights:,}", f"{num_nonzeros:,}", f"{num_nonzeros / max(num_weights, 1):.2%}"


def _print_errors(
    counts: "Mapping[str, ErrorCount | None]", title: str = "Errors of the described network"
) -> None:
    console.print_table(
        title,
        ("images", "number", "errors", "error"),
        [
            (name, f"{count.num_samples:,}", f"{count.num_errors:,}", f"{count.error:.2%}")
            for name, count in counts.items()
            if count is not None
        ],
    )


def _cell(bound: "Bound | None") -> str:
    if bound is None:
        return ""
    return (
        f"vacuous ({percent_up(bound.value)})"
        if is_vacuous(bound.value)
        else percent_up(bound.value)
    )


def _basis(report: "ExternalReport") -> str:
    return (
        f"B = {report.shortest_bits:,} bits: the {report.shortest.name} description and the "
        "choice of it"
    )


def _print_verdict(
    bound: "Bound | None",
    findings: "Sequence[Finding]",
    *,
    basis: str,
    delta: float,
    num_classes: int | None = None,
) -> None:
    """The one line to take home, then what has to be known about it."""
    output = console.stdout()
    if any(finding.severity == "invalid" for finding in findings):
        output.print("No certificate: no bound can be quoted, for this reason.", style="bold red")
    elif bound is not None:
        reason = f"({bound.title}, {basis})"
        verdict = _verdict(bound.value, delta, reason, num_classes)
        if is_vacuous(bound.value):
            verdict = f"Vacuous: this length proves nothing about the true error {reason}."
        output.print(verdict, markup=False, style="bold")
    for finding in sorted(findings, key=lambda each: each.severity != "invalid"):
        output.print(finding.text, markup=False)


def _verdict(bound: float, delta: float, basis: str, num_classes: int | None) -> str:
    """What a bound that is not vacuous proves."""
    remark = "" if num_classes is None else guessing_remark(bound, num_classes)
    line = f"True error <= {percent_up(bound)} with probability {1 - delta:.4g}"
    return f"{line}, {remark} {basis}." if remark else f"{line} {basis}."
