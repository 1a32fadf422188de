"""What the bench ran on: processor, instructions, threads, versions."""

import importlib.util
import os
import platform
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch

from training.run.precision import limits_in_effect, vector_instructions
from training.run.provenance import collect_versions

_INSTRUCTIONS = (
    "avx2",
    "avx512f",
    "avx512_vnni",
    "avx512_bf16",
    "avx512_fp16",
    "amx_tile",
    "amx_bf16",
    "asimd",
    "sve",
    "bf16",
)


def describe_machine(device: torch.device) -> dict[str, Any]:
    """The machine as plain values: what a figure of the bench must be quoted with.

    "instructions" are those that products run on, "limits" the environment's variables that keep
    libraries from others, and "processor_instructions" what the processor has.
    """
    versions = collect_versions()
    return {
        "cpu": versions["cpu"],
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "instructions": vector_instructions(),
        "limits": limits_in_effect(),
        "processor_instructions": _processor_instructions(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "device": device.type,
        "gpu": versions["gpu"] if device.type == "cuda" else None,
        "platform": versions["platform"],
        "python": platform.python_version(),
        "torch": versions["torch"],
        "commit": versions["commit"],
        "compiler": shutil.which("c++") is not None,
        "numba": importlib.util.find_spec("numba") is not None,
        "folder": tempfile.gettempdir(),
    }


def why_not_published(machine: dict[str, Any]) -> str | None:
    """Why figures of this machine must not be quoted: no commit has the code; None if one has.

    >>> why_not_published({"commit": "1f2e-dirty"}), why_not_published({"commit": "1f2e"})
    ('the code has changes that no commit holds', None)
    """
    commit = machine["commit"]
    if commit is None:
        return "the commit of the code is not known"
    return "the code has changes that no commit holds" if commit.endswith("-dirty") else None


def _processor_instructions() -> list[str]:
    """Those of the processor's vector and matrix instructions that matter here."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return []
    for line in text.splitlines():
        key, _, values = line.partition(":")
        if key.strip() in ("flags", "Features"):
            found = set(values.split())
            return [name for name in _INSTRUCTIONS if name in found]
    return []
