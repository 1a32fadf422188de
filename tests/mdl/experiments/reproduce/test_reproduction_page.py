"""docs/reproduction.md, results/laptop/drawn and README say what the stored results say."""

import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from mdl.experiments.artefacts.catalogue import ARTEFACTS
from mdl.experiments.claims.claim import Judgement
from mdl.experiments.claims.verdicts import judge
from mdl.experiments.reproduce.scales import scale_on
from mdl.experiments.reproduce.tables import Table, fill_page, markdown
from mdl.experiments.store.result_store import Results, ResultStore

ROOT = Path(__file__).parents[4]
PAGE = ROOT / "docs" / "reproduction.md"
DRAWN = ROOT / "results" / "laptop" / "drawn"
STORE = ResultStore(ROOT / "results" / "laptop")


def own_policy() -> dict[str, Any]:
    """The table of the stored runs with a policy, which the gain map is drawn by."""
    for result in STORE.all():
        augmentation = result.config.augmentation
        if augmentation.policy_table is not None:
            return {"policy": augmentation.policy, "policy_table": augmentation.policy_table}
    raise AssertionError("no run has a policy")


CIFAR, GLYPHS = (
    scale_on("laptop", (source,), policy=own_policy())
    for source in ("../shared/data/cifar10", "glyphs")
)


def drawn(folder: Path) -> dict[str, Table]:
    """The tables of a folder of drawings, by the stems of their files."""
    scale, found = (GLYPHS if folder.name == "glyphs" else CIFAR), Results(STORE)
    stems = {path.stem for path in folder.glob("*.md")}
    artefacts = [each for name, each in ARTEFACTS.items() if name in stems]
    return {table.name: table for each in artefacts for table in each.tables(scale, found)}


@pytest.fixture(scope="module")
def tables() -> dict[str, Table]:
    """All tables that are kept, by their place on the page."""
    folders = {"laptop/cifar10": DRAWN, "laptop/glyphs": DRAWN / "glyphs"}
    return {
        f"{place}/{name}": table
        for place, folder in folders.items()
        for name, table in drawn(folder).items()
    }


def test_the_page_is_as_mdl_reproduce_page_draws_it(tables) -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert fill_page(text, tables) == text
    assert set(re.findall(r"^<!-- table: (\S+)", text, re.MULTILINE)) <= set(tables)


def test_the_page_has_no_other_table() -> None:
    text = PAGE.read_text(encoding="utf-8")
    prose = re.sub(r"<!-- table: .*?<!-- end -->", "", text, flags=re.DOTALL)
    assert not [line for line in prose.splitlines() if line.startswith("|")]


@pytest.mark.parametrize("folder", [DRAWN, DRAWN / "glyphs"], ids=lambda folder: folder.name)
def test_the_tables_that_are_kept_are_drawn_from_the_results(folder: Path) -> None:
    texts = {path.stem: path.read_text(encoding="utf-8") for path in folder.glob("*.md")}
    assert texts == {name: markdown(table) for name, table in drawn(folder).items()}


def quoted() -> dict[str, str]:
    """Patterns of what prose quotes of the results, each with the number that must stand there."""
    results = STORE.all()
    verdicts = Counter(one.judgement for one in judge(CIFAR, Results(STORE)))
    return {
        r"(\d+) of 13 claims": str(verdicts[Judgement.REPRODUCED]),
        r"cannot tell about (\d+)": str(verdicts[Judgement.NOT_AT_THIS_SCALE]),
        r"store holds (\d+) runs": str(len(results)),
        r"runs, ([\d.]+) hours": f"{sum(result.seconds for result in results) / 3600:.1f}",
    }


@pytest.mark.parametrize(("path", "quotes_all"), [(PAGE, True), (ROOT / "README.md", False)])
def test_numbers_in_prose_are_those_of_the_results(path: Path, quotes_all: bool) -> None:
    """README may quote fewer; to check another number there, add its pattern to `quoted`."""
    text = " ".join(path.read_text(encoding="utf-8").split())
    for pattern, expected in quoted().items():
        found = re.findall(pattern, text)
        assert found or not quotes_all, pattern
        assert set(found) <= {expected}, pattern
