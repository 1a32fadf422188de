from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from analysis.describe.bound_report import report_bound
from analysis.filters.filters import sample_filters
from analysis.quantize.formats import find_format
from mdl.cli.filter_report import measure_filters
from mdl.experiments.engines import measure
from mdl.experiments.engines.measure import measure_run
from mdl.experiments.store.run_result import RunResult
from training.checkpoint.checkpoint import Checkpoint, load_checkpoint
from training.data.loading import load_dataset
from training.errors import CheckpointError
from training.networks.models import network_from_state
from training.run.evaluate import count_errors, evaluation_data
from training.run.run_folder import RunFolder
from training.spec.config import TrainConfig

CPU = torch.device("cpu")


def measured(
    checkpoint: Checkpoint, run: Path, *, validation: int = 0
) -> tuple[RunResult, measure.Filters | None]:
    """The run as if its configuration had named so many held-out images."""
    config = TrainConfig.from_dict(checkpoint.config)
    config = replace(config, data=replace(config.data, validation=validation))
    return measure_run(
        checkpoint,
        load_dataset(config.data),
        config=config,
        epochs=RunFolder(run).read_metrics(),
        versions=checkpoint.versions,
        device=CPU,
    )


@pytest.fixture(scope="module")
def checkpoint(trained: Path) -> Checkpoint:
    return load_checkpoint(trained)


@pytest.fixture(scope="module")
def result(checkpoint: Checkpoint, trained: Path) -> RunResult:
    return measured(checkpoint, trained)[0]


def test_errors_are_those_of_the_stored_network(checkpoint: Checkpoint, result: RunResult) -> None:
    data = evaluation_data(checkpoint)
    network = network_from_state(checkpoint.network, checkpoint.state)
    for images, count in (
        (data.train, result.train),
        (data.validation, result.validation),
        (data.test, result.test),
    ):
        assert count is not None
        assert count.num_errors == count_errors(network, images, data.inputs)
        assert count.num_samples == len(images)


def test_every_test_image_has_its_answer(checkpoint: Checkpoint, result: RunResult) -> None:
    data = evaluation_data(checkpoint)
    network = network_from_state(checkpoint.network, checkpoint.state).eval()
    constants = data.inputs.normalization
    mean, std = (
        torch.tensor(each).reshape(1, -1, 1, 1) for each in (constants.mean, constants.std)
    )
    one_by_one = [
        int(network((image[None].float() / 255 - mean) / std).argmax()) == int(label)
        for image, label in zip(data.test.images, data.test.labels, strict=True)
    ]
    assert result.right_tests.tolist() == one_by_one


def test_weights_are_counted_by_layer(checkpoint: Checkpoint, result: RunResult) -> None:
    weights = {name: checkpoint.state[f"{name}.weight"] for name in ("conv1", "fc1", "fc2")}
    assert result.num_weights == {name: each.numel() for name, each in weights.items()}
    assert result.num_nonzeros == {name: int((each != 0).sum()) for name, each in weights.items()}


def test_the_description_is_that_of_mdl_bound(checkpoint: Checkpoint, result: RunResult) -> None:
    report = report_bound(checkpoint, evaluation_data(checkpoint), find_format(16))
    found = result.description
    assert found is not None
    assert (found.num_bits, found.code) == (report.description_bits, report.codeword.code)
    assert (found.bits_per_number, found.delta) == (16, 0.05)
    assert found.bound == report.bound.value
    assert found.lengths == {name: length.bits for name, length in report.lengths.items()}


def test_locality_is_that_of_mdl_filters(trained: Path, result: RunResult) -> None:
    summary = measure_filters(trained, num=24, min_nonzeros=20, unpermute=True, seed=0).summary
    found = result.locality
    assert found is not None
    for name in ("num_filters", "radius", "chance_radius", "ratio", "ratio_interval"):
        assert getattr(found, name) == getattr(summary, name)


def test_filters_are_kept_for_drawing(checkpoint: Checkpoint, trained: Path) -> None:
    filters = measured(checkpoint, trained)[1]
    assert filters is not None
    sample = sample_filters(checkpoint)
    assert filters.shape == (min(24, len(sample.images)), 3, 8, 8)
    np.testing.assert_allclose(filters, sample.images[:24], rtol=1e-3, atol=1e-6)


def test_the_history_is_that_of_the_run(trained: Path, result: RunResult) -> None:
    lines = RunFolder(trained).read_metrics()
    assert [point.epoch for point in result.history] == [line["epoch"] for line in lines]
    assert [point.train_loss for point in result.history] == [line["train_loss"] for line in lines]


def test_a_large_network_is_not_described(
    checkpoint: Checkpoint, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    num_weights = checkpoint.network.num_weights
    monkeypatch.setattr(measure, "MAX_DESCRIBED_WEIGHTS", num_weights)
    assert measured(checkpoint, trained)[0].description is not None
    monkeypatch.setattr(measure, "MAX_DESCRIBED_WEIGHTS", num_weights - 1)
    assert measured(checkpoint, trained)[0].description is None


def test_a_trial_of_a_sweep_is_not_described(checkpoint: Checkpoint, trained: Path) -> None:
    assert measured(checkpoint, trained, validation=60)[0].description is None


def test_filters_that_are_nearly_all_zero_are_not_measured(
    checkpoint: Checkpoint, trained: Path
) -> None:
    weight = torch.zeros_like(checkpoint.state["conv1.weight"])
    weight[:, :19] = 1.0
    emptied = replace(checkpoint, state=checkpoint.state | {"conv1.weight": weight})
    result, filters = measured(emptied, trained)
    assert result.locality is None
    assert filters is None
    assert result.num_nonzeros["conv1"] == 19 * len(weight)


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        ("s-fc", True),
        ("s-local", True),
        ("s-conv", True),
        ("3-fc", True),
        ("d-fc", True),
        ("d-conv", False),
        ("d-local", False),
        ("resnet18", False),
        ("tiny-conv", False),
    ],
)
def test_filters_have_a_place_in_some_networks(network: str, expected: bool) -> None:
    assert measure._filters_have_place(network) == expected


def test_an_unfinished_run_is_refused(checkpoint: Checkpoint, trained: Path) -> None:
    for part in (
        replace(checkpoint, training={"step": 3}),
        replace(checkpoint, metrics={"seconds": 1.0}),
    ):
        with pytest.raises(CheckpointError, match="not finished"):
            measured(part, trained)
    metrics = dict(checkpoint.metrics)
    del metrics["num_validation"]
    with pytest.raises(CheckpointError, match="num_validation"):
        measured(replace(checkpoint, metrics=metrics), trained)
