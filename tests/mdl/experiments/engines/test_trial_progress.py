from collections.abc import Iterator
from dataclasses import replace

import pytest

from analysis.bounds.bounds import ErrorCount
from mdl.experiments.engines.trial_progress import TrialProgress, describe_trial
from mdl.experiments.store.run_result import RunResult, run_key
from tests.mdl.experiments.answers import answers_with
from training.spec.config import TrainConfig

CONFIG = TrainConfig(network="s-fc", base_channels=8, l1_conv=1e-4, l1_fc=2e-5, epochs=20)
TEST = ErrorCount(num_errors=388, num_samples=1000)


def result_of(config: TrainConfig, validation: ErrorCount | None = None) -> RunResult:
    return RunResult(
        key=run_key(config),
        config=config,
        data_name="glyphs",
        fingerprint="00",
        num_weights={},
        num_nonzeros={},
        train=ErrorCount(num_errors=0, num_samples=1),
        validation=validation,
        test=TEST,
        test_answers=answers_with(TEST),
        history=(),
        seconds=145.4,
        description=None,
        locality=None,
        versions={},
    )


@pytest.fixture
def clock() -> Iterator[list[float]]:
    yield [1000.0]


def test_a_line_a_trial_says_about_how_long_the_rest_takes(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    configs = [replace(CONFIG, seed=0), replace(CONFIG, seed=1), replace(CONFIG, epochs=60)]
    with TrialProgress(clock=lambda: clock[0]) as progress:
        progress.begin(configs)
        clock[0] += 150
        progress.on_finished(result_of(configs[0]))
        clock[0] += 160
        progress.on_failed(configs[1], "no memory", is_last_try=False)
        progress.on_failed(configs[1], "no memory", is_last_try=True)
        progress.on_finished(result_of(configs[2]))
    lines = capsys.readouterr().err.splitlines()
    name = "s-fc α=8 beta-lasso β 50 λ 1e-4/2e-5 η 0.1"
    assert lines == [
        # 20 of 100 epochs took 150 s.
        f"[1/3] {name} 20 epochs seed 0: test 61.2%, 145 s (about 10 min left)",
        f"{name} 20 epochs seed 1: failed, and is tried again: no memory",
        # 40 of 100 took 310 s.
        f"[2/3] {name} 20 epochs seed 1: failed: no memory (about 8 min left)",
        f"[3/3] {name} 60 epochs seed 0: test 61.2%, 145 s",
    ]


def test_where_images_are_held_out_they_are_told(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with TrialProgress(clock=lambda: clock[0]) as progress:
        progress.begin([CONFIG])
        progress.on_finished(result_of(CONFIG, ErrorCount(num_errors=1, num_samples=4)))
    assert ": validation 75.0%, 145 s" in capsys.readouterr().err


def test_trials_of_other_kinds_are_told_apart() -> None:
    sgd = replace(CONFIG, method="sgd", l1_conv=0.0, l1_fc=0.0, momentum=0.9, weight_decay=1e-3)
    resnet = replace(sgd, network="resnet18", kernel_size=5)
    wide = replace(sgd, network="3-fc", base_channels=None, hidden_units=64, momentum=0.0)
    assert describe_trial(sgd) == "s-fc α=8 sgd momentum 0.9 decay 1e-3 η 0.1 20 epochs seed 0"
    assert describe_trial(resnet).startswith("resnet18 α=8 kernel 5 sgd")
    assert describe_trial(wide).startswith("3-fc h=64 sgd momentum 0 decay 1e-3")
