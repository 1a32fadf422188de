import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from analysis.bounds.bounds import ErrorCount
from mdl.experiments.store import time_estimate
from mdl.experiments.store.run_result import RunResult, run_key
from mdl.experiments.store.time_estimate import (
    EFFICIENCIES,
    efficiency,
    estimate_cost,
    expected_shape,
    expected_work,
    measure_peak,
    training_flop,
)
from tests.mdl.experiments.answers import answers_with
from training.data.loading import load_dataset
from training.run.provenance import collect_versions
from training.spec.architectures import NETWORKS
from training.spec.config import GENERATED, GENERATED_NUM_TRAIN, DataConfig, Precision, TrainConfig

RESULTS = Path(__file__).resolve().parents[4] / "results"
CONFIG = TrainConfig(
    network="s-fc", base_channels=12, data=DataConfig(source="cifar10"), epochs=20, batch_size=512
)
TEST = ErrorCount(num_errors=0, num_samples=10_000)


@pytest.fixture(autouse=True)
def _bf16_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers that are the same on every processor."""
    monkeypatch.setattr(time_estimate, "is_emulated", lambda *_: False)


def result_of(config: TrainConfig, *, seconds: float, **processor: str) -> RunResult:
    return RunResult(
        key=run_key(config),
        config=config,
        data_name="CIFAR-10",
        fingerprint="00",
        num_weights={},
        num_nonzeros={},
        train=ErrorCount(num_errors=0, num_samples=50_000 - config.data.validation),
        validation=None,
        test=TEST,
        test_answers=answers_with(TEST),
        history=(),
        seconds=seconds,
        description=None,
        locality=None,
        versions=collect_versions() | processor,
    )


def test_operations_of_a_network_counted_by_hand() -> None:
    """3-fc: 2 a multiply-accumulate, three products a layer, two for the first."""
    config = TrainConfig(
        network="3-fc", hidden_units=10, data=DataConfig(num_train=64), epochs=3, batch_size=20
    )
    first, second, third = 3072 * 10, 10 * 10, 10 * 10
    step = 2 * 20 * (2 * first + 3 * second + 3 * third)
    assert training_flop(config) == 3 * 3 * step  # three epochs of three whole batches
    cost = estimate_cost(config, peak=1e9)
    assert cost.num_weights == first + second + third
    assert cost.flop == 9 * step
    assert cost.seconds == pytest.approx(9 * step / (1e9 * efficiency("3-fc", "bf16")))


@given(epochs=st.integers(1, 400), validation=st.integers(0, 40_000))
def test_operations_grow_with_epochs_and_images(epochs: int, validation: int) -> None:
    config = replace(CONFIG, epochs=epochs)
    assert training_flop(config) == epochs * training_flop(replace(CONFIG, epochs=1))
    held_out = replace(config, data=replace(config.data, validation=validation))
    assert training_flop(held_out) == training_flop(config, num_train=50_000 - validation)
    assert training_flop(held_out) <= training_flop(config)


@pytest.mark.parametrize("source", GENERATED)
def test_the_shape_of_generated_images_is_what_they_have(source: str) -> None:
    data = DataConfig(source=source, image_size=8, num_train=64, num_test=8)
    shape, dataset = expected_shape(data), load_dataset(data)
    assert (shape.num_train, shape.image_size, shape.in_channels, shape.num_classes) == (
        len(dataset.train),
        dataset.image_size,
        dataset.in_channels,
        dataset.num_classes,
    )
    assert expected_shape(DataConfig(source=source)).num_train == GENERATED_NUM_TRAIN


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cifar10", "mnist"])
def test_shapes_of_data_sets_are_what_they_have(name: str, shared_data: Path) -> None:
    folder = shared_data / name
    shape, dataset = (
        expected_shape(DataConfig(source=str(folder))),
        load_dataset(DataConfig(source=str(folder))),
    )
    assert (shape.num_train, shape.image_size, shape.in_channels, shape.num_classes) == (
        len(dataset.train),
        dataset.image_size,
        dataset.in_channels,
        dataset.num_classes,
    )


def test_a_finished_run_says_how_long_the_next_one_takes() -> None:
    done = result_of(CONFIG, seconds=120.0)
    for peak in (1e9, 1e12):  # the measured rate counts, whatever the peak
        again = estimate_cost(replace(CONFIG, seed=5), peak=peak, results=[done])
        assert again.seconds == pytest.approx(120, rel=0.01)
        longer = estimate_cost(replace(CONFIG, epochs=80), peak=peak, results=[done])
        assert longer.seconds == pytest.approx(480, rel=0.01)


def test_runs_of_two_sizes_say_what_a_third_takes() -> None:
    """Half a second a run for each epoch, and 1e-12 s an operation."""

    def seconds(config: TrainConfig) -> float:
        return 0.5 * config.epochs + 1e-12 * training_flop(config)

    small, large, wanted = (replace(CONFIG, base_channels=width) for width in (1, 8, 32))
    done = [result_of(config, seconds=seconds(config)) for config in (small, large)]
    for peak in (1e11, 1e13):
        cost = estimate_cost(replace(wanted, epochs=7), peak=peak, results=done)
        assert cost.seconds == pytest.approx(seconds(replace(wanted, epochs=7)), rel=0.02)


def test_a_run_too_small_to_be_limited_by_its_operations_says_little_of_a_large_one() -> None:
    """A narrow network takes as long as its calls; a wide one as its operations."""
    narrow = result_of(replace(CONFIG, base_channels=1), seconds=60.0)
    wide = replace(CONFIG, base_channels=64)
    peak = 1e11
    believed = training_flop(wide) / (peak * efficiency("s-fc", "bf16"))
    rest = 60.0 - training_flop(narrow.config) / (peak * efficiency("s-fc", "bf16"))
    assert estimate_cost(wide, peak=peak, results=[narrow]).seconds == pytest.approx(
        believed + rest, rel=0.01
    )


def test_runs_of_another_kind_do_not_count() -> None:
    others = [
        result_of(replace(CONFIG, network="s-conv"), seconds=1.0),
        result_of(replace(CONFIG, precision="fp32"), seconds=1.0),
        result_of(CONFIG, seconds=1.0, cpu="another processor"),
        result_of(CONFIG, seconds=1.0, instructions="of another width"),
    ]
    assert estimate_cost(CONFIG, peak=1e11, results=others) == estimate_cost(CONFIG, peak=1e11)


@pytest.mark.parametrize(("file", "precision"), [("bench-cpu", "bf16"), ("bench-avx2", "fp32")])
def test_efficiencies_are_those_of_the_bench(file: str, precision: Precision) -> None:
    report = json.loads((RESULTS / f"{file}.json").read_text())
    assert report["precision"] == precision
    assert report["not_for_publication"] is None
    assert set(EFFICIENCIES[precision]) == set(NETWORKS)
    lines = report["groups"]["step"]
    for line in lines:
        facts = line["facts"]
        share = facts["flop"] / (facts["peak_flop_per_second"] * line["median_seconds"])
        assert efficiency(facts["network"], precision) == pytest.approx(share, rel=0.05)


def test_a_peak_is_measured() -> None:
    assert measure_peak("fp32") > 1e8


def test_emulated_bf16_is_expected_at_the_speed_of_fp32(monkeypatch) -> None:
    asked = []
    monkeypatch.setattr(time_estimate, "is_emulated", lambda precision, _: precision == "bf16")
    monkeypatch.setattr(
        time_estimate,
        "find_peak",
        lambda dtype, *_: asked.append(dtype) or SimpleNamespace(flop_per_second=1e11),
    )
    low, high = (replace(CONFIG, precision=each) for each in ("bf16", "fp32"))
    costs = [estimate_cost(each, peak=measure_peak(each.precision)) for each in (low, high)]
    assert asked == [torch.float32, torch.float32]
    assert costs[0] == costs[1]


def test_a_peak_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="peak must be > 0"):
        estimate_cost(CONFIG, peak=0.0)


def test_a_run_of_small_steps_is_not_nearly_free() -> None:
    """One of 34 times the operations takes a few times as long: each step has a cost of its own."""
    small, large = (
        replace(CONFIG, network="s-conv", base_channels=width, batch_size=32) for width in (2, 68)
    )
    assert training_flop(large) > 30 * training_flop(small)
    assert expected_work(small) < expected_work(large) < 10 * expected_work(small)
