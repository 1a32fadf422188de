"""`mdl embed`: files in and out, what it prints and refuses."""

import json

import pytest
import torch
from torch import nn

from mdl.cli.commands.embed import _check_twin, embed
from training.checkpoint.checkpoint import (
    Checkpoint,
    DataRecord,
    load_checkpoint,
    restore_network,
    save_checkpoint,
)
from training.errors import OutOfMemoryError
from training.networks.models import build_model, fold_batch_norm
from training.spec.architectures import NetworkSpec
from training.spec.config import TrainConfig
from training.spec.normalization import Normalization


def checkpoint_of(name, *, folded=False, alpha=2):
    """A small network with random BatchNorm, and the record of a run."""
    torch.manual_seed(0)
    network = build_model(name, base_channels=alpha, image_size=9, num_classes=3)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.normal_(module.weight)
            nn.init.normal_(module.bias)
            module.running_mean.normal_()
            module.running_var.uniform_(0.1, 3.0)
    if folded:
        network = fold_batch_norm(network)
    config = TrainConfig(network=name, base_channels=alpha, method="sgd").to_dict()
    record = DataRecord(
        config=config["data"],
        name="glyphs",
        fingerprint="ab" * 32,
        num_samples=70,
        num_validation=10,
        num_test=20,
        image_size=9,
        in_channels=3,
        num_classes=3,
        class_names=("0", "1", "2"),
    )
    return Checkpoint(
        network=network.spec,
        state=network.state_dict(),
        data=record,
        normalization=Normalization(mean=(0.5,) * 3, std=(0.25,) * 3, source="fixed"),
        config=config,
        metrics={"train_errors": 7, "num_nonzeros": {"conv1": 486, "fc1": 2400, "fc2": 144}},
    )


@pytest.fixture
def conv_file(tmp_path):
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(checkpoint_of("s-conv"), path)
    return path


@pytest.fixture
def images():
    generator = torch.Generator().manual_seed(3)
    return torch.randn(5, 3, 9, 9, generator=generator, dtype=torch.float64)


def test_writes_the_twin_beside_the_checkpoint(mdl, conv_file, images):
    result = mdl("embed", conv_file, "--as", "s-fc")
    assert result.returncode == 0, result.stderr
    twin_file = conv_file.with_name("checkpoint-s-fc.pt")
    source, twin = load_checkpoint(conv_file), load_checkpoint(twin_file)
    logits = restore_network(source).double()(images)
    torch.testing.assert_close(restore_network(twin).double()(images), logits, rtol=0, atol=1e-10)
    assert twin.network == source.network.twin("fc")
    assert (twin.data, twin.normalization) == (source.data, source.normalization)
    assert TrainConfig.from_dict(twin.config).network == "s-fc"
    assert twin.config == source.config | {"network": "s-fc"}
    assert twin.metrics["train_errors"] == 7
    assert twin.metrics["embedded_from"] == "s-conv"
    assert twin.training is None
    for line in ("s-conv as s-fc", "Next:", f"mdl bound {twin_file}"):
        assert line in result.stdout


def test_json_counts_weights_by_layer(conv_file, tmp_path, capsys):
    """Along a side of 5 positions 5, 7, 9, 7 and 5 of 9 kernel entries see a pixel."""
    out = tmp_path / "elsewhere" / "twin.pt"
    out.parent.mkdir()
    embed(conv_file, "s-local", out=out, json=True)
    printed = json.loads(capsys.readouterr().out)
    assert printed["network"] == "s-local"
    assert printed["source_network"] == "s-conv"
    assert printed["checkpoint"] == str(out)
    assert printed["num_bytes"] == out.stat().st_size
    assert printed["max_logit_difference"] < 1e-5
    assert printed["layers"][0] == {
        "layer": "conv1",
        "num_weights": 25 * 2 * 243,
        "num_nonzeros": 2 * 3 * (5 + 7 + 9 + 7 + 5) ** 2,
        "source_num_weights": 486,
        "source_num_nonzeros": 486,
    }
    assert printed["total"]["num_weights"] == 25 * 2 * 243 + 50 * 48 + 48 * 3
    twin = load_checkpoint(out)
    assert twin.metrics["num_nonzeros"]["conv1"] == 2 * 3 * 33**2


def test_run_folders_and_a_chain_of_twins(conv_file, images):
    folder = conv_file.parent
    embed(folder, "s-local")
    embed(folder / "checkpoint-s-local.pt", "s-fc", out=folder / "last.pt")
    direct, last = load_checkpoint(conv_file), load_checkpoint(folder / "last.pt")
    torch.testing.assert_close(
        restore_network(last).double()(images),
        restore_network(direct).double()(images),
        rtol=0,
        atol=1e-10,
    )


def test_folded_networks_embed(tmp_path, images):
    path = tmp_path / "folded.pt"
    save_checkpoint(checkpoint_of("d-conv", folded=True), path)
    embed(path, "d-fc")
    twin = restore_network(load_checkpoint(tmp_path / "folded-d-fc.pt"))
    assert twin.folded
    expected = restore_network(load_checkpoint(path)).double()(images)
    torch.testing.assert_close(twin.double()(images), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    ("name", "twin", "reason"),
    [
        ("s-conv", "d-fc", "this checkpoint is s-conv, whose twins are s-local and s-fc"),
        ("s-fc", "s-local", "s-fc does not embed as s-local"),
        ("s-fc", "s-fc", "this network is s-fc already"),
        ("resnet18", "s-fc", "resnet18 has no conv, local and fc twins"),
    ],
)
def test_refusals_give_the_reason_and_write_nothing(tmp_path, name, twin, reason):
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(checkpoint_of(name, alpha=1), path)
    with pytest.raises(ValueError, match=reason):
        embed(path, twin)
    assert [file.name for file in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_a_twin_larger_than_the_machine_is_refused(tmp_path):
    """3·512⁴·64 weights and more: refused by the numbers, before anything is made."""
    spec = NetworkSpec(name="d-conv", image_size=512, num_classes=10, base_channels=64)
    with pytest.raises(OutOfMemoryError, match=r"--as d-fc: the twin with [\d,]+ weights .* GB"):
        _check_twin(spec, "d-fc")


def test_other_mistakes(mdl, conv_file):
    with pytest.raises(ValueError, match="is the checkpoint itself"):
        embed(conv_file, "s-fc", out=conv_file)
    assert mdl("embed", conv_file, "--as", "s-conv").returncode == 2
    result = mdl("embed", conv_file.with_name("nothing.pt"), "--as", "s-fc")
    assert result.returncode == 1
    assert result.stdout == ""
    assert "nothing.pt" in result.stderr
    assert len(result.stderr.splitlines()) == 1
