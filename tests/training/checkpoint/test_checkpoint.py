import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.examples import examples
from training.checkpoint.checkpoint import (
    Checkpoint,
    load_checkpoint,
    restore_network,
    save_checkpoint,
)
from training.errors import CheckpointError
from training.networks.models import build_network, fold_batch_norm
from training.spec.architectures import NetworkSpec
from training.spec.normalization import fixed_normalization

CORPUS = Path(__file__).resolve().parents[2] / "data" / "checkpoints"
GOOD = ("good", "good_folded")
BAD = sorted(path for path in CORPUS.glob("*.pt") if path.stem not in GOOD)
SPEC = NetworkSpec(name="s-conv", image_size=4, num_classes=2, in_channels=1, base_channels=1)


def make_checkpoint(density: float = 0.2, spec: NetworkSpec = SPEC) -> Checkpoint:
    generator = torch.Generator().manual_seed(1)
    network = build_network(spec)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter[torch.rand(parameter.shape, generator=generator) >= density] = 0
    counts = {
        layer.name: int(network.get_parameter(f"{layer.name}.weight").count_nonzero())
        for layer in spec.layers
    }
    return Checkpoint(
        network=spec,
        state=dict(network.state_dict()),
        data=None,
        normalization=fixed_normalization(spec.in_channels),
        config={},
        metrics={"train_loss": 0.5},
        num_nonzeros=counts,
        versions={"torch": "x"},
        training=None,
    )


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_a_bad_file_gives_one_line_and_runs_nothing(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    assert len(message.removeprefix(str(path))) < 300
    assert not list(tmp_path.iterdir())


def test_the_corpus_has_every_kind_of_bad_file() -> None:
    kinds = {path.stem for path in BAD}
    assert {
        "empty",
        "text",
        "truncated",
        "external_state",
        "hostile_pickle",
        "hostile_torch",
        "csr_column_too_large",
        "csr_rows_negative",
        "future_version",
        "missing_tensor",
        "extra_tensor",
        "wrong_shape",
        "wrong_dtype",
        "counts_disagree",
        "not_finite",
    } <= kinds


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("hostile_torch", "nothing was run"),
        ("future_version", "update mdl"),
        ("missing_tensor", "lacks fc1.weight"),
        ("wrong_shape", r"has shape \(4, 15\), not \(4, 16\)"),
        ("csr_column_too_large", "conv1.weight is a sparse tensor with corrupt columns"),
        ("counts_disagree", "26 nonzeros, not the 27"),
    ],
)
def test_messages_name_what_is_wrong(name: str, words: str) -> None:
    with pytest.raises(CheckpointError, match=words):
        load_checkpoint(CORPUS / f"{name}.pt")


@pytest.mark.parametrize("name", GOOD)
def test_files_of_the_first_version_still_load(name: str) -> None:
    checkpoint = load_checkpoint(CORPUS / f"{name}.pt")
    network = restore_network(checkpoint)
    assert not network.training
    with torch.no_grad():
        logits = network(torch.ones(2, 1, 4, 4))
    assert logits.shape == (2, 2)
    if name == "good":
        assert checkpoint.data is not None
        assert checkpoint.data.num_samples == 100


def test_missing_files_and_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"nothing\.pt"):
        load_checkpoint(tmp_path / "nothing.pt")
    with pytest.raises(CheckpointError, match=str(tmp_path)):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize("density", [0.0, 0.02, 1.0])
@pytest.mark.parametrize("folded", [False, True])
def test_a_checkpoint_comes_back_whole(density: float, folded: bool, tmp_path: Path) -> None:
    checkpoint = make_checkpoint(density)
    if folded:
        network = fold_batch_norm(restore_network(checkpoint))
        checkpoint = replace(checkpoint, state=dict(network.state_dict()))
    save_checkpoint(checkpoint, tmp_path / "checkpoint.pt")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded = load_checkpoint(tmp_path)
    assert loaded.network == SPEC
    assert loaded.metrics == checkpoint.metrics
    assert loaded.num_nonzeros == checkpoint.num_nonzeros
    assert loaded.state.keys() == checkpoint.state.keys()
    for name, value in checkpoint.state.items():
        assert torch.equal(value, loaded.state[name])
        assert value.dtype == loaded.state[name].dtype


def test_a_sparse_network_is_small_on_disk(tmp_path: Path) -> None:
    spec = NetworkSpec(name="s-fc", image_size=16, num_classes=10, base_channels=4)
    sizes = {}
    for density in (0.01, 1.0):
        save_checkpoint(make_checkpoint(density, spec), tmp_path / "checkpoint.pt")
        sizes[density] = (tmp_path / "checkpoint.pt").stat().st_size
    assert sizes[1.0] > 4 * spec.num_weights
    assert sizes[0.01] < sizes[1.0] / 10


@examples(0.5)
@given(fraction=st.floats(0, 0.999))
def test_a_file_cut_anywhere_is_refused(
    fraction: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    whole = (CORPUS / "good.pt").read_bytes()
    path = tmp_path_factory.mktemp("cut") / "checkpoint.pt"
    path.write_bytes(whole[: int(fraction * len(whole))])
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path)
    assert "\n" not in str(caught.value)


@given(position=st.floats(0, 0.999), flip=st.integers(1, 255))
def test_a_damaged_byte_is_refused_or_harmless(
    position: float, flip: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    damaged = bytearray((CORPUS / "good.pt").read_bytes())
    damaged[int(position * len(damaged))] ^= flip
    path = tmp_path_factory.mktemp("flip") / "checkpoint.pt"
    path.write_bytes(damaged)
    try:
        load_checkpoint(path)
    except CheckpointError as error:
        assert "\n" not in str(error)


def test_a_failed_save_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(make_checkpoint(), path)
    before = path.read_bytes()
    with pytest.raises((CheckpointError, ValueError)):
        save_checkpoint(replace(make_checkpoint(), metrics={"bad": object()}), path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["checkpoint.pt"]
