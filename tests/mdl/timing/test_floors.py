"""Floors move the bytes that they say, and sizes are chosen as asked."""

import pytest
import torch

from mdl.bench.settings import NETWORKS, choose_settings
from mdl.bench.stored_lines import DENSITY, make_checkpoint, state_bytes
from mdl.timing.floors import drop_from_cache, find_peak, make_copy, read_raw, write_raw
from mdl.timing.rounds import Pace
from training.run import precision as arithmetic

CPU = torch.device("cpu")


def test_a_copy_reads_one_half_and_writes_the_other():
    target = make_copy(800, CPU)()
    assert isinstance(target, torch.Tensor)
    assert target.nbytes == 400
    assert target.unique().numel() > 1


def test_raw_files(tmp_path):
    file = tmp_path / "raw.bin"
    write_raw(file, b"ab" * 3_000_000)
    drop_from_cache(file)
    assert read_raw(file) == 6_000_000
    assert file.read_bytes()[:4] == b"abab"


def test_a_peak_names_its_shape():
    peak = find_peak(torch.float32, [(8, 4, 2)], Pace(device=CPU, rounds=1, budget_s=1))
    assert peak.dtype == "fp32"
    assert peak.flop == 2 * peak.shape[0] * peak.shape[1] * peak.shape[2]
    assert peak.flop_per_second > 0


def test_cuda_takes_the_papers_networks():
    settings = choose_settings(torch.device("cuda"), quick=False, precision="bf16")
    assert settings.steps["s-fc"] == (150, 512)
    assert list(settings.steps) == list(NETWORKS)
    assert settings.cpu_pace.device == CPU
    assert settings.pace.num_calls > settings.cpu_pace.num_calls


@pytest.mark.parametrize(
    ("precision", "precisions", "sparse", "dtype"),
    [
        ("bf16", ("bf16", "fp32"), ("bf16", "fp32"), torch.bfloat16),
        ("fp16", ("fp16", "fp32"), ("fp32",), torch.float32),
        ("fp32", ("fp32",), ("fp32",), torch.float32),
    ],
)
def test_float32_stands_beside_the_arithmetic_of_training(precision, precisions, sparse, dtype):
    settings = choose_settings(CPU, quick=True, precision=precision)
    assert settings.precisions == precisions
    assert settings.sparse_precisions == sparse
    assert settings.input_dtype == dtype


@pytest.mark.parametrize("has_bf16", [True, False])
def test_the_arithmetic_is_the_one_that_training_would_choose(has_bf16, monkeypatch):
    monkeypatch.setattr(arithmetic, "bf16_instructions", lambda: "AMX" if has_bf16 else "")
    assert choose_settings(CPU, quick=True).precision == ("bf16" if has_bf16 else "fp32")


def test_unknown_networks_are_refused():
    with pytest.raises(ValueError, match=r"network must be one of .*, not 'e-fc'"):
        choose_settings(CPU, quick=True, networks=("e-fc",))


def test_a_made_up_network_has_its_density():
    checkpoint = make_checkpoint(2)
    weights = [tensor for name, tensor in checkpoint.state.items() if "conv1.weight" in name]
    assert weights[0].count_nonzero() / weights[0].numel() == pytest.approx(DENSITY, rel=0.05)
    assert not (torch.signbit(weights[0]) & (weights[0] == 0)).any()  # CSR would keep every -0
    assert state_bytes(checkpoint) > 4 * checkpoint.network.num_weights
