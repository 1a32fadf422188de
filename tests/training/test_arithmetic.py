"""The arithmetic of a run follows what the device has."""

import pytest
import torch

from training import arithmetic
from training.arithmetic import choose_precision


@pytest.mark.parametrize(
    ("amx", "avx", "expected"),
    [(True, True, "AMX"), (False, True, "AVX512_BF16"), (False, False, "")],
)
def test_cpu_instructions_decide(amx, avx, expected, monkeypatch, tmp_path):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx)
    monkeypatch.setattr(arithmetic, "_CPU_INFO", tmp_path / "none")
    assert arithmetic.bf16_instructions() == expected
    precision, reason = choose_precision(torch.device("cpu"))
    assert precision == ("bf16" if expected else "fp32")
    assert expected in reason


def test_arm_says_it_in_its_features(monkeypatch, tmp_path):
    for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda: False)
    monkeypatch.setattr(arithmetic, "_CPU_INFO", tmp_path / "cpuinfo")
    (tmp_path / "cpuinfo").write_text("processor: 0\nFeatures\t: fp asimd i8mm bf16 sve\n")
    assert arithmetic.bf16_instructions() == "Arm bf16"
    (tmp_path / "cpuinfo").write_text("processor: 0\nFeatures\t: fp asimd\n")
    assert arithmetic.bf16_instructions() == ""


@pytest.mark.parametrize(
    ("capability", "expected"), [((9, 0), "bf16"), ((8, 0), "bf16"), ((7, 0), "fp16")]
)
def test_cuda_capability_decides(capability, expected, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    assert choose_precision(torch.device("cuda"))[0] == expected
