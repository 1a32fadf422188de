import json
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from analysis.bounds.bounds import ErrorCount
from analysis.codes.ledger import Entry
from mdl.experiments.reproduce.run_plan import RunPlan
from mdl.experiments.reproduce.scales import SCALES, scale_on
from mdl.experiments.store.result_store import Results, ResultStore, StoreError
from mdl.experiments.store.run_result import RunResult, run_key
from tests.mdl.experiments.answers import answers_with
from training.spec.config import TrainConfig

CONFIG = TrainConfig(network="s-fc", base_channels=1)
TEST = ErrorCount(num_errors=3, num_samples=10)


def result_of(config: TrainConfig, num_errors: int = 0) -> RunResult:
    return RunResult(
        key=run_key(config),
        config=config,
        data_name="glyphs",
        fingerprint="00",
        num_weights={"fc": 4},
        num_nonzeros={"fc": 2},
        train=ErrorCount(num_errors=num_errors, num_samples=100),
        validation=None,
        test=TEST,
        test_answers=answers_with(TEST),
        history=(),
        seconds=1.0,
        description=None,
        locality=None,
        versions={},
    )


def test_a_store_that_is_not_there_is_empty(tmp_path: Path) -> None:
    store = ResultStore(tmp_path / "none")
    assert store.find(CONFIG) is None
    assert store.filters(CONFIG) is None
    assert store.all() == []
    assert not store.root.exists()


def test_results_are_found_by_configuration(tmp_path: Path) -> None:
    store = ResultStore(tmp_path)
    configs = [replace(CONFIG, seed=seed) for seed in range(5)]
    results = [result_of(config, num_errors=config.seed) for config in configs]
    for result in results:
        store.put(result)
    again = ResultStore(tmp_path)
    assert [again.find(config) for config in configs] == results
    assert again.find(replace(CONFIG, seed=5)) is None
    assert again.all() == sorted(results, key=lambda result: result.key)
    assert again.run_folder(CONFIG).path == tmp_path / "runs" / run_key(CONFIG)


def test_a_result_is_replaced(tmp_path: Path) -> None:
    store = ResultStore(tmp_path)
    for num_errors in (1, 2):
        store.put(result_of(CONFIG, num_errors))
    assert store.find(CONFIG) == result_of(CONFIG, 2)
    assert len(list((tmp_path / "results").iterdir())) == 1


def test_filters_come_back_as_they_were(tmp_path: Path) -> None:
    store = ResultStore(tmp_path)
    filters = np.random.default_rng(0).standard_normal((4, 3, 8, 8)).astype(np.float16)
    store.put(result_of(CONFIG), filters)
    found = store.filters(CONFIG)
    assert found is not None
    assert found.dtype == np.float16
    np.testing.assert_array_equal(found, filters)
    assert store.filters(replace(CONFIG, seed=1)) is None


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "{}", '{"version": 99}', "[" * 100_000, "\x00"]
)
def test_a_damaged_result_is_named_with_the_way_out(text: str, tmp_path: Path) -> None:
    store = ResultStore(tmp_path)
    store.put(result_of(CONFIG))
    path = store.result_path(run_key(CONFIG))
    path.write_text(text)
    for read in (lambda: store.find(CONFIG), store.all):
        with pytest.raises(StoreError, match="delete it") as caught:
            read()
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_result_under_another_key_is_not_believed(tmp_path: Path) -> None:
    store = ResultStore(tmp_path)
    store.put(result_of(CONFIG))
    other = replace(CONFIG, seed=1)
    source, target = (store.result_path(run_key(config)) for config in (CONFIG, other))
    target.write_bytes(source.read_bytes())
    with pytest.raises(StoreError, match=f"its configuration has key {run_key(CONFIG)}"):
        store.find(other)
    values = json.loads(source.read_text()) | {"key": run_key(other)}
    source.write_text(json.dumps(values))
    with pytest.raises(StoreError, match=source.name):
        store.find(CONFIG)


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 no archive", b"\x93NUMPY"])
def test_damaged_filters_are_named(damage: bytes, tmp_path: Path) -> None:
    store = ResultStore(tmp_path)
    store.put(result_of(CONFIG), np.ones((1, 3, 4, 4), dtype=np.float16))
    path = store.filters_path(run_key(CONFIG))
    path.write_bytes(damage)
    with pytest.raises(StoreError, match=path.name):
        store.filters(CONFIG)


def test_ledgers_come_back_as_they_were(tmp_path: Path) -> None:
    store = ResultStore(tmp_path)
    entries = [Entry("conv1.weight", "values, patterns", 10.1), Entry("end", "end", 2.0)]
    assert store.ledger(CONFIG) is None
    store.put_ledger(CONFIG, entries)
    assert ResultStore(tmp_path).ledger(CONFIG) == entries
    assert store.ledger(replace(CONFIG, seed=1)) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "{}",
        "null",
        "[1]",
        "[{}]",
        "[" * 100_000,
        '[{"tensor": "fc", "part": "values", "bits": -1}]',
        '[{"tensor": "fc", "part": "values", "bits": NaN}]',
        '[{"tensor": "fc", "part": "values", "bits": true}]',
        '[{"tensor": 1, "part": "values", "bits": 1}]',
        '[{"tensor": "fc", "part": "values", "bits": 1, "more": 2}]',
    ],
)
def test_a_damaged_ledger_is_named_with_the_way_out(text: str, tmp_path: Path) -> None:
    store = ResultStore(tmp_path)
    store.put_ledger(CONFIG, [])
    path = store.ledger_path(run_key(CONFIG))
    path.write_text(text)
    with pytest.raises(StoreError, match="delete it") as caught:
        store.ledger(CONFIG)
    assert str(path) in str(caught.value)


def test_filters_have_four_axes(tmp_path: Path) -> None:
    store = ResultStore(tmp_path)
    store.put(result_of(CONFIG), np.ones(3, dtype=np.float16))
    with pytest.raises(StoreError, match="4 axes"):
        store.filters(CONFIG)


def test_a_reader_never_sees_half_a_result(tmp_path: Path) -> None:
    store = ResultStore(tmp_path)
    store.put(result_of(CONFIG, 0))
    done = threading.Event()

    def write() -> None:
        for num_errors in range(40):
            store.put(result_of(CONFIG, num_errors))
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        while not done.is_set():
            found = store.find(CONFIG)
            assert found is not None
            assert len(store.all()) == 1
    finally:
        writer.join()
    assert store.find(CONFIG) == result_of(CONFIG, 39)


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
    best = replace(made_up(trials[-1]), validation=ErrorCount(num_errors=1, num_samples=1000))
    store[trials[-1]] = best
    chosen = RunPlan(Results(store)).chosen(SCALE, "s-fc", "beta-lasso", beta=50.0)
    assert chosen == replace(trials[-1], data=replace(trials[-1].data, validation=0))


def test_the_test_set_has_no_part_in_the_choice(made_up) -> None:
    trials = SCALE.trials("s-fc", "sgd")
    results = {trial: made_up(trial) for trial in trials}
    before = RunPlan(Results(Store(results))).chosen(SCALE, "s-fc", "sgd")
    perfect = ErrorCount(num_errors=0, num_samples=1000)
    for trial in trials:
        changed = results | {trial: replace(results[trial], test=perfect)}
        assert RunPlan(Results(Store(changed))).chosen(SCALE, "s-fc", "sgd") == before


def test_a_grid_of_one_setting_needs_no_trial() -> None:
    smoke = scale_on("smoke", ("glyphs",))
    runs = RunPlan(Results())
    chosen = runs.chosen(smoke, "s-fc", "sgd")
    assert chosen is not None and chosen.data.validation == 0
    assert runs.configs == []


def test_a_preview_assumes_the_first_setting() -> None:
    runs = RunPlan(Results(), assumes=True)
    chosen = runs.chosen(SCALE, "s-fc", "sgd")
    assert chosen is not None
    assert (chosen.momentum, chosen.weight_decay) == SCALE.grid.sgd[0]
    assert len(runs.configs) == len(SCALE.grid.sgd)


def test_only_the_paper_scale_tunes_every_network() -> None:
    found = Results()
    assert RunPlan(found).settings(SCALE, "d-conv", "sgd") == SCALE.config("d-conv")
    assert RunPlan(found).settings(SCALES["paper"], "d-conv", "sgd") is None
