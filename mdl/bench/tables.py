"""The bench as tables: a header with the machine, a table for each group, and what to mind."""

from collections.abc import Iterator, Sequence
from typing import Any

from mdl.bench.lines import Line
from mdl.bench.report import BenchReport, BenchStart, why_not_published
from mdl.terminal import console
from mdl.timing.rounds import MIN_ROUNDS

_TITLES = {
    "optimizer": "Optimizer step",
    "step": "Training step",
    "sparse": "Sparse layers",
    "qat": "Quantization-aware step",
    "augmentation": "Augmentation",
    "checkpoint": "Checkpoint",
    "bound": "Bound, counts and lengths alone",
    "encode": "Encode",
    "count": "Errors in exact integers",
}
_IN_TRAINING = ("optimizer", "step", "sparse", "augmentation")
"""Groups whose pieces have training's arithmetic."""
_COLUMNS = ("piece, and plain forms of it", "rate", "ms", "x floor", "speed-up")
_PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def print_start(start: BenchStart) -> None:
    """Print the machine, its instructions and what it can do at best on stdout."""
    machine = start.machine
    place = machine["gpu"] or machine["device"]
    lines = [
        f"{machine['cpu']}, {machine['cores']} cores, {machine['threads']} threads; "
        f"{_instructions(start)}",
        f"Device {place}; torch {machine['torch']}, Python {machine['python']}; "
        f"copy {_scale(start.copy_bytes_per_second)}B/s read and written",
    ]
    if machine["limits"]:
        limits = ", ".join(
            name if "," in value else f"{name}={value}" for name, value in machine["limits"].items()
        )
        lines.append(f"Instructions limited by {limits}")
    lines += [
        f"{peak.dtype} matmul peak {_scale(peak.flop_per_second)}FLOP/s at "
        + " x ".join(map(str, peak.shape))
        for peak in start.peaks
    ]
    lines.append(
        "x floor: the time over that of the floor, which stands below each table. speed-up: how "
        "many times as long a plain form (-) of the piece above it takes."
    )
    for line in lines:
        console.stdout().print(line, markup=False)


def print_group(start: BenchStart, group: str, lines: Sequence[Line]) -> None:
    """Print the table of a group on stdout; its title has the instructions and the arithmetic."""
    rows = [row for line in lines for row in _rows(line)]
    arithmetic = f"{start.precision} on " if group in _IN_TRAINING else ""
    title = f"{_TITLES[group]}, {arithmetic}{_instructions(start)}"
    console.print_table(title, _COLUMNS, rows)
    _print_floors(lines)
    _print_few_rounds(lines)
    _print_facts(group, lines)


def print_end(report: BenchReport) -> None:
    """Print what makes figures doubtful, or unfit for publication, on stdout."""
    unsteady = [line for lines in report.groups.values() for line in lines if not line.is_steady]
    if unsteady:
        console.stdout().print(
            "Something else may run here: run again when it is done. Rounds differ widely in "
            + "; ".join(line.piece for line in unsteady),
            markup=False,
        )
    reason = why_not_published(report.start.machine)
    if reason is not None:
        console.stdout().print(f"These figures are not for publication: {reason}.", markup=False)


def _instructions(start: BenchStart) -> str:
    if start.machine["gpu"]:
        return str(start.machine["gpu"])
    return ", ".join(start.machine["instructions"])


def _rows(line: Line) -> Iterator[tuple[str, ...]]:
    """The line, then a row for each plain form."""
    rate, is_bytes = _scale(line.rate), line.unit == "bytes"
    yield (
        line.piece,
        f"{rate}B/s" if is_bytes else f"{rate.rstrip()} {line.unit}/s",
        _milliseconds(line.timing.median),
        f"{line.ratio:.2f}",
        "",
    )
    for baseline in line.baselines:
        speedup = f"{line.speedup(baseline):.1f}x"
        yield (f"- {baseline.name}", "", _milliseconds(baseline.timing.median), "", speedup)


def _print_floors(lines: Sequence[Line]) -> None:
    floors: dict[str, list[str]] = {}
    for line in lines:
        floors.setdefault(line.floor, []).append(line.piece.split(",")[0])
    for floor, pieces in floors.items():
        of = "" if len(floors) == 1 else f" of {', '.join(dict.fromkeys(pieces))}"
        console.stdout().print(f"Floor{of}: {floor}.", markup=False)


def _print_few_rounds(lines: Sequence[Line]) -> None:
    """Say which plain forms were timed once, and which pieces fewer times than is usual."""
    few = [
        f"{each.name} of {line.piece}"
        for line in lines
        for each in line.baselines
        if len(each.timing.seconds) == 1 and len(line.timing.seconds) > 1
    ]
    few += [line.piece for line in lines if len(line.timing.seconds) < MIN_ROUNDS]
    if few:
        text = f"Timed fewer than {MIN_ROUNDS} times, for one call takes long: {'; '.join(few)}."
        console.stdout().print(text, markup=False)


def _print_facts(group: str, lines: Sequence[Line]) -> None:
    if group == "step":
        columns = (
            "network",
            "augmentation ms",
            "forward, backward ms",
            "optimizer ms",
            "augmentation",
            "of the matmul peak",
        )
        console.print_table("Where the step goes", columns, [_parts(line.facts) for line in lines])
        text = "Of the matmul peak: the products' FLOPs over the step without its augmentation."
        console.stdout().print(text, markup=False)
    if group == "qat":
        for facts in (line.facts for line in lines):
            text = (
                f"{facts['precision']}: {_scale(facts['flop'])}FLOP, "
                f"{_milliseconds(facts['peak_seconds'])} ms at the matmul peak; "
                f"{_scale(facts['bytes'])}B, {_milliseconds(facts['copy_seconds'])} ms as a copy."
            )
            console.stdout().print(text, markup=False)
    if group == "sparse":
        _print_sparse_steps([line for line in lines if "nominal_screened" in line.facts])
    if group == "encode":
        facts = lines[-1].facts
        console.stdout().print(
            f"{facts['bits']:,} bits; lzma takes {facts['lzma_bits']:,}.", markup=False
        )
    if group == "optimizer":
        checked = [line for line in lines if "support_is_the_reference's" in line.facts]
        same = all(line.facts["support_is_the_reference's"] for line in checked)
        backends = ", ".join(dict.fromkeys(str(line.facts["backend"]) for line in lines))
        left = "is as in the reference" if same else "DIFFERS from the reference"
        console.stdout().print(
            f"Ran by {backends}. Which weights are left after a step of β-lasso {left}.",
            markup=False,
        )


def _print_sparse_steps(lines: Sequence[Line]) -> None:
    """The steps by the share of screened rows, beside the dense and the plain one."""
    if not lines:
        return
    layers = list(lines[0].facts["screened"])
    names = [baseline.name for baseline in lines[0].baselines]
    columns = (
        "rows screened",
        *(f"measured, {name}" for name in layers),
        "weights back a step",
        "step ms",
        *(f"over {name}" for name in names),
    )
    rows = [
        (
            f"{line.facts['nominal_screened']:.0%}",
            *(f"{line.facts['screened'][name]:.1%}" for name in layers),
            f"{sum(line.facts['regrown_per_step'].values()):,.1f}",
            _milliseconds(line.timing.median),
            *(f"{line.speedup(baseline):.2f}x" for baseline in line.baselines),
        )
        for line in lines
    ]
    console.print_table("Step with sparse layers, by screened rows", columns, rows)
    facts = lines[-1].facts
    sizes = ", ".join(
        f"{name} {facts['bytes_per_entry'][name]:.1f} at {facts['entries_after'][name]:,} entries"
        for name in layers
    )
    memory, dense = facts["weight_bytes"], facts["dense_weight_bytes"]
    text = f"Bytes an entry: {sizes}. Weights in all {_scale(memory)}B, dense {_scale(dense)}B."
    console.stdout().print(text, markup=False)


def _parts(facts: dict[str, Any]) -> tuple[str, ...]:
    return (
        facts["network"],
        _milliseconds(facts["augmentation_seconds"]),
        _milliseconds(facts["rest_seconds"]),
        _milliseconds(facts["optimizer_seconds"]),
        f"{facts['augmentation_share']:.0%}",
        f"{facts['peak_share']:.0%}",
    )


def _milliseconds(seconds: float) -> str:
    return f"{1e3 * seconds:,.3g}" if seconds < 1 else f"{1e3 * seconds:,.0f}"


def _scale(value: float) -> str:
    """A number with its prefix.

    >>> _scale(4.3e12), _scale(12.0)
    ('4.3 T', '12 ')
    """
    for size, prefix in _PREFIXES:
        if value >= size:
            return f"{value / size:.3g} {prefix}"
    return f"{value:.3g} "
