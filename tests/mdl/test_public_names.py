"""What `import mdl` gives, what it loads, and what it says beside a foreign package."""

import subprocess
import sys
from pathlib import Path

import pytest

import mdl

ROOT = Path(__file__).resolve().parents[2]


def call(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=folder
    )


@pytest.mark.parametrize("name", mdl.__all__)
def test_every_name_is_there_and_documented(name: str) -> None:
    assert name in dir(mdl)
    value = getattr(mdl, name)
    assert name == "__version__" or ">>> " in value.__doc__
    assert name == "__version__" or value.__name__.rpartition(".")[2] == name


def test_other_names_are_not() -> None:
    assert not hasattr(mdl, "no_such_name")


@pytest.mark.process
def test_importing_it_takes_no_torch(tmp_path: Path) -> None:
    done = call("import mdl, sys; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)", ROOT)
    assert done.returncode == 0, done.stderr


@pytest.mark.process
@pytest.mark.parametrize("name", ["training", "analysis", "figures"])
@pytest.mark.parametrize("run", ["import", "mdl", "python -m"])
def test_a_foreign_package_that_shadows_ours_is_one_line(
    name: str, run: str, tmp_path: Path
) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text("raise RuntimeError('imported')")
    path = f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(ROOT)!r}]; "
    code = {
        "import": "import mdl",
        "mdl": "sys.argv = ['/usr/bin/mdl', 'scaling']; from mdl.__main__ import main; main()",
        "python -m": "sys.argv = ['-m', 'scaling']; from mdl.__main__ import main; main()",
    }
    done = call(path + code[run], tmp_path)
    last = done.stderr.splitlines()[-1]
    assert done.returncode == 1
    assert f"the package {name!r} must lie beside mdl" in last
    if run == "import":
        assert last.startswith("ImportError: ")
    else:
        assert len(done.stderr.splitlines()) == 1
