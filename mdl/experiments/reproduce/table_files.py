"""Tables as files (Markdown, CSV, JSON) and in a terminal."""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path

from mdl.experiments.reproduce.tables import Cell, Table
from mdl.experiments.store.seed_mean import SeedMean
from mdl.terminal import console
from training.system.files import write_text_atomically


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
    """Print the table and its notes on stdout."""
    console.print_table(
        table.title,
        [column.title for column in table.columns],
        table.texts(),
        num_text_columns=table.num_text_columns,
    )
    output = console.stdout()
    for note in table.notes:
        output.print(f"  {note}", markup=False)


def _csv_values(cell: Cell, *, is_mean: bool) -> list[Cell]:
    if isinstance(cell, SeedMean):
        return [cell.mean, cell.half_width, cell.num_seeds]
    return [cell, None, None] if is_mean else [cell]


def _markdown_row(texts: Sequence[str]) -> str:
    return "| " + " | ".join(text.replace("|", "\\|") for text in texts) + " |"
