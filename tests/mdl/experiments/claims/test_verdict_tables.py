import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mdl.experiments.claims.catalogue import judge
from mdl.experiments.claims.claim import Effect, Outcome, Unit, effect_text
from mdl.experiments.claims.verdict_tables import Claims, verdict_tables
from mdl.experiments.reproduce.artefact import NothingFound
from mdl.experiments.reproduce.scales import SCALES, scale_on
from mdl.experiments.reproduce.tables import write_table
from mdl.experiments.store.result_store import Results

LAPTOP = SCALES["laptop"]


def effect(**changes: Any) -> Effect:
    values: dict[str, Any] = {
        "label": "a over b",
        "unit": Unit.POINTS,
        "estimate": 0.0123,
        "low": -0.001,
        "high": 0.02,
        "confidence": 0.95,
        "p_value": 0.1,
        "above": 0.0,
        "within": None,
        "outcome": Outcome.OPEN,
        "basis": "seeds",
        "published": None,
        "source": "",
    }
    return Effect(**values | changes)


def test_effects_in_words() -> None:
    assert effect_text(effect()) == "a over b +1.23 (−0.10 to +2.00)"
    assert effect_text(effect(within=0.02)).endswith(", within ∓2 points is the same")
    assert effect_text(effect(above=0.02)).endswith(", above +2.00 was asked")
    orders = effect(unit=Unit.TAU, estimate=0.36, p_value=0.2749)
    assert effect_text(orders).startswith("a over b +0.36")
    assert effect_text(orders).endswith(", as far from 0 in 27 % of all orders")
    ratio = effect(unit=Unit.RATIO, estimate=2.0, low=1.5, high=1234.0, above=1.0)
    assert effect_text(ratio) == "a over b ×2.00 (×1.50 to ×1,234)"


def test_files_hold_all_verdicts(world: Callable[..., Any], tmp_path: Path) -> None:
    verdicts = judge(LAPTOP, world().results)
    for table in verdict_tables(verdicts, notes=("Reduced.",)):
        write_table(table, tmp_path)
    kept = json.loads((tmp_path / "claims.json").read_text())["verdicts"]
    assert [each["number"] for each in kept] == list(range(1, 14))
    assert kept[0]["verdict"] == str(verdicts[0].judgement)
    assert kept[0]["effects"][0]["published"] == verdicts[0].effects[0].published
    text = (tmp_path / "claims.md").read_text()
    assert "- Reduced." in text
    assert "Claim 1: The paper's own SVHN column" in text
    numbers = (tmp_path / "claims-numbers.md").read_text()
    assert numbers.count("\n| ") >= sum(len(each.effects) for each in verdicts)


def test_missing_runs_and_seeds_are_said(world: Callable[..., Any]) -> None:
    there = world(is_there=lambda config: config.seed == 0)
    table, _ = verdict_tables(judge(LAPTOP, there.results))
    (note,) = [note for note in table.notes if note.startswith("Claim 11:")]
    assert note == "Claim 11: Runs: seed 0; 12 runs have no result yet."


def test_claims_without_runs_are_of_the_same_data(world: Callable[..., Any]) -> None:
    there = world(is_there=lambda config: config.network == "s-conv")
    table, _ = verdict_tables(judge(LAPTOP, there.results))
    assert table.title == "The paper's claims on CIFAR-10, scale laptop"


def test_a_claim_says_what_it_cost(world: Callable[..., Any]) -> None:
    """Every made-up run takes a second: claim 11 has three networks, three seeds, two lengths."""
    table, _ = verdict_tables(judge(LAPTOP, world().results))
    costs = {row["number"]: row["training"] for row in table.rows}
    num_trials = len(LAPTOP.trials("s-fc", "beta-lasso"))
    assert costs["11"] == "18 s"
    assert costs["12"] == f"{num_trials} s"
    num_long = len(LAPTOP.long_seeds)
    assert costs["5"] == f"{num_trials + len(LAPTOP.trials('s-fc', 'sgd')) + 2 * num_long} s"
    missing, _ = verdict_tables(judge(LAPTOP, world(is_there=lambda _: False).results))
    assert {row["training"] for row in missing.rows} == {None}


def test_glyphs_have_a_table_of_refusals(world: Callable[..., Any]) -> None:
    table, numbers = Claims().tables(scale_on("smoke", ("glyphs",)), world().results)
    assert {row["verdict"] for row in table.rows} == {"not judged: glyphs"}
    assert not numbers.rows


def test_a_preview_has_the_runs_that_hang_on_a_choice() -> None:
    preview = Claims().preview(LAPTOP)
    assert len(preview) > len(Claims().plan(LAPTOP, Results(NothingFound())))
