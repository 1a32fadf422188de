import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from mdl.experiments.artefacts.accuracy_figures import SizeFigure
from mdl.experiments.artefacts.accuracy_tables import Table1, Table2
from mdl.experiments.claims.claim import Effect, Judgement, Outcome, Unit, Verdict, effect_text
from mdl.experiments.claims.verdicts import CLAIMS, Claims, is_judged, judge, verdict_tables
from mdl.experiments.reproduce.run_plan import RunPlan, kernel_steps
from mdl.experiments.reproduce.scale import Scale
from mdl.experiments.reproduce.scales import SCALES, scale_on
from mdl.experiments.reproduce.tables import write_table
from mdl.experiments.store.result_store import Results
from mdl.experiments.store.run_result import RunResult
from training.spec.config import TrainConfig

LAPTOP = SCALES["laptop"]
World = Any


def verdicts(world: World, scale: Scale = LAPTOP) -> dict[int, Verdict]:
    return {verdict.number: verdict for verdict in judge(scale, world.results)}


def shifted(
    base: Callable[[TrainConfig], float], applies: Callable[[TrainConfig], bool], by: float
) -> Callable[[TrainConfig], float]:
    return lambda config: base(config) + (by if applies(config) else 0.0)


def is_lasso(config: TrainConfig) -> bool:
    return config.network == "s-fc" and config.method == "beta-lasso"


def test_there_are_thirteen() -> None:
    assert [claim.number for claim in CLAIMS] == list(range(1, 14))
    assert len({claim.name for claim in CLAIMS}) == 13


def test_a_world_like_the_paper_reproduces_every_claim(world: Callable[..., World]) -> None:
    for verdict in judge(LAPTOP, world(spread=0.0005).results):
        assert verdict.judgement is Judgement.REPRODUCED, verdict
        assert verdict.num_missing == 0
        assert "the paper's way" in verdict.sentence
        assert all(effect.low <= effect.estimate <= effect.high for effect in verdict.effects)


@pytest.mark.sample(3)
@pytest.mark.parametrize(
    ("number", "applies", "by"),
    [
        (1, lambda config: config.network == "s-local", -0.2),
        (2, lambda config: is_lasso(config) and config.beta == 50, -0.2),
        (4, lambda config: is_lasso(config) and config.data.permute_pixels is not None, -0.1),
        (6, lambda config: config.network == "d-local", 0.1),
        (7, lambda config: config.network == "resnet18" and config.method == "beta-lasso", -0.3),
        (9, lambda config: config.network == "s-fc" and config.method == "sgd", 0.15),
        (10, lambda config: config.network == "d-fc" and config.epochs > 40, 0.2),
        (11, lambda config: config.network == "3-fc", 0.3),
        (12, lambda config: is_lasso(config) and config.l1_conv == config.l1_fc, 0.1),
        (13, lambda config: config.network == "3-fc", 0.35),
    ],
)
def test_a_world_against_a_claim_does_not_reproduce_it(
    world: Callable[..., World], number: int, applies: Callable[[TrainConfig], bool], by: float
) -> None:
    against = world(accuracy=shifted(world().accuracy, applies, by), spread=0.0005)
    verdict = verdicts(against)[number]
    assert verdict.judgement is Judgement.NOT_REPRODUCED, verdict
    assert verdict.sentence.startswith("The other way")


@pytest.mark.sample(3)
@pytest.mark.parametrize("number", [1, 2, 6, 7, 9, 10, 11, 12, 13])
def test_a_world_of_equals_decides_nothing(world: Callable[..., World], number: int) -> None:
    verdict = verdicts(world(accuracy=lambda config: 0.8, spread=0.0005))[number]
    assert verdict.judgement is Judgement.NOT_AT_THIS_SCALE


def test_invariance_is_shown_and_not_merely_not_refuted(world: Callable[..., World]) -> None:
    few = verdicts(world(num_test=200))[4]
    assert few.judgement is Judgement.NOT_AT_THIS_SCALE
    assert few.effects[0].low < -0.02


def test_networks_that_learn_nothing_decide_nothing(world: Callable[..., World]) -> None:
    verdict = verdicts(world(train_accuracy=0.1))[11]
    assert verdict.judgement is Judgement.NOT_AT_THIS_SCALE
    assert "20% of the training images" in verdict.sentence
    assert verdict.effects  # the numbers are shown all the same


def test_a_larger_network_that_is_better_decides_nothing(world: Callable[..., World]) -> None:
    assert verdicts(world())[11].judgement is Judgement.REPRODUCED  # with fewer weights than d-fc
    better = shifted(world().accuracy, lambda config: config.network == "d-fc", 0.2)
    verdict = verdicts(world(accuracy=better))[11]
    assert verdict.judgement is Judgement.NOT_AT_THIS_SCALE
    assert "times the weights of s-fc, and is no worse" in verdict.sentence


def test_depth_that_does_not_help_at_all_decides_nothing(world: Callable[..., World]) -> None:
    accuracy = shifted(world().accuracy, lambda config: config.network[0] == "d", -0.2)
    verdict = verdicts(world(accuracy=accuracy, spread=0.0005))[6]
    assert verdict.judgement is Judgement.NOT_AT_THIS_SCALE
    assert verdict.sentence.startswith("Depth does not help with weight sharing here")


def test_gaps_are_not_judged_where_sharing_weights_does_not_help(
    world: Callable[..., World],
) -> None:
    accuracy = shifted(world().accuracy, lambda config: config.network == "d-conv", -0.1)
    verdict = verdicts(world(accuracy=accuracy, spread=0.0))[9]
    assert verdict.judgement is Judgement.NOT_AT_THIS_SCALE
    assert verdict.sentence == "d-conv is no better than d-local here: 80.00% and 82.00%."


def test_the_closest_call_is_named_where_no_p_value_tells(world: Callable[..., World]) -> None:
    accuracies = {"resnet18": 0.97, "d-conv": 0.90, "s-conv": 0.85, "3-fc": 0.60}
    there = world(accuracy=lambda config: accuracies.get(config.network, 0.8), spread=0.0)
    verdict = verdicts(there)[13]
    assert len({effect.p_value for effect in verdict.effects}) == 1
    assert verdict.effects[0].label.startswith("resnet18 over d-conv")
    assert "the closest call: d-conv over s-conv" in verdict.sentence


def test_the_papers_own_figures_stand_beside(world: Callable[..., World]) -> None:
    found = verdicts(world())
    first = [effect.published for effect in found[1].effects]
    assert first == pytest.approx([0.0119, 0.0067, 0.0656])
    assert [effect.published for effect in found[2].effects] == pytest.approx(
        [0.0267, 0.0007, 0.0382]
    )
    assert [effect.published for effect in found[6].effects] == pytest.approx([0.0253, 0.1775])
    assert [effect.published for effect in found[9].effects] == pytest.approx([0.1864, 0.0613])
    assert [effect.published for effect in found[10].effects] == pytest.approx(
        [0.0196, 0.0440, 0.0702]
    )
    assert [effect.published for effect in found[11].effects] == pytest.approx(
        [0.0358, 0.0799, 0.0351, 0.1501]
    )
    assert found[1].effects[1].source == "Table 1, 4000 epochs; Table 2, 4000 epochs"


def test_the_svhn_column_is_said_to_lack_the_order(world: Callable[..., World]) -> None:
    found = verdicts(world())
    assert "s-fc by β-lasso 94.07, s-local 93.98, s-conv 93.38" in found[1].notes[0]
    assert "β = 0 has 93.80, β = 1 has 93.66" in found[2].notes[0]


@pytest.mark.parametrize(
    "source", ["glyphs", "leaves", "mnist", "data/fashion_mnist", "ylecun/mnist"]
)
def test_no_verdict_on_drawn_images(world: Callable[..., World], source: str) -> None:
    there = world()
    scale = scale_on("laptop", (source,))
    assert not is_judged(scale)
    assert Claims().plan(scale, there.results) == []
    for verdict in judge(scale, there.results):
        assert verdict.judgement is Judgement.NOT_JUDGED
        assert verdict.label == f"not judged: {source.rpartition('/')[2]}"
        assert not verdict.effects
    assert not there.asked


def test_each_data_set_has_its_own_verdicts(world: Callable[..., World]) -> None:
    scale = scale_on("laptop", ("glyphs", "cifar10"))
    found = judge(scale, world().results)
    assert [verdict.judgement is Judgement.NOT_JUDGED for verdict in found] == [True] * 13 + [
        False
    ] * 13


def test_without_results_nothing_is_judged(world: Callable[..., World]) -> None:
    nothing = world(is_there=lambda config: False)
    for verdict in judge(LAPTOP, nothing.results):
        assert verdict.judgement is Judgement.NOT_RUN
        assert verdict.num_missing > 0


def test_one_seed_of_each_group_is_enough_for_a_verdict(world: Callable[..., World]) -> None:
    found = verdicts(world(is_there=lambda config: config.seed == 0, spread=0.0))
    assert found[11].judgement is Judgement.REPRODUCED
    assert found[11].num_missing == 3 * (len(LAPTOP.short_seeds) + len(LAPTOP.long_seeds) - 2)
    assert found[11].sentence.endswith(" One seed: its own spread is not in the intervals.")
    assert "One seed" not in verdicts(world())[11].sentence
    assert {effect.basis for effect in found[11].effects} == {"test images alone, one seed"}
    assert set(found[11].seeds.values()) == {(0,)} and len(found[11].seeds) == 6


def test_a_grid_with_a_gap_decides_nothing(world: Callable[..., World]) -> None:
    def is_there(config: TrainConfig) -> bool:
        return not (config.data.validation and config.l1_conv == 5e-5 and config.beta == 50)

    assert verdicts(world(is_there=is_there))[12].judgement is Judgement.NOT_RUN


def test_settings_are_chosen_before_final_runs(world: Callable[..., World]) -> None:
    nothing = world(is_there=lambda config: False)
    first = Claims().plan(LAPTOP, nothing.results)
    assert any(config.data.validation for config in first)
    assert not any(is_lasso(config) and not config.data.validation for config in first)
    everything = Claims().plan(LAPTOP, world().results)
    finals = [config for config in everything if is_lasso(config) and not config.data.validation]
    assert {config.beta for config in finals} == {0.0, 1.0, 50.0}
    assert set(first) <= set(everything)


@pytest.mark.sample(3)
@pytest.mark.parametrize("name", ["smoke", "laptop", "paper"])
def test_only_permutations_and_their_partners_are_runs_of_its_own(
    world: Callable[..., World], name: str
) -> None:
    scale, found = SCALES[name], world().results
    shared = RunPlan(found)
    kernel_steps(scale, shared)
    tables = [
        config
        for artefact in (Table1(), Table2(), SizeFigure(2))
        for config in artefact.plan(scale, found)
    ]
    own = set(Claims().plan(scale, found)) - {*shared.configs, *tables}
    partners = {
        replace(config, data=replace(config.data, permute_pixels=None))
        for config in own
        if config.data.permute_pixels is not None
    }
    plain = {config for config in own if config.data.permute_pixels is None}
    assert len(own) <= 3 * len(scale.short_seeds)
    assert all(is_lasso(config) for config in plain)
    assert plain <= partners


def test_one_seed_takes_the_spread_over_filters(world: Callable[..., World]) -> None:
    verdict = verdicts(world(is_there=lambda config: config.seed == 0))[5]
    assert {effect.basis for effect in verdict.effects} == {"filters of one network"}
    first = verdict.effects[0]
    # Made-up intervals at 95% are the ratio times 0.95 and 1.05.
    quantile = stats.norm.isf((1 - first.confidence) / 2)
    expected = math.log(1.05 / 0.95) * quantile / 1.96
    assert math.log(first.high / first.low) == pytest.approx(expected)


@pytest.mark.parametrize("number", [5, 8])
def test_what_was_not_measured_is_not_judged(world: Callable[..., World], number: int) -> None:
    class Bare(world):  # type: ignore[misc]
        def find(self, config: TrainConfig) -> RunResult:
            return replace(super().find(config), description=None, locality=None)

    verdict = verdicts(Bare())[number]
    assert verdict.judgement is Judgement.NOT_AT_THIS_SCALE
    assert not verdict.effects
    assert "measured" in verdict.sentence


def test_sparsity_against_the_claim(world: Callable[..., World]) -> None:
    class Dense(world):  # type: ignore[misc]
        def find(self, config: TrainConfig) -> RunResult:
            result = super().find(config)
            return replace(result, num_nonzeros=result.num_weights)

    verdict = verdicts(Dense())[3]
    assert verdict.judgement is Judgement.NOT_REPRODUCED
    assert "weights of s-local's layer 1 over nonzeros" in verdict.sentence


def test_description_in_the_opposite_order(world: Callable[..., World]) -> None:
    class Reversed(world):  # type: ignore[misc]
        def find(self, config: TrainConfig) -> RunResult:
            result = super().find(config)
            bits = 10**7 - result.description.num_bits
            return replace(result, description=replace(result.description, num_bits=bits))

    verdict = verdicts(Reversed())[8]
    assert verdict.judgement is Judgement.NOT_REPRODUCED
    assert verdict.effects[0].estimate == -1.0


@pytest.mark.parametrize(
    ("ladders", "words"),
    [
        ({"s-conv": (1, 2)}, "s-conv and 3-fc have no number of weights in common"),
        ({"d-conv": (64, 128)}, "resnet18 and d-conv have no number of weights in common"),
    ],
)
def test_families_without_a_common_size(
    world: Callable[..., World], ladders: dict[str, tuple[int, ...]], words: str
) -> None:
    scale = replace(LAPTOP, ladders=LAPTOP.ladders | ladders)
    verdict = verdicts(world(), scale)[13]
    assert verdict.judgement is Judgement.NOT_AT_THIS_SCALE
    assert words in verdict.sentence


def test_accuracy_between_two_sizes_is_interpolated(world: Callable[..., World]) -> None:
    verdict = verdicts(world(spread=0.0))[13]
    (at_44012,) = [
        one for one in verdict.effects if one.label == "resnet18 over d-conv at 44,012 weights"
    ]
    # resnet18 has 0.95, 0.93 + 0.01 α, at its own size α = 4; d-conv has 0.91 at every size.
    assert at_44012.estimate == pytest.approx(0.04, abs=1e-4)
    (at_26862,) = [
        one for one in verdict.effects if one.label == "resnet18 over d-conv at 26,862 weights"
    ]
    share = math.log(26_862 / 11_110) / math.log(44_012 / 11_110)
    assert at_26862.estimate == pytest.approx(0.02 + 0.02 * share, abs=1e-4)


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
        "images_alone": None,
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
    assert effect_text(orders).endswith(", as far from 0 in 27% of all orders")
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
    num_missing = 3 * (len(LAPTOP.short_seeds) + len(LAPTOP.long_seeds) - 2)  # of 3 networks
    assert note.endswith(f" Runs: seed 0; {num_missing} runs have no result yet.")


def test_claims_without_runs_are_of_the_same_data(world: Callable[..., Any]) -> None:
    there = world(is_there=lambda config: config.network == "s-conv")
    table, _ = verdict_tables(judge(LAPTOP, there.results))
    assert table.title == "The paper's claims on CIFAR-10, scale laptop"


def test_a_claim_says_what_it_cost(world: Callable[..., Any]) -> None:
    """Every made-up run takes a second."""
    table, _ = verdict_tables(judge(LAPTOP, world().results))
    costs = {row["number"]: row["training"] for row in table.rows}
    num_trials = len(LAPTOP.trials("s-fc", "beta-lasso"))
    num_choices = sum(len(LAPTOP.trials(each, "sgd")) for each in ("s-fc", "d-fc", "3-fc"))
    num_finals = len(LAPTOP.short_seeds) + len(LAPTOP.long_seeds)
    assert costs["11"] == f"{num_choices + 3 * num_finals} s"  # of 3 networks
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
    assert len(preview) > len(Claims().plan(LAPTOP, Results()))
