"""What a result was made with: versions, commit and machine, as plain text."""

import json
import platform
import subprocess
import tomllib
from importlib import metadata
from pathlib import Path

import numpy as np
import torch

from training.run.precision import vector_instructions

ROOT = Path(__file__).resolve().parents[2]


def collect_versions() -> dict[str, str | None]:
    """Versions, commit and machine, for config.json and checkpoints.

    Returns:
        mdl, python, torch, numpy: Version numbers.
        commit: The commit that the code was checked out at, with "-dirty" behind it if tracked
            files have changed since; that which pip installed it from; None where neither is known.
        platform: Operating system and architecture.
        cpu: The processor's name.
        instructions: Those of it that products run on (`vector_instructions`), spaces between.
        gpu: The first CUDA device's name, or None.
    """
    return {
        "mdl": _own_version(),
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": str(np.__version__),
        "commit": _commit(),
        "platform": platform.platform(),
        "cpu": _cpu_name(),
        "instructions": " ".join(vector_instructions()),
        "gpu": torch.cuda.get_device_name(0) if torch.cuda.is_available() else None,
    }


def _own_version() -> str | None:
    """The version beside the code that runs, or the installed one where no source tree is."""
    try:
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        return str(project["version"])
    except (OSError, KeyError, ValueError):
        pass
    try:
        return metadata.version("mdl")
    except metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    if not (ROOT / ".git").exists():  # Else git would name a repository that merely surrounds us.
        return _installed_commit()
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=40"]
    command += ["--exclude=*"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip() or None


def _installed_commit() -> str | None:
    """The commit that pip notes where it installs from a repository (PEP 610)."""
    try:
        noted = metadata.distribution("mdl").read_text("direct_url.json") or "{}"
        return str(json.loads(noted)["vcs_info"]["commit_id"])
    except (metadata.PackageNotFoundError, KeyError, TypeError, ValueError):
        return None


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
