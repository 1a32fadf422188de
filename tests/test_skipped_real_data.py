"""In CI, beside the real data, a real-data test that skips itself is a failure."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.parametrize(("ci", "code"), [("true", 1), ("", 0)])
def test_a_skip_counts_as_it_should(ci: str, code: int, shared_data: Path, tmp_path: Path) -> None:
    test = tmp_path / "test_probe.py"
    test.write_text("import pytest\ndef test_probe(shared_data):\n    pytest.skip('no reason')\n")
    place = 'Path(__file__).resolve().parents[1].parent / "shared" / "data"'
    ours = (ROOT / "tests" / "conftest.py").read_text()
    assert place in ours
    (tmp_path / "conftest.py").write_text(ours.replace(place, f"Path({str(shared_data)!r})"))
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n    cuda: x\n    real_data: x\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", str(test)],
        cwd=tmp_path,
        env=os.environ | {"CI": ci},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stdout
