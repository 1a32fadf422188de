"""The arithmetic of a run follows what the device has, and what the environment keeps from it."""

import os
import platform
import subprocess
import sys

import pytest
import torch

from training.run import precision as arithmetic
from training.run.precision import choose_precision, is_emulated

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def machine(monkeypatch, tmp_path):
    """A function that makes this processor look like one with AVX-512 and no limits, or others."""

    def pretend(*, amx=True, bf16=True, widest="AVX512", **limits):
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: bf16)
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: widest)
        monkeypatch.setattr(arithmetic.platform, "machine", lambda: "x86_64")
        for name in arithmetic.LIMITS:
            monkeypatch.delenv(name, raising=False)
        for name, value in limits.items():
            monkeypatch.setenv(name, value)

    monkeypatch.setattr(arithmetic, "_CPU_INFO", tmp_path / "cpuinfo")
    pretend()
    return pretend


@pytest.mark.parametrize(
    ("amx", "avx", "expected"),
    [(True, True, "AMX"), (False, True, "AVX512_BF16"), (False, False, "")],
)
def test_cpu_instructions_decide(amx, avx, expected, machine):
    machine(amx=amx, bf16=avx)
    assert arithmetic.bf16_instructions() == expected
    precision, reason = choose_precision(CPU)
    assert precision == ("bf16" if expected else "fp32")
    assert expected in reason
    assert is_emulated("bf16", CPU) == (not expected)
    assert not is_emulated("fp32", CPU)


@pytest.mark.parametrize("name", ["ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"])
@pytest.mark.parametrize(
    ("limit", "bf16", "instructions"),
    [
        ("SSE41", "", ["SSE41"]),
        ("AVX2", "", ["AVX2"]),
        ("avx2_vnni_2", "", ["AVX2_VNNI_2"]),
        ("AVX512_CORE", "", ["AVX512"]),
        ("AVX512_CORE_BF16", "AVX512_BF16", ["AVX512_BF16"]),
        ("AVX512_CORE_AMX", "AMX", ["AVX512_BF16", "AMX"]),
        ("DEFAULT", "AMX", ["AVX512_BF16", "AMX"]),
        ("AVX10_2_512_AMX_2", "AMX", ["AVX512_BF16", "AMX"]),
    ],
)
def test_a_limit_of_onednn_is_heeded(name, limit, bf16, instructions, machine):
    machine(**{name: limit})
    assert arithmetic.bf16_instructions() == bf16
    assert arithmetic.vector_instructions() == instructions
    assert arithmetic.limits_in_effect() == {name: limit}


@pytest.mark.parametrize("widest", ["AVX2", "DEFAULT"])
def test_a_limit_of_torch_is_heeded(widest, machine):
    machine(widest=widest)
    assert choose_precision(CPU)[0] == "fp32"
    assert arithmetic.vector_instructions() == [widest]


def test_a_limit_above_the_processor_adds_nothing(machine):
    machine(amx=False, bf16=False, widest="AVX2", ONEDNN_MAX_CPU_ISA="AVX512_CORE_AMX")
    assert arithmetic.bf16_instructions() == ""
    assert arithmetic.vector_instructions() == ["AVX2"]


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.skipif(platform.machine() != "x86_64", reason="x86 has these limits")
def test_a_process_with_limited_instructions_chooses_fp32():
    environment = os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
    code = (
        "import torch; from training.run.precision import choose_precision, is_emulated;"
        "cpu = torch.device('cpu'); print(choose_precision(cpu)[0], is_emulated('bf16', cpu))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == "fp32 True\n"


def test_arm_says_it_in_its_features(machine, monkeypatch):
    machine(amx=False, bf16=False, widest="SVE256")
    monkeypatch.setattr(arithmetic.platform, "machine", lambda: "aarch64")
    file = arithmetic._CPU_INFO
    file.write_text("processor: 0\nFeatures\t: fp asimd i8mm bf16 sve\n")
    assert arithmetic.bf16_instructions() == "Arm bf16"
    assert arithmetic.vector_instructions() == ["SVE256", "Arm bf16"]
    file.write_text("processor: 0\nFeatures\t: fp asimd\n")
    assert arithmetic.bf16_instructions() == ""
    assert arithmetic.vector_instructions() == ["SVE256"]


@pytest.mark.parametrize(
    ("capability", "expected"), [((9, 0), "bf16"), ((8, 0), "bf16"), ((7, 0), "fp16")]
)
def test_cuda_capability_decides(capability, expected, monkeypatch):
    device = torch.device("cuda")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    assert choose_precision(device)[0] == expected
    assert not is_emulated("bf16", device)
