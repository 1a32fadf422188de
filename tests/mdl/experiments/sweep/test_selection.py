import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.bounds.bounds import ErrorCount
from mdl.experiments.store.run_result import EpochPoint, RunResult, run_key
from mdl.experiments.sweep.grids import grid
from mdl.experiments.sweep.selection import best_by_validation, rank_by_validation, retrain_config
from tests.mdl.experiments.answers import answers_with
from training.spec.config import DataConfig, TrainConfig

NUM_VALIDATION, NUM_TEST = 20, 50
BASE = TrainConfig(
    network="s-fc", base_channels=1, data=DataConfig(num_train=200, validation=NUM_VALIDATION)
)
TRIALS = grid("s-fc", "beta-lasso", "small", BASE, seeds=(0, 1))


def result_of(
    config: TrainConfig, validation_errors: int, *, test_errors: int = 0, num_nonzeros: int = 9
) -> RunResult:
    count = ErrorCount(num_errors=validation_errors, num_samples=NUM_VALIDATION)
    test = ErrorCount(num_errors=test_errors, num_samples=NUM_TEST)
    point = EpochPoint(
        epoch=1,
        seconds=1.0,
        train_loss=1.0,
        train_accuracy=0.5,
        num_nonzeros={},
        screened={},
        validation_accuracy=count.accuracy,
        test_accuracy=test.accuracy,
    )
    return RunResult(
        key=run_key(config),
        config=config,
        data_name="glyphs",
        fingerprint="f",
        num_weights={"fc1": 10},
        num_nonzeros={"fc1": num_nonzeros},
        train=ErrorCount(num_errors=1, num_samples=180),
        validation=count,
        test=test,
        test_answers=answers_with(test),
        history=(point,),
        seconds=1.0,
        description=None,
        locality=None,
        versions={},
    )


def with_test_errors(result: RunResult, test_errors: int) -> RunResult:
    count = ErrorCount(num_errors=test_errors, num_samples=NUM_TEST)
    history = tuple(replace(point, test_accuracy=count.accuracy) for point in result.history)
    return replace(result, test=count, test_answers=answers_with(count), history=history)


@st.composite
def sweeps(draw: st.DrawFn) -> list[RunResult]:
    """Results of some trials of a sweep, with many ties."""
    chosen = draw(st.lists(st.sampled_from(TRIALS), min_size=1, unique_by=run_key))
    return [
        result_of(
            config,
            draw(st.integers(0, 3)),
            test_errors=draw(st.integers(0, NUM_TEST)),
            num_nonzeros=draw(st.integers(8, 10)),
        )
        for config in chosen
    ]


@given(results=sweeps(), data=st.data())
def test_the_test_set_never_changes_the_choice(
    results: list[RunResult], data: st.DataObject
) -> None:
    errors = data.draw(
        st.lists(st.integers(0, NUM_TEST), min_size=len(results), max_size=len(results))
    )
    others = [with_test_errors(*pair) for pair in zip(results, errors, strict=True)]
    assert best_by_validation(others).key == best_by_validation(results).key
    order, other_order = (
        [run.key for candidate in rank_by_validation(each) for run in candidate.runs]
        for each in (results, others)
    )
    assert order == other_order


@given(results=sweeps(), seed=st.integers(0, 99))
def test_the_order_of_results_does_not_matter(results: list[RunResult], seed: int) -> None:
    shuffled = random.Random(seed).sample(results, len(results))
    assert best_by_validation(shuffled) == best_by_validation(results)


@given(results=sweeps())
def test_no_setting_has_a_lower_mean_validation_error(results: list[RunResult]) -> None:
    best = best_by_validation(results)

    def mean_error(config: TrainConfig) -> float:
        same = [r for r in results if replace(r.config, seed=0) == replace(config, seed=0)]
        return sum(r.validation.num_errors for r in same if r.validation) / len(same)

    assert all(mean_error(best.config) <= mean_error(r.config) + 1e-12 for r in results)


def test_ties_go_to_fewer_nonzeros_then_to_the_lower_key() -> None:
    first, second = (config for config in TRIALS[:4:2])
    sparse = [result_of(first, 3, num_nonzeros=9), result_of(second, 3, num_nonzeros=8)]
    assert best_by_validation(sparse).config == second
    equal = [result_of(first, 3), result_of(second, 3)]
    assert best_by_validation(equal).key == min(run_key(first), run_key(second))


def test_seeds_of_one_setting_are_averaged() -> None:
    steady, lucky = TRIALS[:2], TRIALS[2:4]
    results = [
        result_of(steady[0], 4),
        result_of(steady[1], 4),
        result_of(lucky[0], 1),
        result_of(lucky[1], 8),
    ]
    assert best_by_validation(results).config == steady[0]
    assert [len(candidate.runs) for candidate in rank_by_validation(results)] == [2, 2]


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing to choose from"):
        best_by_validation([])
    run = result_of(TRIALS[0], 1)
    with pytest.raises(ValueError, match=f"run {run.key} held out no validation images"):
        best_by_validation([replace(run, validation=None)])
    other_images = replace(result_of(TRIALS[2], 1), fingerprint="g")
    with pytest.raises(ValueError, match="different validation images"):
        best_by_validation([run, other_images])


def test_retraining_takes_the_chosen_settings_and_all_images() -> None:
    chosen = TRIALS[4]
    config = retrain_config(chosen, seed=7)
    assert config.data.validation == 0
    assert config.seed == 7
    assert replace(config, seed=chosen.seed, data=chosen.data) == chosen
