"""Lengths and bounds of an external network, recomputed from its tensors."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from analysis.bounds.bounds import ErrorCount, binomial_tail, theorem_2
from analysis.describe.export import export_state
from analysis.describe.external_network import describe_tensors, external_message_tensors
from analysis.describe.external_report import ExternalReport, report_external
from analysis.quantize.formats import find_format
from tests.analysis.describe.test_external_network import make_network
from training.errors import CheckpointError
from training.tensor_files.open import open_tensor_file

GIVEN = {
    "train": ErrorCount(num_errors=30, num_samples=1000),
    "test": ErrorCount(num_errors=50, num_samples=500),
}


def report(path: Path, contents: Any, bits: int = 16, **options: Any) -> ExternalReport:
    torch.save(contents, path)
    with open_tensor_file(path) as file:
        return report_external(describe_tensors(file), find_format(bits), **options)


def rules(found: ExternalReport) -> set[str]:
    return {finding.rule for finding in found.findings}


@pytest.mark.parametrize("bits", [8, 16, 32])
def test_every_number_follows_from_the_message(bits: int, tmp_path: Path) -> None:
    state = make_network().state_dict()
    found = report(tmp_path / "a.pt", {"state_dict": state}, bits, delta=0.1, **GIVEN)
    with open_tensor_file(tmp_path / "a.pt") as file:
        tensors = external_message_tensors(describe_tensors(file), find_format(bits))
    values = torch.cat([tensor.flatten() for tensor in tensors.values()])
    n, nonzeros, k = len(values), int(values.count_nonzero()), len(values.unique())
    total = found.counts.total
    assert (total.num_weights, total.num_nonzeros, total.num_distinct) == (n, nonzeros, k)
    lengths = found.lengths
    assert lengths["plain"].whole_bits == n * bits
    map_bits = nonzeros * math.log2(k * n) + 2 * math.log2(n)
    assert lengths["theorem-2"].map_bits == pytest.approx(map_bits)
    choices = sum(
        math.log2(math.comb(tensor.numel(), int(tensor.count_nonzero())))
        for tensor in tensors.values()
    )
    assert lengths["enumerative"].terms[3].bits == pytest.approx(choices, abs=1e-4)
    shortest = min(length.whole_bits for length in lengths.values())
    assert found.shortest_bits == shortest + 2
    assert found.bound is not None
    assert found.bound.value == binomial_tail(30, 1000, shortest + 2, 0.1)
    sparse = {bound.name: bound.value for bound in found.bounds["theorem-2"]}
    assert sparse["theorem_2"] == theorem_2(
        30, 1000, 0.1, value_bits=k * bits, map_bits=lengths["theorem-2"].map_bits, num_weights=n
    )


def test_json_says_that_the_errors_were_given(tmp_path: Path) -> None:
    found = report(tmp_path / "a.pt", {"model": make_network().state_dict()}, **GIVEN)
    values = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert values["errors"] == "given"
    assert values["key"] == "model"
    assert values["folded"] == ["1", "5"]
    assert values["train"] == {"num_errors": 30, "num_samples": 1000, "error": 0.03}
    assert values["test"]["error"] == 0.1
    assert values["valid"] is True
    assert values["bound"] == found.bound.value
    assert "given, not measured" in values["notes"][0]


def test_without_errors_there_are_lengths_and_no_bound(tmp_path: Path) -> None:
    found = report(tmp_path / "a.pt", make_network().state_dict())
    assert found.bound is None
    assert not found.is_valid
    values = found.to_dict()
    assert values["bound"] is values["num_samples"] is values["errors"] is None
    assert values["bounds"] == {}
    assert values["lengths"].keys() == {"plain", "theorem-2", "enumerative"}


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("bits", [8, 16, 32])
def test_the_decoded_file_is_recognised(bits: int, affine: bool, tmp_path: Path) -> None:
    network = make_network(affine=affine)
    before = report(tmp_path / "a.pt", network.state_dict(), bits, **GIVEN)
    assert "not-decoded" in rules(before)
    with open_tensor_file(tmp_path / "a.pt") as file:
        tensors = external_message_tensors(describe_tensors(file), find_format(bits))
    after = report(tmp_path / "b.pt", export_state(tensors), bits, **GIVEN)
    # At 32 bits, statistics that stand for a scale are themselves rounded.
    assert ("decoded" in rules(after)) == (affine or bits < 32)
    if bits < 32:
        assert after.lengths == before.lengths


def test_refusals(tmp_path: Path) -> None:
    state = {"a": torch.tensor([1.0, torch.inf])}
    with pytest.raises(CheckpointError, match=r"a\.pt: a: values to quantise must be finite"):
        report(tmp_path / "a.pt", state)
    with pytest.raises(ValueError, match=r"delta must lie in \(0, 1\), not 1"):
        report(tmp_path / "a.pt", {"a": torch.ones(1)}, delta=1)
    with pytest.raises(ValueError, match="num_errors must lie in"):
        ErrorCount(num_errors=11, num_samples=10)
