"""What the line of an epoch tells about sparse layers."""

import pytest

from mdl.terminal.progress import TrainingProgress
from training.run.progress import EpochMetrics

METRICS = EpochMetrics(
    epoch=3,
    step=30,
    lr=0.1,
    train_loss=1.5,
    train_accuracy=0.5,
    validation_accuracy=None,
    test_accuracy=0.25,
    seconds=60.0,
    images_per_second=1000.0,
    num_nonzeros={"conv1": 7, "fc1": 5},
    screened={"conv1": 0.984, "fc1": 0.25},
    sparse_layers=["conv1"],
)


def test_an_epoch_names_its_sparse_layers(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    TrainingProgress(num_epochs=4).on_epoch(METRICS)
    line = " ".join(capsys.readouterr().err.split())
    assert "nonzeros conv1 7 fc1 5 screened conv1 98% (sparse) fc1 25% 1,000 img/s" in line
