"""A table of results: means over seeds in its cells, how they read, and its files. No torch."""

import csv
import io
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from scipy.stats import t

from mdl.terminal import console
from training.system.files import write_text_atomically

CONFIDENCE = 0.95
Kind = Literal[
    "text", "as printed", "count", "millions", "percent", "bound", "points", "number", "bits"
]
MISSING = "–"
_SENTENCE = 72  # characters: a longer cell is a sentence, for which a table is no place
_BLOCK_START = "<!-- table: "
_BLOCK = re.compile(
    r"^<!-- table: (?P<head>.+?) -->$(?:(?!<!-- table: ).)*?^<!-- end -->$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True, kw_only=True)
class SeedMean:
    """The mean of one number over the runs of one setting, which differ by their seed.

    Attributes:
        mean: The mean.
        half_width: Half of the t interval at 95%; None with one seed.
        num_seeds: Runs, >= 1.
    """

    mean: float
    half_width: float | None
    num_seeds: int


def seed_mean(samples: Iterable[float]) -> SeedMean | None:
    """The mean with its interval, mean ± t(97.5%, n - 1) · s / √n; None of no values.

    The interval takes the runs as independent draws from one normal law.

    >>> two = seed_mean([0.5, 0.7])
    >>> round(two.mean, 3), round(two.half_width, 3)  # t is 12.706, s/√n is 0.1
    (0.6, 1.271)
    >>> seed_mean([0.5]).half_width is None
    True
    """
    values = [float(each) for each in samples]
    number = len(values)
    if number == 0:
        return None
    mean = math.fsum(values) / number
    if number == 1:
        return SeedMean(mean=mean, half_width=None, num_seeds=1)
    variance = math.fsum((value - mean) ** 2 for value in values) / (number - 1)
    quantile = float(t.ppf((1 + CONFIDENCE) / 2, number - 1))
    return SeedMean(mean=mean, half_width=quantile * math.sqrt(variance / number), num_seeds=number)


Cell = str | int | float | SeedMean | None


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column.

    Attributes:
        key: Its name in CSV and JSON.
        title: Its heading.
        kind: How its cells read. "percent", "bound" and "points" hold fractions; "bound" is
            rounded up, "points" carry a sign. "as printed" is text that stands with the numbers.
    """

    key: str
    title: str
    kind: Kind = "text"


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table with all that must be said with it.

    Attributes:
        name: Stem of its files.
        title: What it shows.
        columns: From left to right; those of text come first.
        rows: Cells by column key; a key that is left out is missing.
        notes: Sentences below it; empty ones are left out.
        details: More for the JSON file, primitives only.
        answer: What one reads first, in no file; "" where the table has no such line.
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[dict[str, Cell], ...]
    notes: Sequence[str] = ()
    details: dict[str, Any] = field(default_factory=dict)
    answer: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "notes", tuple(note for note in self.notes if note))

    @property
    def num_text_columns(self) -> int:
        """Columns of text at the left; the rest are set as numbers."""
        kinds = [column.kind for column in self.columns]
        return next((index for index, kind in enumerate(kinds) if kind != "text"), len(kinds))

    def texts(self) -> list[list[str]]:
        """The cells as a reader sees them, row by row."""
        return [
            [cell_text(row.get(column.key), column.kind) for column in self.columns]
            for row in self.rows
        ]

    def as_json(self) -> dict[str, Any]:
        """Primitives only; means with their intervals in full."""
        return {
            "name": self.name,
            "title": self.title,
            "columns": [asdict(column) for column in self.columns],
            "rows": [
                {column.key: _plain(row.get(column.key)) for column in self.columns}
                for row in self.rows
            ],
            "notes": list(self.notes),
        } | self.details


def cell_text(cell: Cell, kind: Kind) -> str:
    """One cell for people.

    >>> cell_text(SeedMean(mean=0.8519, half_width=0.0042, num_seeds=3), "percent")
    '85.19 ± 0.42'
    >>> cell_text(-0.0123, "points"), cell_text(256_240_800, "millions"), cell_text(None, "count")
    ('−1.23', '256.24', '–')
    """
    if cell is None:
        return MISSING
    if isinstance(cell, str):
        return cell
    if isinstance(cell, SeedMean):
        text = cell_text(cell.mean, kind)
        if not cell.half_width:  # one seed, or an exact number that is the same for all
            return text
        return f"{text} ± {cell_text(cell.half_width, 'percent' if kind == 'points' else kind)}"
    return _number_text(cell, kind)


def _number_text(value: float, kind: Kind) -> str:
    if kind == "percent":
        return f"{100 * value:.2f}"
    if kind == "bound":
        return f"{math.ceil(round(1e4 * value, 6)) / 100:.2f}"
    if kind == "points":
        return f"{100 * value:+.2f}".replace("-", "−")
    if kind == "millions":
        return f"{value / 1e6:.2f}" if value >= 1e5 else f"{value / 1e6:.4f}"
    if kind in ("count", "bits"):
        return f"{value:,.0f}"
    return f"{value:.2f}"


def row_text(template: str, columns: Iterable[Column], row: dict[str, Cell]) -> str:
    """A sentence with cells of a row, by column key; "" where one that it names is missing.

    Means are without their intervals.

    >>> column = Column(key="test", title="test (%)", kind="percent")
    >>> row_text("test {test}%", [column], {"test": 0.85}), row_text("{test}", [column], {})
    ('test 85.00%', '')
    """
    cells = {column: row.get(column.key) for column in columns}
    texts = {
        column.key: cell_text(cell.mean if isinstance(cell, SeedMean) else cell, column.kind)
        for column, cell in cells.items()
        if cell is not None
    }
    try:
        return template.format(**texts)
    except KeyError:
        return ""


def difference(ours: SeedMean | None, paper_percent: float | None) -> Cell:
    """Our mean minus the paper's number, a fraction, with our interval; None without either.

    >>> cell_text(difference(SeedMean(mean=0.6, half_width=None, num_seeds=1), 78.63), "points")
    '−18.63'
    """
    if ours is None or paper_percent is None:
        return None
    return SeedMean(
        mean=ours.mean - round(paper_percent / 100, 6),
        half_width=ours.half_width,
        num_seeds=ours.num_seeds,
    )


def fraction(paper_percent: float | None) -> float | None:
    """A printed percent as a fraction."""
    return None if paper_percent is None else round(paper_percent / 100, 6)


def filled(columns: Sequence[Column], rows: Sequence[dict[str, Cell]]) -> tuple[Column, ...]:
    """The columns in which some row has a cell: what a data set of no paper leaves out."""
    return tuple(
        column for column in columns if any(row.get(column.key) is not None for row in rows)
    )


def _plain(cell: Cell) -> Any:
    return asdict(cell) if isinstance(cell, SeedMean) else cell


def write_table(table: Table, out: Path) -> list[Path]:
    """Write NAME.md, NAME.csv and NAME.json into a folder.

    Raises:
        OSError: The folder is missing or not writable.
    """
    texts = {
        "md": markdown(table),
        "csv": comma_separated(table),
        "json": json.dumps(
            table.as_json(), indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False
        )
        + "\n",
    }
    paths = []
    for suffix, text in texts.items():
        path = out / f"{table.name}.{suffix}"
        write_text_atomically(path, text)
        paths.append(path)
    return paths


def markdown(table: Table) -> str:
    """The table in Markdown: title, table, notes."""
    lines = [f"**{table.title}**", ""]
    lines.append(_markdown_row([column.title for column in table.columns]))
    marks = ["---"] * table.num_text_columns
    marks += ["--:"] * (len(table.columns) - len(marks))
    lines.append("|" + "|".join(marks) + "|")
    lines += [_markdown_row(texts) for texts in table.texts()]
    lines += ["", *(f"- {note}" for note in table.notes)]
    return "\n".join(lines).rstrip() + "\n"


def fill_page(text: str, tables: Mapping[str, Table]) -> str:
    """The text of a Markdown page with its tables drawn anew.

    A table stands between the lines `<!-- table: PLACE KEY ... -->` and `<!-- end -->`, without
    its notes; keys of columns, if there are any, say which to show.

    Args:
        text: The page.
        tables: By place. What the page has of other places is left as it is.

    Raises:
        ValueError: There is no such block, or one without an end, or with a column that its table
            does not have.
    """

    def draw(block: re.Match[str]) -> str:
        place, *keys = block["head"].split()
        if place not in tables:
            return block[0]
        table = tables[place]
        by_key = {column.key: column for column in table.columns}
        unknown = [key for key in keys if key not in by_key]
        if unknown:
            raise ValueError(
                f"table {place} has no column {unknown[0]!r}; its columns are {', '.join(by_key)}"
            )
        columns = tuple(by_key[key] for key in keys) or table.columns
        drawn = markdown(replace(table, columns=columns, notes=()))
        return f"<!-- table: {block['head']} -->\n{drawn}<!-- end -->"

    blocks = _BLOCK.findall(text)
    if text.count(_BLOCK_START) != len(blocks):
        raise ValueError("a line <!-- table: ... --> has no line <!-- end --> after it")
    if not any(head.split()[0] in tables for head in blocks):
        raise ValueError(
            "no table of these stands there; give it two lines, as <!-- table: "
            f"{next(iter(tables), 'laptop/cifar10/table2')} --> and <!-- end -->"
        )
    return _BLOCK.sub(draw, text)


def comma_separated(table: Table) -> str:
    """The table as CSV, numbers in full; a mean has columns for its half-width and its seeds."""
    means = {
        column.key
        for column in table.columns
        if any(isinstance(row.get(column.key), SeedMean) for row in table.rows)
    }
    names = []
    for column in table.columns:
        names.append(column.key)
        if column.key in means:
            names += [f"{column.key}_half_width", f"{column.key}_num_seeds"]
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(names)
    for row in table.rows:
        values: list[Cell] = []
        for column in table.columns:
            values += _csv_values(row.get(column.key), is_mean=column.key in means)
        writer.writerow(values)
    return file.getvalue()


def print_table(table: Table) -> None:
    """Print the table and its notes on stdout; as a list where cells are sentences."""
    titles, rows, output = (
        [column.title for column in table.columns],
        table.texts(),
        console.stdout(),
    )
    if any(len(cell) > _SENTENCE for row in rows for cell in row):
        for line in console.wrap(table.title):
            output.print(line, style="bold", markup=False)
        for line in (line for row in rows for line in _entry(titles, row)):
            output.print(line, markup=False, soft_wrap=True)
    else:
        console.print_table(table.title, titles, rows, num_text_columns=table.num_text_columns)
    for line in (line for note in table.notes for line in console.wrap(f"  {note}")):
        output.print(line, markup=False, soft_wrap=True)


def _entry(titles: Sequence[str], row: Sequence[str]) -> list[str]:
    """A row as lines: its first two cells, then the others below with their titles."""
    number, claim, *others = row
    cells = [f"{title}: {cell}" for title, cell in zip(titles[2:], others, strict=True) if cell]
    short = [cell for cell in cells if len(cell) <= _SENTENCE]
    lines = [f"{number} {claim}", *(["; ".join(short)] if short else [])]
    lines += [cell for cell in cells if len(cell) > _SENTENCE]
    flowed = [console.wrap(line, indent="    ") for line in lines]
    return [*flowed[0], *(f"    {part.strip()}" for each in flowed[1:] for part in each)]


def _csv_values(cell: Cell, *, is_mean: bool) -> list[Cell]:
    if isinstance(cell, SeedMean):
        return [cell.mean, cell.half_width, cell.num_seeds]
    return [cell, None, None] if is_mean else [cell]


def _markdown_row(texts: Sequence[str]) -> str:
    return "| " + " | ".join(text.replace("|", "\\|") for text in texts) + " |"
