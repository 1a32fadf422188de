"""One pass over a checkpoint's file gives the counts and lengths of the network in memory."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from analysis.describe.description import Description, describe_file
from analysis.quantize.formats import FORMATS, NumberFormat, find_format, quantize_network
from analysis.quantize.nonzeros import count_tensors
from tests.data.make_bad_checkpoints import changed
from tests.training.checkpoint.test_checkpoint import make_checkpoint
from training.checkpoint.checkpoint import load_checkpoint, restore_network, save_checkpoint
from training.errors import CheckpointError
from training.networks.models import Network, fold_batch_norm
from training.spec.architectures import NetworkSpec

CORPUS = Path(__file__).resolve().parents[2] / "data" / "checkpoints"
SPEC = NetworkSpec(name="s-fc", image_size=6, num_classes=3, in_channels=1, base_channels=2)


def describe_in_memory(network: Network, number_format: NumberFormat) -> Description:
    state = quantize_network(fold_batch_norm(network), number_format).state_dict()
    counts = count_tensors(state, number_format)
    return Description(spec=network.spec, number_format=number_format, counts=counts)


@pytest.mark.sample(3)
@pytest.mark.parametrize("name", sorted(FORMATS))
@pytest.mark.parametrize("density", [0.05, 0.3, 1.0])
@pytest.mark.parametrize("folded", [False, True])
def test_the_same_counts_and_lengths(
    name: str, density: float, folded: bool, tmp_path: Path
) -> None:
    checkpoint = make_checkpoint(density, SPEC)
    if folded:
        state = dict(fold_batch_norm(restore_network(checkpoint)).state_dict())
        checkpoint = replace(checkpoint, state=state)
    save_checkpoint(checkpoint, tmp_path / "checkpoint.pt")
    in_memory = describe_in_memory(restore_network(load_checkpoint(tmp_path)), FORMATS[name])
    in_file = describe_file(tmp_path, FORMATS[name])
    assert in_file.counts == in_memory.counts
    assert in_file.lengths == in_memory.lengths
    assert in_file.spec == SPEC


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_other_types(dtype: torch.dtype, tmp_path: Path) -> None:
    checkpoint = make_checkpoint(0.4, SPEC)
    state = {
        name: tensor.to(dtype) if tensor.is_floating_point() else tensor
        for name, tensor in checkpoint.state.items()
    }
    save_checkpoint(replace(checkpoint, state=state), tmp_path / "checkpoint.pt")
    network = restore_network(load_checkpoint(tmp_path))
    assert (
        describe_file(tmp_path, find_format(8)).counts
        == describe_in_memory(network, find_format(8)).counts
    )


def test_json_has_what_a_bound_needs(tmp_path: Path) -> None:
    save_checkpoint(make_checkpoint(0.3, SPEC), tmp_path / "checkpoint.pt")
    values = describe_file(tmp_path, find_format(16)).to_dict()
    assert values["description_bits"] == 2 + min(
        length["whole_bits"] for length in values["lengths"].values()
    )
    assert values["twins"]["conv"]["conv1"] == 81 * 2


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("not_finite", "conv1.weight: values to quantise must be finite"),
        ("counts_disagree", "26 nonzeros, not the 27"),
        ("csr_columns_twice", "columns are not in order"),
        ("missing_tensor", "lacks fc1.weight"),
        ("external_state", "not a checkpoint of mdl"),
    ],
)
def test_faults_are_one_line(name: str, words: str) -> None:
    with pytest.raises(CheckpointError, match=words) as caught:
        describe_file(CORPUS / f"{name}.pt", find_format(16))
    assert "\n" not in str(caught.value)


def test_a_newer_version(tmp_path: Path) -> None:
    good = torch.load(CORPUS / "good.pt", weights_only=True)
    (tmp_path / "a.pt").write_bytes(changed(good, version=2))
    with pytest.raises(CheckpointError, match="update mdl"):
        describe_file(tmp_path / "a.pt", find_format(16))
