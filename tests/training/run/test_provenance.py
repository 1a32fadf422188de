"""What a result was made with."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from training.run import provenance as versions
from training.run.precision import vector_instructions
from training.run.provenance import collect_versions


def test_versions_are_plain_and_complete() -> None:
    found = collect_versions()
    assert json.loads(json.dumps(found)) == found
    names = {"mdl", "python", "torch", "numpy", "commit", "platform"}
    assert set(found) == names | {"cpu", "instructions", "gpu"}
    assert found["instructions"] == " ".join(vector_instructions())
    assert found["torch"] == torch.__version__
    assert type(found["torch"]) is str
    assert found["mdl"] is not None and re.match(r"\d+\.\d+", found["mdl"])
    assert (found["gpu"] is None) != torch.cuda.is_available()


def test_commit_is_that_of_this_checkout() -> None:
    commit = collect_versions()["commit"]
    assert commit is None or re.fullmatch(r"[0-9a-f]{40}(-dirty)?", commit)


@pytest.mark.parametrize(
    ("noted", "expected"),
    [
        (
            '{"url": "https://host/mdl.git", "vcs_info": {"vcs": "git", "commit_id": "ab12"}}',
            "ab12",
        ),
        ('{"url": "file:///home/me/mdl", "dir_info": {}}', None),
        ("[]", None),
        ("damaged", None),
        (None, None),
    ],
)
def test_an_installed_copy_knows_the_commit_that_pip_noted(
    noted: str | None, expected: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(versions, "ROOT", tmp_path)
    installed = SimpleNamespace(version="0.1.0", read_text=lambda name: noted)
    monkeypatch.setattr(versions.metadata, "distribution", lambda name: installed)
    assert collect_versions()["commit"] == expected
