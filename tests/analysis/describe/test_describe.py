"""A network's layers side by side with their bits: the sums are the codewords' own lengths."""

import json
from pathlib import Path

import pytest
import torch

from analysis.codes.network_code import decode_network
from analysis.describe.describe import NetworkDescription, describe
from tests.training.checkpoint.test_checkpoint import make_checkpoint
from training.checkpoint.checkpoint import save_checkpoint
from training.errors import CheckpointError
from training.networks.models import build_model


def check_sums(found: NetworkDescription) -> None:
    for code, length in found.lengths.items():
        assert sum(row.bits[code] for row in found.layers) == pytest.approx(length)
        decoded = decode_network(found.codewords[code].data)
        assert decoded.num_bits == length
        assert decoded.message.same_as(found.codewords[code].message)
    assert found.codeword.num_bits == min(found.lengths.values())
    assert sum(row.num_weights for row in found.layers) == found.num_weights
    assert sum(row.num_nonzeros for row in found.layers) == found.num_nonzeros
    values = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert [row["name"] for row in values["layers"]] == [row.name for row in found.layers]
    lines = str(found).splitlines()
    assert len(lines) == 3 + len(found.layers)
    assert lines[-1].split()[1] == f"{found.num_weights:,}"
    page = found._repr_html_()
    assert page.count("<tr>") == len(lines) - 1
    assert f"{found.codeword.num_bits:,} bits" in page and lines[-1].split()[1] in page


def test_a_network_of_ours_in_every_form(tmp_path: Path) -> None:
    checkpoint = make_checkpoint(0.3)
    save_checkpoint(checkpoint, tmp_path / "checkpoint.pt")
    whole, in_file = describe(checkpoint, bits=8), describe(str(tmp_path), bits=8)
    check_sums(whole)
    assert in_file.to_dict() == whole.to_dict()
    assert [row.name for row in whole.layers[:3]] == ["conv1", "fc1", "fc2"]
    as_it_is = describe(checkpoint, bits=8, canonical=False)
    assert as_it_is.num_weights == whole.num_weights
    assert as_it_is.codeword.num_bits >= whole.codeword.num_bits


def test_a_module_of_ours_has_the_structure_of_its_twin() -> None:
    torch.manual_seed(0)
    model = build_model("s-conv", image_size=8, num_classes=4, base_channels=1)
    assert "structured-conv" not in describe(model, bits=8).codewords
    found = describe(model, number_format="e4m3fn")
    check_sums(found)
    assert found.message.spec == model.spec


def test_any_module_and_its_state_dict() -> None:
    model = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Flatten(), torch.nn.Linear(4, 2)
    )
    found = describe(model)
    check_sums(found)
    assert found.to_dict() == describe(model.state_dict()).to_dict()
    assert [(row.name, row.num_weights) for row in found.layers[:3]] == [
        ("0", 4 * 3 * 9 + 4),
        ("1", 8),
        ("3", 10),
    ]


def test_what_cannot_be_described(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="neither coded nor fixed"):
        describe({"phase": torch.ones(2, dtype=torch.complex64), "weight": torch.ones(2)})
    with pytest.raises(ValueError, match="key must be None where no file is given"):
        describe({"weight": torch.ones(2)}, key="model")
    with pytest.raises(ValueError, match="bits"):
        describe({"weight": torch.ones(2)}, bits=7)
