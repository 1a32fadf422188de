"""The examples run without errors or warnings, and hold nothing of the machine that ran them."""

import json
import os
import re
import runpy
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from analysis.certify.certify import certify
from training.checkpoint.checkpoint import Checkpoint, DataRecord
from training.data.loading import load_dataset
from training.networks.models import build_model
from training.spec.config import DataConfig
from training.spec.normalization import fixed_normalization

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))
each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def outputs(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    return [output for cell in notebook["cells"] for output in cell.get("outputs", ())]


@each_notebook
def test_stored_outputs_are_whole_and_small_and_name_no_machine(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.encode()) < 300_000
    notebook = json.loads(text)
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    assert not [out for out in outputs(notebook) if out.get("name") == "stderr"]
    assert {out["output_type"] for out in outputs(notebook)} <= {
        "stream",
        "display_data",
        "execute_result",
    }
    shown = json.dumps([[out.get("text"), out.get("data")] for out in outputs(notebook)])
    shown = re.sub(r'"image/[a-z]+": "[^"]*"', "", shown)
    assert not re.search(r"/(root|home|tmp|usr|Users)/|0x[0-9a-f]{6,}|seconds|\bCPU\b", shown)


@pytest.mark.slow
@pytest.mark.process
@each_notebook
def test_a_notebook_runs(path: Path, tmp_path: Path) -> None:
    nbclient = pytest.importorskip("nbclient", reason="nbclient is in the extra named test")
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel", reason="ipykernel is in the extra named test")
    notebook = nbformat.read(path, as_version=4)
    client = nbclient.NotebookClient(
        notebook, timeout=900, resources={"metadata": {"path": str(tmp_path)}}
    )
    with mock.patch.dict(os.environ, {"IPYTHONDIR": str(tmp_path), "JUPYTER_PLATFORM_DIRS": "1"}):
        client.execute()
    assert not [out for out in outputs(notebook) if out.get("name") == "stderr"]
    assert not list(tmp_path.glob("*.pt"))


def test_the_script_verifies_certificates(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = DataConfig(image_size=8, num_train=100, num_test=10)
    model = build_model("s-conv", image_size=8, num_classes=10, base_channels=1)
    checkpoint = Checkpoint(
        network=model.spec,
        state=model.state_dict(),
        data=DataRecord.of(data, load_dataset(data), num_samples=100),
        normalization=fixed_normalization(3),
    )
    certify(checkpoint, bits=8, folder=tmp_path / "cert")
    main = runpy.run_path(str(EXAMPLES / "verify_certificate.py"))["main"]
    with mock.patch("sys.argv", ["verify_certificate.py", str(tmp_path / "cert")]):
        assert main() == 0
    assert "errors on 100 images" in capsys.readouterr().out
    with mock.patch("sys.argv", ["verify_certificate.py", str(tmp_path / "nothing")]):
        assert main() == 1
    assert "not verified" in capsys.readouterr().out
