"""Results by configuration: found once, of one fingerprint, and the plan that grows with them."""

from dataclasses import replace

import pytest

from mdl.experiments.reproduce.artefact import NothingFound
from mdl.experiments.reproduce.run_plan import RunPlan
from mdl.experiments.reproduce.scales import SCALES, scale_on
from mdl.experiments.store.results import Results
from mdl.experiments.store.run_result import Count

SCALE = SCALES["laptop"]


class Store(dict):
    """A store with chosen results."""

    def find(self, config):
        return self.get(config)


def test_what_is_found_stays_and_what_is_missing_is_looked_for_again(made_up) -> None:
    config = SCALE.config("s-fc")
    store = Store()
    found = Results(store)
    assert found.get(config) is None
    assert found.missing([config, config]) == [config]
    store[config] = made_up(config)
    assert found.get(config) == store[config]
    del store[config]
    assert found.of([config]) == [made_up(config)]


def test_one_data_set_has_one_fingerprint(made_up) -> None:
    first, second = SCALE.config("s-fc"), SCALE.config("s-conv")
    store = Store({first: made_up(first), second: made_up(second, fingerprint="other")})
    found = Results(store)
    assert found.get(first) is not None
    with pytest.raises(ValueError, match="different images under the same name") as refused:
        found.get(second)
    assert "\n" not in str(refused.value)
    assert store[first].key in str(refused.value) and store[second].key in str(refused.value)


def test_other_numbers_of_images_are_other_images(made_up) -> None:
    first = SCALE.config("s-fc")
    fewer = replace(first, data=replace(first.data, num_train=100))
    held_out = replace(first, data=replace(first.data, validation=10, permute_pixels=3))
    store = Store(
        {
            first: made_up(first),
            fewer: made_up(fewer, fingerprint="fewer"),
            held_out: made_up(held_out),
        }
    )
    found = Results(store)
    assert len(found.of([first, fewer, held_out])) == 3
    assert found.sample_of(held_out.data) == store[first]
    assert found.sample_of(replace(first.data, num_test=7)) is None


def test_settings_are_chosen_once_all_trials_are_there(made_up) -> None:
    trials = SCALE.trials("s-fc", "beta-lasso", beta=50.0)
    store = Store({trial: made_up(trial) for trial in trials[:-1]})
    runs = RunPlan(Results(store))
    assert runs.chosen(SCALE, "s-fc", "beta-lasso", beta=50.0) is None
    assert runs.configs == trials
    assert runs.missing == trials[-1:]
    best = replace(made_up(trials[-1]), validation=Count(num_errors=1, num_samples=1000))
    store[trials[-1]] = best
    chosen = RunPlan(Results(store)).chosen(SCALE, "s-fc", "beta-lasso", beta=50.0)
    assert chosen == replace(trials[-1], data=replace(trials[-1].data, validation=0))


def test_the_test_set_has_no_part_in_the_choice(made_up) -> None:
    trials = SCALE.trials("s-fc", "sgd")
    results = {trial: made_up(trial) for trial in trials}
    before = RunPlan(Results(Store(results))).chosen(SCALE, "s-fc", "sgd")
    perfect = Count(num_errors=0, num_samples=1000)
    for trial in trials:
        changed = results | {trial: replace(results[trial], test=perfect)}
        assert RunPlan(Results(Store(changed))).chosen(SCALE, "s-fc", "sgd") == before


def test_a_grid_of_one_setting_needs_no_trial() -> None:
    smoke = scale_on("smoke", ("glyphs",))
    runs = RunPlan(Results(NothingFound()))
    chosen = runs.chosen(smoke, "s-fc", "sgd")
    assert chosen is not None and chosen.data.validation == 0
    assert runs.configs == []


def test_a_preview_assumes_the_first_setting() -> None:
    runs = RunPlan(Results(NothingFound()), assumes=True)
    chosen = runs.chosen(SCALE, "s-fc", "sgd")
    assert chosen is not None
    assert (chosen.momentum, chosen.weight_decay) == SCALE.grid.sgd[0]
    assert len(runs.configs) == len(SCALE.grid.sgd)


def test_only_the_paper_scale_tunes_every_network() -> None:
    found = Results(NothingFound())
    assert RunPlan(found).settings(SCALE, "d-conv", "sgd") == SCALE.config("d-conv")
    assert RunPlan(found).settings(SCALES["paper"], "d-conv", "sgd") is None
