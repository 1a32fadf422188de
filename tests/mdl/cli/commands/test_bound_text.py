"""What `mdl bound` and `mdl nonzeros` say of made-up checkpoints, called in this process."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import typer

from analysis.bounds.bounds import percent_up
from analysis.quantize.formats import find_format
from mdl.cli.commands.bound import bound
from mdl.cli.commands.nonzeros import nonzeros
from tests.analysis.describe.test_description import describe_in_memory
from training.checkpoint.checkpoint import Checkpoint, DataRecord, restore_network, save_checkpoint
from training.data.loading import load_dataset
from training.errors import CheckpointError, DataError
from training.networks.models import build_model
from training.spec.config import DataConfig
from training.spec.normalization import Normalization, fixed_normalization

DATA = DataConfig(image_size=8, num_train=300, num_test=100, validation=50)


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    """An untrained s-fc on 250 glyphs of 8x8, with most of its first weights zero."""
    torch.manual_seed(0)
    network = build_model("s-fc", base_channels=1, image_size=8, num_classes=10)
    with torch.no_grad():
        network.get_parameter("conv1.weight").mul_(torch.rand(16, 192) < 0.1)
    dataset = load_dataset(DATA)
    # fmt: off
    record = DataRecord(
        config={"image_size": 8, "num_train": 300, "num_test": 100, "validation": 50},
        name="glyphs", fingerprint=dataset.fingerprint, num_samples=250, num_validation=50,
        num_test=100, image_size=8, in_channels=3, num_classes=10,
        class_names=dataset.class_names,
    )
    # fmt: on
    return Checkpoint(
        network=network.spec,
        state=network.state_dict(),
        data=record,
        normalization=fixed_normalization(3),
    )


def test_every_part_has_its_row(
    checkpoint: Checkpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_checkpoint(checkpoint, tmp_path / "checkpoint.pt")
    bound(tmp_path, bits=8, full=True)
    text = capsys.readouterr().out
    assert "s-fc on glyphs: m = 250 training images of 3x8x8, c = 10 classes, δ = 0.05" in text
    assert "rounded to e4m3fn (b = 8" in text
    for row in (
        r"conv1\.weight\W+3,072\W+\d{3}\W",
        r"conv1_norm\.scale\W+16\W+16\W+100\.00%",
        r"fc2\.bias\W+10",
        r"all tensors\W+[\d,]+",
        r"training\W+250\W",
        r"validation\W+50\W",
        r"test\W+100\W",
        r"‖w‖₀ log k",
        r"of it the map, \|d\(g\)\|",
        r"Theorem 1, as printed.*vacuous",
        r"Theorem 2, as printed.*vacuous",
        r"binomial tail\W+sup\{p : P\[Bin\(m,p\) <= e\] >= δ 2\^-B\}",
        r"hold-out, if these images chose nothing.*\d\d\.\d\d%",
        r"(?m)^Vacuous: this length proves nothing",
        r"Where the bits go, in the context code",
        r"(?m)^  mdl compress ",
    ):
        assert re.search(row, text), row


def test_a_bound_that_is_no_better_than_guessing_is_called_so(
    checkpoint: Checkpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nothing = {
        name: torch.zeros_like(tensor) if name.endswith(("weight", "bias")) else tensor
        for name, tensor in checkpoint.state.items()
    }
    nothing["fc2.bias"][3] = 1.0  # always class 3: no ties, which would all be errors
    save_checkpoint(replace(checkpoint, state=nothing), tmp_path / "zero.pt")
    bound(tmp_path / "zero.pt", bits=8)
    text = " ".join(capsys.readouterr().out.split())
    assert re.search(r"^s-fc on glyphs: true error <= 9\d\.\d\d% with probability 0\.95", text)
    assert "Above guessing (90.00%): proves nothing." in text
    assert "no length gives a bound below guessing (90.00%): it takes fewer errors." in text


def test_normalisation_from_the_data_is_said_and_paid_for(
    checkpoint: Checkpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    measured = Normalization(mean=(0.4,) * 3, std=(0.2,) * 3, source="data")
    save_checkpoint(replace(checkpoint, normalization=measured), tmp_path / "c.pt")
    bound(tmp_path / "c.pt", bits=8)
    text = " ".join(capsys.readouterr().out.split())
    assert "computed from the training images, so the description holds them" in text


def test_errors_given_for_a_checkpoint_of_ours_are_not_used(
    checkpoint: Checkpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_checkpoint(checkpoint, tmp_path / "c.pt")
    bound(tmp_path / "c.pt", samples=9, train_errors=1)
    captured = capsys.readouterr()
    assert "errors are measured here, on its own images" in " ".join(captured.err.split())
    assert "m = 250" in captured.out
    with pytest.raises(typer.BadParameter, match="not another program's network"):
        bound(tmp_path / "c.pt", bn_eps=1e-3)


def test_lengths_only_needs_no_data(
    checkpoint: Checkpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    described = describe_in_memory(restore_network(checkpoint), find_format(16))
    save_checkpoint(replace(checkpoint, data=None, normalization=None), tmp_path / "c.pt")
    bound(tmp_path / "c.pt", lengths_only=True, json=True)
    lengths = json.loads(capsys.readouterr().out)
    assert lengths["counts"] == described.counts.to_dict()
    assert lengths["lengths"] == {
        name: length.to_dict() for name, length in described.lengths.items()
    }
    assert "bound" not in lengths
    bound(tmp_path / "c.pt", lengths_only=True, full=True)
    text = capsys.readouterr().out
    assert re.search(r"enumerative, log C\(n, ‖w‖₀\)\W+number of values", text)
    assert "Errors" not in text


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"bits": 4}, "bits must be one of 8, 16, 32, not 4"),
        ({"bits": 16, "number_format": "e5m2"}, "format e5m2 has 8 bits, not 16"),
    ],
)
def test_options_are_refused_before_anything_is_read(options: dict, rule: str) -> None:
    with pytest.raises(typer.BadParameter, match=rule):
        bound(Path("nowhere.pt"), **options)


def test_data_that_is_unknown_or_another(checkpoint: Checkpoint, tmp_path: Path) -> None:
    save_checkpoint(replace(checkpoint, data=None), tmp_path / "unknown.pt")
    with pytest.raises(CheckpointError, match="does not say what data"):
        bound(tmp_path / "unknown.pt")
    record = replace(checkpoint.data, fingerprint="0" * 64)
    save_checkpoint(replace(checkpoint, data=record), tmp_path / "other.pt")
    with pytest.raises(DataError, match="pass the original data set"):
        bound(tmp_path / "other.pt")


def test_percent_is_rounded_upward() -> None:
    assert percent_up(0.123401) == "12.35%"
    assert percent_up(0.1234) == "12.34%"
    assert percent_up(18.25) == "1,825.00%"


def test_sums_stand_beside_the_twins(
    checkpoint: Checkpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_checkpoint(checkpoint, tmp_path / "c.pt")
    nonzeros(tmp_path / "c.pt", full=True)
    text = capsys.readouterr().out
    count = int(torch.count_nonzero(checkpoint.state["conv1.weight"]))
    assert re.search(rf"conv1\.weight\W+3,072\W+{count:,}\W.*\W243\W+3,888\W", text)
    assert re.search(r"weights of all layers\W+3,696\W.*\W867\W+4,512\W", text)
    assert f"mdl bound {tmp_path / 'c.pt'}" in text


def test_networks_without_twins(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network = build_model("3-fc", image_size=8, num_classes=10, hidden_units=3)
    save_checkpoint(Checkpoint(network=network.spec, state=network.state_dict()), tmp_path / "c.pt")
    nonzeros(tmp_path / "c.pt")
    assert "-conv weights" not in capsys.readouterr().out
    nonzeros(tmp_path / "c.pt", json=True)
    assert json.loads(capsys.readouterr().out)["twins"] is None
