import json
import subprocess
import sys
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
    assert len(store.path.read_text().splitlines()) == 1


def test_filters_come_back_as_they_were(tmp_path: Path) -> None:
    store = ResultStore(tmp_path)
    filters = np.random.default_rng(0).standard_normal((4, 3, 8, 8)).astype(np.float16)
    store.put(result_of(CONFIG), filters)
    found = store.filters(CONFIG)
    assert found is not None
    assert found.dtype == np.float16
    np.testing.assert_array_equal(found, filters)
    assert store.filters(replace(CONFIG, seed=1)) is None


def lines_of(store: ResultStore) -> list[str]:
    return store.path.read_text().splitlines(keepends=True)


def test_the_file_is_a_line_a_run_sorted_by_key_and_other_lines_stay(tmp_path: Path) -> None:
    store = ResultStore(tmp_path)
    results = [result_of(replace(CONFIG, seed=seed)) for seed in range(4)]
    for result in results:
        store.put(result)
    before = lines_of(store)
    assert [json.loads(line)["key"] for line in before] == sorted(each.key for each in results)
    for line in before:
        values = json.loads(line)
        assert line == json.dumps(values, sort_keys=True) + "\n"
    store.put(result_of(results[0].config, num_errors=7))
    changed = [old != new for old, new in zip(before, lines_of(store), strict=True)]
    assert changed.count(True) == 1
    assert list(tmp_path.iterdir()) == [store.path]


def test_what_a_killed_writer_left_is_removed(tmp_path: Path) -> None:
    store = ResultStore(tmp_path)
    (tmp_path / f".results.jsonl.{'0' * 12}.tmp").write_text("half a li")
    (tmp_path / "results.jsonl.lock").write_text("1\n")
    store.put(result_of(CONFIG))
    assert list(tmp_path.iterdir()) == [store.path]


@pytest.mark.parametrize(
    "text", ["{", "[]", "null", "{}", '{"version": 99}', "[" * 100_000, "\x00", "\udcff"]
)
def test_a_damaged_line_is_named_with_the_way_out_and_kept(text: str, tmp_path: Path) -> None:
    store = ResultStore(tmp_path)
    for seed in range(2):
        store.put(result_of(replace(CONFIG, seed=seed)))
    first, second = lines_of(store)
    damaged = (first + text + "\n" + second).encode("utf-8", "surrogateescape")
    store.path.write_bytes(damaged)
    for use in (lambda: store.find(CONFIG), store.all, lambda: store.put(result_of(CONFIG))):
        with pytest.raises(StoreError, match="delete that line") as caught:
            use()
        assert str(caught.value).startswith(f"{store.path}: line 2 is damaged")
        assert "\n" not in str(caught.value)
    assert store.path.read_bytes() == damaged


def test_a_line_under_another_key_or_twice_is_not_believed(tmp_path: Path) -> None:
    store = ResultStore(tmp_path)
    store.put(result_of(CONFIG))
    (line,) = lines_of(store)
    other = replace(CONFIG, seed=1)
    store.path.write_text(line.replace(run_key(CONFIG), run_key(other)))
    with pytest.raises(StoreError, match=f"line 1 .*its configuration has key {run_key(CONFIG)}"):
        store.find(other)
    store.path.write_text(line + line)
    with pytest.raises(StoreError, match=f"line 2 has key {run_key(CONFIG)} as a line before"):
        store.all()


def test_results_of_a_file_each_become_lines_once(tmp_path: Path, capsys) -> None:
    """As stores had them before: version 2 with its old words, in results/KEY.json."""
    folder = tmp_path / "results"
    folder.mkdir()
    results = [result_of(replace(CONFIG, seed=seed)) for seed in range(3)]
    for result in results[:2]:
        values = result.to_dict() | {"version": 2}
        (folder / f"{result.key}.json").write_text(json.dumps(values, indent=1))
    ResultStore(tmp_path).put(results[2])
    store = ResultStore(tmp_path)
    assert store.all() == sorted(results, key=lambda result: result.key)
    assert all(json.loads(line)["version"] == 3 for line in lines_of(store))
    assert capsys.readouterr().err == (
        f"note: 2 results of {tmp_path} are now lines of results.jsonl\n"
    )
    assert list(tmp_path.iterdir()) == [store.path]


def test_a_damaged_file_of_before_stops_the_conversion(tmp_path: Path) -> None:
    folder = tmp_path / "results"
    folder.mkdir()
    good, bad = folder / f"{run_key(CONFIG)}.json", folder / f"{'f' * 16}.json"
    good.write_text(json.dumps(result_of(CONFIG).to_dict()))
    bad.write_text("{")
    with pytest.raises(StoreError, match="delete it") as caught:
        ResultStore(tmp_path).find(CONFIG)
    assert str(caught.value).startswith(f"{bad} is damaged")
    assert good.exists() and not (tmp_path / "results.jsonl").exists()


@pytest.mark.slow
@pytest.mark.process
def test_many_writers_at_once_lose_nothing(tmp_path: Path) -> None:
    """Processes add a result each time, one of them is killed, threads read and add meanwhile."""
    program = """
import sys
from dataclasses import replace
from pathlib import Path
from mdl.experiments.store.result_store import ResultStore
from tests.mdl.experiments.store.test_result_store import CONFIG, result_of
store, first = ResultStore(Path(sys.argv[1])), int(sys.argv[2])
for seed in range(first, first + 15):
    store.put(result_of(replace(CONFIG, seed=seed)))
    print(seed, flush=True)
"""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path), str(100 * number)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(4)
    ]
    store = ResultStore(tmp_path)
    threads = [
        threading.Thread(target=store.put, args=(result_of(replace(CONFIG, seed=seed)),))
        for seed in range(1000, 1010)
    ]
    for thread in threads:
        thread.start()
    seen: set[str] = set()
    killed = processes[0]
    assert killed.stdout is not None
    told = [killed.stdout.readline() for _ in range(3)]
    while any(process.poll() is None for process in processes[1:]):
        keys = {result.key for result in store.all()}
        assert seen <= keys
        seen = keys
        killed.kill()
    for thread in threads:
        thread.join()
    put = [int(seed) for seed in "".join([*told, killed.communicate()[0]]).split()]
    for process in processes[1:]:
        put += map(int, process.communicate()[0].split())
    assert len(put) >= 45 + 3
    expected = {run_key(replace(CONFIG, seed=seed)) for seed in [*put, *range(1000, 1010)]}
    found = {result.key for result in ResultStore(tmp_path).all()}
    assert expected <= found and len(found - expected) <= 1  # put, but killed before it said so


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
    assert chosen == replace(trials[-1], data=SCALE.data, epochs=SCALE.short_epochs)


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
    assert len(runs.configs) == len(SCALE.grid.sgd) * len(SCALE.grid.sgd_lr)


def test_the_settings_of_every_network_are_chosen() -> None:
    for network in ("s-fc", "d-conv", "resnet18"):
        runs = RunPlan(Results())
        assert runs.chosen(SCALE, network, "sgd") is None
        assert {config.lr for config in runs.configs} == {0.03, 0.1}
