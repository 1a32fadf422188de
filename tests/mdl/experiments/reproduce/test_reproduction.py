"""Which runs come first, the stages, and what stops a reproduction before it starts."""

from dataclasses import dataclass, field, replace

import pytest

from mdl.experiments.artefacts.catalogue import ARTEFACTS
from mdl.experiments.engines.engine import Outcome
from mdl.experiments.reproduce.dry_run import plan_dry_run
from mdl.experiments.reproduce.reproduction import check_images, order_runs, train_missing
from mdl.experiments.reproduce.scales import scale_on
from mdl.experiments.store.result_store import Results, ResultStore
from mdl.experiments.store.run_result import run_key
from training.errors import DataError
from training.spec.config import DataConfig, TrainConfig
from training.system.signals import StopRequest

SMOKE = scale_on("smoke", ("glyphs",))
TABLE_2, FIGURE_3 = ARTEFACTS["table2"], ARTEFACTS["figure3"]


@dataclass
class MadeUpEngine:
    """Makes results up; says which configurations it was given, batch by batch."""

    make: object
    fails: tuple = ()
    batches: list = field(default_factory=list)
    stops: bool = False

    def run(self, configs, store, *, progress, stop):
        self.batches.append(list(configs))
        failed = {}
        for config in configs:
            if config.network in self.fails:
                failed[run_key(config)] = "it does not work"
            else:
                store.put(self.make(config))
        if self.stops:
            stop.signal_number = 15
        return Outcome(finished=(), failed=failed, stopped=self.stops)


def train(artefacts, store, engine):
    return train_missing(artefacts, SMOKE, store, engine, progress=None, stop=StopRequest())


def test_the_order_of_runs() -> None:
    small = TrainConfig(network="s-conv", base_channels=1)
    large, second = replace(small, base_channels=9), replace(small, seed=1)
    trial = replace(large, data=DataConfig(validation=9))
    both = replace(large, epochs=5)
    plans = {"a": [second, large, both, small, small], "b": [both, trial]}
    assert order_runs(plans) == [trial, both, small, large, second]


def test_trials_come_first_and_nothing_is_trained_twice(made_up, tmp_path) -> None:
    store, engine = ResultStore(tmp_path), MadeUpEngine(make=made_up)
    ended = train([TABLE_2, FIGURE_3], store, engine)
    assert (ended.failed, ended.signal_number) == ({}, None)
    trials, final = engine.batches
    assert all(config.data.validation for config in trials)
    assert not any(config.data.validation for config in final)
    keys = [run_key(config) for batch in engine.batches for config in batch]
    assert len(keys) == len(set(keys))
    train([TABLE_2, FIGURE_3], store, engine)
    assert len(engine.batches) == 2


def test_a_failed_run_is_told_and_does_not_hold_up_the_others(made_up, tmp_path) -> None:
    store, engine = ResultStore(tmp_path), MadeUpEngine(make=made_up, fails=("s-conv",))
    ended = train([TABLE_2], store, engine)
    assert list(ended.failed.values()) == ["it does not work"]
    assert len(Results(store).missing(TABLE_2.plan(SMOKE, Results(store)))) == 1


def test_a_stop_ends_the_stages(made_up, tmp_path) -> None:
    engine = MadeUpEngine(make=made_up, stops=True)
    assert train([TABLE_2], ResultStore(tmp_path), engine).signal_number == 15
    assert len(engine.batches) == 1


def test_images_are_compared_with_the_stored_results(made_up, tmp_path) -> None:
    store = ResultStore(tmp_path)
    config = replace(SMOKE.config("s-fc"), data=DataConfig(num_train=40, num_test=20))
    other = replace(config, network="s-conv")
    found = Results(store)
    check_images([other], found)
    store.put(made_up(config))
    assert found.get(config) is not None
    with pytest.raises(DataError, match="these are not the images that the stored result"):
        check_images([other], found)


def test_a_dry_run_adds_up(made_up, tmp_path) -> None:
    store = ResultStore(tmp_path)
    trial = SMOKE.trials("s-fc", "beta-lasso", beta=50.0)[0]
    store.put(made_up(trial))
    plan = plan_dry_run([TABLE_2, FIGURE_3], SMOKE, store)
    values = plan.as_json()
    runs = values["runs"]
    assert len({run["key"] for run in runs}) == len(runs) == 9
    assert [run["key"] for run in runs if run["done"]] == [run_key(trial)]
    assert values["total"]["num_missing"] == 8
    missing = [run for run in runs if not run["done"]]
    times = [run["seconds"] + run["measuring_seconds"] for run in missing]
    assert values["total"]["seconds"] == pytest.approx(sum(times))
    assert values["artefacts"]["figure3"]["num_runs"] == 3
    shared = [run for run in runs if run["artefacts"] == ["table2", "figure3"]]
    assert len(shared) == 3
    assert all(run["num_weights"] > 0 and run["flop"] > 0 for run in runs)
