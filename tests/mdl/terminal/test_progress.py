"""What the line of an epoch tells about sparse layers."""

from dataclasses import replace

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
    assert "nonzeros 12 screened conv1 98% (sparse) fc1 25% 1,000 img/s 60 s" in line


@pytest.mark.parametrize("validation", [None, 0.5])
@pytest.mark.parametrize("columns", [40, 80, 120])
def test_an_epoch_is_one_row_whose_least_needed_parts_go(
    columns: int,
    validation: float | None,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    shown = TrainingProgress(num_epochs=4000)
    counts = {"conv1": 1_258_291_456, "fc1": 5_393_216}
    metrics = replace(METRICS, num_nonzeros=counts, validation_accuracy=validation)
    for epoch in (1, 4000):
        shown.on_epoch(replace(metrics, epoch=epoch))
    lines = capsys.readouterr().err.splitlines()
    assert max(map(len, lines)) <= columns
    assert lines[-2].startswith("epoch 1/4000 ") and lines[-1].startswith("epoch 4000/4000 ")
    assert "train 50.00%" in lines[-1]
    if columns >= 80:
        assert "test 25.00%" in lines[-1] and "60 s" in lines[-1]
    if columns == 120 and validation is None:
        assert "loss 1.5000" in lines[-1] and "nonzeros 1,263,684,672" in lines[-1]
