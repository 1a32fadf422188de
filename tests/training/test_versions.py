"""What a result was made with."""

import json
import re

import torch

from training.versions import ROOT, collect_versions


def test_versions_are_plain_and_complete() -> None:
    versions = collect_versions()
    assert json.loads(json.dumps(versions)) == versions
    assert set(versions) == {
        "mdl", "python", "torch", "numpy", "commit", "platform", "cpu", "gpu",
    }  # fmt: skip
    assert versions["torch"] == torch.__version__
    assert type(versions["torch"]) is str
    assert versions["mdl"] is not None and re.match(r"\d+\.\d+", versions["mdl"])
    assert (versions["gpu"] is None) != torch.cuda.is_available()


def test_commit_is_that_of_this_checkout() -> None:
    commit = collect_versions()["commit"]
    if (ROOT / ".git").exists():
        assert commit is None or re.fullmatch(r"[0-9a-f]{40}(-dirty)?", commit)
    else:
        assert commit is None
