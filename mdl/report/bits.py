"""Where the bits go, layer by layer, and what their number proves about the true error."""

from collections.abc import Sequence

from analysis.bounds.bounds import ErrorCount
from analysis.describe.bound_report import BITS, BoundReport
from analysis.describe.validity import is_certificate
from figures.bit_ledger import PART_COLORS, group_entries
from mdl.report.markup import Markup, chip, details, element, table
from mdl.report.measurements import MeasuredBits, MeasuredRun
from mdl.report.overview import bound_text
from mdl.terminal.bound_tables import DESCRIPTIONS, bound_value, is_vacuous

_PARTS = tuple(PART_COLORS)
_SCALE = 1000  # width of a bar's drawing; it is stretched to the page's


def draw_ledgers(runs: Sequence[MeasuredRun]) -> Markup:
    """Bars by layer, cut into parts; each run on its own scale."""
    key = element(
        "ul",
        (
            element("li", element("span", class_=f"swatch p{place}", aria_hidden="true"), part)
            for place, part in enumerate(_PARTS)
        ),
        class_="legend",
    )
    articles = []
    for style, run in enumerate(runs):
        heading = element("h3", chip(style), run.run.name) if len(runs) > 1 else None
        if run.bits is None:
            content = element("p", "There is no network that can be described.")
        else:
            content = _draw_ledger(run.bits)
        articles.append(element("article", heading, content))
    scales = " Each run has its own scale." if len(runs) > 1 else ""
    note = f"A bar is the bits of a layer's tensors, as the decoder consumed them.{scales}"
    return element(
        "div", key, element("div", articles, class_="runs"), element("p", note, class_="note")
    )


def _draw_ledger(bits: MeasuredBits) -> Markup:
    codeword = bits.codeword
    rows = group_entries(codeword.ledger.entries)
    largest = max(sum(parts.values()) for parts in rows.values())
    total = codeword.num_bits
    bars = [_bar(name, parts, largest, total) for name, parts in rows.items()]
    form = codeword.message.number_format
    headline = element(
        "p",
        element("strong", f"{total:,}"),
        f" bits in the {codeword.code} code, {form.name} (b = {form.bits_per_weight})",
    )
    entries = [
        (entry.tensor, entry.part, f"{entry.bits:,.1f}", f"{entry.bits / total:.1%}")
        for entry in codeword.ledger.entries
    ]
    whole = table(
        ("tensor", "part", "bits", "share"), entries, title="The ledger", num_text_columns=2
    )
    return element(
        "div", headline, element("ul", bars, class_="bars"), details("Every entry", whole)
    )


def _bar(name: str, parts: dict[str, float], largest: float, total: int) -> Markup:
    bits = sum(parts.values())
    pieces, left = [], 0.0
    for place, part in enumerate(_PARTS):
        if not parts.get(part):
            continue
        width = _SCALE * parts[part] / largest
        words = f"{part}: {parts[part]:,.0f} bits"
        pieces.append(
            element(
                "rect", element("title", words), x=left, width=width, height=10, class_=f"p{place}"
            )
        )
        left += width
    found = ", ".join(f"{part} {parts[part]:,.0f}" for part in _PARTS if parts.get(part))
    drawing = element(
        "svg",
        pieces,
        viewBox=f"0 0 {_SCALE} 10",
        preserveAspectRatio="none",
        role="img",
        aria_label=f"{name}: {bits:,.0f} bits, of which {found}",
    )
    return element(
        "li",
        element("span", name, class_="name"),
        drawing,
        element("span", f"{bits:,.0f} ({bits / total:.1%})", class_="value"),
    )


def draw_bounds(runs: Sequence[MeasuredRun]) -> Markup:
    """The verdict of each run, all bounds, the paper's descriptions, and what must be known."""
    found = [(run.run.name, run.bits) for run in runs if run.bits is not None]
    verdicts = [element("li", element("b", f"{name}: "), _verdict(bits)) for name, bits in found]
    reports = [(name, bits.report) for name, bits in found if bits.report is not None]
    return element(
        "div",
        element("ul", verdicts, class_="verdicts"),
        _bounds_table(reports) if reports else None,
        _lengths_table(found),
        _findings(reports),
    )


def _verdict(bits: MeasuredBits) -> str:
    report = bits.report
    if report is None:
        return bits.missing
    if not is_certificate(report.findings):
        return "no certificate: no bound can be quoted, for a reason given below."
    if is_vacuous(report.bound.value):
        return f"vacuous: B = {report.description_bits:,} bits prove nothing about the true error."
    what = "true error" if report.bound.beats_guessing(report.spec.num_classes) else "bound"
    return (
        f"{what} {bound_text(report)}; {report.bound.title} at B = "
        f"{report.description_bits:,} bits and m = {report.num_samples:,} images."
    )


def _bounds_table(reports: Sequence[tuple[str, BoundReport]]) -> Markup:
    each = [report for _, report in reports]
    rows: list[tuple[str, ...]] = [
        ("B, bits", *(f"{report.description_bits:,}" for report in each)),
        ("training images, m", *(f"{report.num_samples:,}" for report in each)),
        ("training error, described network", *(_share(report.train) for report in each)),
    ]
    for name in ("validation", "test"):
        counts = [getattr(report, name) for report in each]
        if any(count is not None for count in counts):
            rows.append((f"{name} error, described network", *map(_share, counts)))
    first = len(rows)
    titles = {bound.name: bound.title for report in each for bound in report.bounds[BITS]}
    for name, title in titles.items():
        values = [
            next((bound.value for bound in report.bounds[BITS] if bound.name == name), None)
            for report in each
        ]
        rows.append((title, *map(_percent, values)))
    quoted = first + list(titles).index(each[0].bound.name)
    if any(report.hold_out is not None for report in each):
        outs = [None if report.hold_out is None else report.hold_out.value for report in each]
        rows.append(("hold-out, if these images chose nothing", *map(_percent, outs)))
    return table(
        ("bound on the true error", *(name for name, _ in reports)),
        rows,
        title="Bounds on the true error",
        marked=(quoted,),
    )


def _lengths_table(found: Sequence[tuple[str, MeasuredBits]]) -> Markup:
    rows = [("our code", *(f"{bits.codeword.num_bits:,} bits" for _, bits in found))]
    for name in dict.fromkeys(name for _, bits in found for name in bits.lengths):
        cells = []
        for _, bits in found:
            cell = f"{bits.lengths[name].whole_bits:,} bits"
            if bits.report is not None:
                cell += f", bound {_percent(bits.report.bounds[name][-1].value)}"
            cells.append(cell)
        rows.append((DESCRIPTIONS.get(name, name), *cells))
    columns = ("description", *(name for name, _ in found))
    return details("The paper's descriptions", table(columns, rows, title="Description lengths"))


def _findings(reports: Sequence[tuple[str, BoundReport]]) -> Markup | None:
    """Notes, each once, with the runs that it is about where it is not about all."""
    notes: dict[str, list[str]] = {}
    for name, report in reports:
        for text in report.notes:
            notes.setdefault(text, []).append(name)
    items = [
        element(
            "li", element("b", f"{', '.join(names)}: ") if len(names) < len(reports) else None, text
        )
        for text, names in notes.items()
    ]
    return details("What must be known about these bounds", element("ul", items)) if items else None


def _share(count: ErrorCount | None) -> str:
    return "" if count is None else f"{count.error:.2%}"


def _percent(value: float | None) -> str:
    return "" if value is None else bound_value(value)
