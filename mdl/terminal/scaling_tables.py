"""The tables of `mdl scaling` in a terminal: several narrow ones, for 80 to 100 columns."""

from collections.abc import Sequence
from fractions import Fraction

from analysis.scaling.formulas import APPROXIMATE_TOTALS, to_unicode
from analysis.scaling.growth import V100_MEMORY_GIB
from analysis.scaling.report import ScalingReport
from analysis.scaling.scaling import SLIP_REASONS, Slip
from mdl.terminal import console

TABLE_NUMBERS = {"d": 3, "s": 4}
_COLUMNS = ("layer", "as printed", "exact", "= printed", "= exact", "differs")


def answer_report(report: ScalingReport, *, next_: Sequence[str]) -> None:
    """Print one table of all totals, and why printed and exact ones differ."""
    slips = [slip for network in report.networks.values() for slip in network.total.slips]
    wrong = sum(bool(network.total.slips) for network in report.networks.values())
    channels = f"{report.in_channels} channel{'s' if report.in_channels != 1 else ''}"
    console.print_answer(
        f"Weights of {len(report.networks)} networks at s = {report.image_size}, "
        f"c = {report.num_classes}, {channels}; {wrong} printed totals are not exact.",
        *(f"{slip.value}: {SLIP_REASONS[slip]}." for slip in Slip if slip in slips),
        table=console.Rows(
            columns=("network", "width", "as printed", "exact", "differs"),
            rows=[
                (
                    name,
                    width_text(report, name),
                    format_number(network.total.num_printed),
                    format_number(network.total.num_exact),
                    slips_text(network.total.slips),
                )
                for name, network in report.networks.items()
            ],
            num_text_columns=2,
        ),
        next_=next_,
    )


def print_report(report: ScalingReport) -> None:
    """Print Tables 3 and 4, their totals, Table 1's sizes, and widths for budgets and memory."""
    image = (
        f"s = {report.image_size}, c = {report.num_classes}, "
        f"{report.in_channels} channel{'s' if report.in_channels != 1 else ''}"
    )
    for family, number in TABLE_NUMBERS.items():
        names = [name for name in report.networks if name.startswith(f"{family}-")]
        for name in names:
            _print_layers(report, name, f"Table {number}, {name}")
        title = f"Table {number}, totals at {width_text(report, names[0])}: {image}"
        _print_totals(report, names, names, title)
    others = [name for name in report.networks if name[0] not in TABLE_NUMBERS]
    labels = [f"{name}, {width_text(report, name)}" for name in others]
    _print_totals(report, others, labels, f"Networks without a printed formula: {image}")
    _print_padding(report)
    _print_published(report)
    _print_budget(report, image)
    _print_memory(report, image)
    _print_reasons(report)


def format_number(value: Fraction | int | None) -> str:
    """Digits in groups of three; one decimal where a printed formula is not whole.

    >>> format_number(Fraction(11713920)), format_number(Fraction(9, 2))
    ('11,713,920', '4.5')
    """
    if value is None:
        return ""
    return f"{int(value):,}" if Fraction(value).denominator == 1 else f"{float(value):,.1f}"


def width_text(report: ScalingReport, name: str) -> str:
    """The width of a network as text: α = 15, or h = 14533."""
    return f"{width_name(name)} = {report.width(name)}"


def width_name(name: str) -> str:
    """α, or h for 3-fc."""
    return "h" if name == "3-fc" else "α"


def slips_text(slips: Sequence[Slip]) -> str:
    """The slips in words, one after another."""
    return ", ".join(slip.value for slip in slips)


def slips_present(report: ScalingReport) -> list[Slip]:
    """Every slip that some row of the report carries, in the order of `Slip`."""
    found = {row.slip for row in report.published}
    for network in report.networks.values():
        found |= set(network.total.slips)  # a layer's slips are among its total's
    return [slip for slip in Slip if slip in found]


def _print_layers(report: ScalingReport, name: str, title: str) -> None:
    rows = []
    for row in report.networks[name].layers:
        printed = "" if row.printed is None else to_unicode(row.printed)
        rows.append(
            (
                row.layer,
                printed,
                to_unicode(row.exact),
                format_number(row.num_printed),
                format_number(row.num_exact),
                slips_text(row.slips),
            )
        )
    console.print_table(f"{title}: {width_text(report, name)}", _COLUMNS, rows, num_text_columns=3)


def _print_totals(
    report: ScalingReport, names: Sequence[str], labels: Sequence[str], title: str
) -> None:
    rows = []
    for name, label in zip(names, labels, strict=True):
        total = report.networks[name].total
        exact = ("exact", to_unicode(total.exact), format_number(total.num_exact), "")
        if total.printed is None:
            rows.append((label, *exact))
            continue
        sign = "≈ " if name in APPROXIMATE_TOTALS else ""
        rows.append(
            (
                label,
                "printed",
                f"{sign}{to_unicode(total.printed)}",
                format_number(total.num_printed),
                slips_text(total.slips),
            )
        )
        rows.append(("", *exact))
    console.print_table(
        title, ("network", "", "weights", "number", "differs"), rows, num_text_columns=3
    )


def _print_padding(report: ScalingReport) -> None:
    rows = [
        (
            name,
            format_number(network.num_padding),
            f"{network.num_padding / network.num_convolutional:.1%}",
        )
        for name, network in report.networks.items()
        if network.num_padding
    ]
    if rows:
        console.print_table(
            "Weights that look only at padding and never act",
            ("network", "weights", "of its conv layers"),
            rows,
        )


def _print_published(report: ScalingReport) -> None:
    rows = []
    for row in report.published:
        if row.column != "orig." and row.network.endswith("fc"):
            continue  # an fc network is its own embedding: the same size once more
        rows.append(
            (
                row.network,
                row.column,
                f"{row.millions} M",
                f"{row.num_exact / 1e6:.2f} M",
                format_number(row.num_exact),
                f"{width_name(row.network)} = {row.width}",
                "" if row.slip is None else row.slip.value,
            )
        )
    console.print_table(
        "Table 1's sizes (s = 32, c = 10, 3 channels)",
        ("network", "column", "printed", "exact", "weights", "width", "differs"),
        rows,
        num_text_columns=2,
    )


def _print_budget(report: ScalingReport, image: str) -> None:
    rows = [
        (
            found.network,
            f"{width_name(found.network)} = {found.width}",
            format_number(found.num_weights),
            f"{found.root:,.2f}",
        )
        for found in report.budget_widths
    ]
    console.print_table(
        f"Widest within {report.budget:,.0f} weights: {image}",
        ("network", "width", "weights", "root of the formula"),
        rows,
    )


def _print_memory(report: ScalingReport, image: str) -> None:
    rows = [
        (
            fit.network,
            f"{width_name(fit.network)} = {fit.width}",
            format_number(fit.num_weights),
            f"{fit.memory_gib:.2f} GiB",
            "yes" if fit.fits else "no",
            f"{width_name(fit.network)} = {fit.max_width}",
        )
        for fit in report.memory_fits
    ]
    console.print_table(
        f"Training on a 16-bit V100: {image}",
        ("network", "width", "weights", "memory", "fits", "widest that fits"),
        rows,
    )
    console.stdout().print(memory_note(report), markup=False)


def memory_note(report: ScalingReport) -> str:
    """What the memory limit assumes, in a sentence or two."""
    note = (
        f"{report.memory_gib:g} GiB at {report.bytes_per_weight:g} bytes a weight hold "
        f"{report.max_weights:,} weights."
    )
    if report.memory_gib == V100_MEMORY_GIB and report.bytes_per_weight == 8:
        note += (
            " The paper states neither number: 8 bytes are a 16-bit weight and its 16-bit "
            "gradient beside a float32 copy. Momentum adds 4. Activations come on top."
        )
    return note


def _print_reasons(report: ScalingReport) -> None:
    output = console.stdout()
    output.print("Why printed and exact differ:", style="bold")
    for slip in slips_present(report):
        output.print(f"  {slip.value}: {SLIP_REASONS[slip]}", markup=False)
