"""What README shows of `results/laptop` is what the stored results say, cell by cell."""

import re
from pathlib import Path

import pytest

from mdl.experiments.artefacts.catalogue import ARTEFACTS
from mdl.experiments.reproduce.scales import scale_on
from mdl.experiments.reproduce.tables import Table
from mdl.experiments.store.result_store import Results, ResultStore

ROOT = Path(__file__).parents[4]
STORE = ResultStore(ROOT / "results" / "laptop")
CIFAR = "../shared/data/cifar10"
SHOWN = [
    *((CIFAR, name) for name in ("table1", "table2", "claims", "mdl-view", "figure5")),
    *(("glyphs", name) for name in ("table1", "table2")),
]


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def readme_tables() -> dict[str, list[list[str]]]:
    """The tables of README that have a title in bold above them: titles, then rows."""
    tables: dict[str, list[list[str]]] = {}
    title = None
    for line in (ROOT / "README.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("**") and line.endswith("**"):
            title = line.strip("*")
        elif title and line.startswith("|"):
            if not line.startswith("|--"):
                tables.setdefault(title, []).append(cells(line))
        elif line:
            title = None
    return tables


@pytest.fixture(scope="module")
def shown() -> dict[str, list[list[str]]]:
    return readme_tables()


def drawn(source: str, name: str) -> list[Table]:
    return list(ARTEFACTS[name].tables(scale_on("laptop", (source,)), Results(STORE)))


@pytest.mark.sample(3)
@pytest.mark.parametrize(("source", "name"), SHOWN)
def test_the_tables_of_the_readme_are_drawn_from_the_results(source, name, shown) -> None:
    tables = [table for table in drawn(source, name) if table.title in shown]
    assert tables, f"README shows no table of {name}"
    for table in tables:
        heads, *rows = shown[table.title]
        titles = [column.title for column in table.columns]
        places = [titles.index(head) for head in heads]
        expected = [[texts[place] for place in places] for texts in table.texts()]
        assert rows == expected


def test_the_readme_has_no_other_table_of_results(shown) -> None:
    titles = {table.title for source, name in SHOWN for table in drawn(source, name)}
    assert set(shown) <= titles


def test_the_readme_says_how_many_runs_there_are_and_how_long_they_took() -> None:
    text = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    (found,) = re.findall(r"The store holds (\d+) runs, ([\d.]+) hours of training", text)
    results = STORE.all()
    hours = sum(result.seconds for result in results) / 3600
    assert found == (str(len(results)), f"{hours:.1f}")
