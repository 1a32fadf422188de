"""Which form of the kernels is used."""

import importlib.util
from pathlib import Path

import pytest

from analysis.codes.kernels import compiled as kernels
from analysis.codes.kernels import range_kernel, support_kernel
from analysis.codes.kernels.compiled import load_kernels
from training.kernels import compiled


def test_plain_python_is_the_modules_own_functions() -> None:
    plain = load_kernels(compiled=False)
    assert plain.code_uniform is range_kernel.code_uniform
    assert plain.code_support is support_kernel.code_support


def test_compiled_kernels_have_the_same_names() -> None:
    plain, compiled = load_kernels(compiled=False), load_kernels(compiled=True)
    assert set(vars(plain)) == set(vars(compiled))
    assert compiled.code_support.py_func is plain.code_support
    assert load_kernels(compiled=True) is compiled


def test_without_numba_plain_python_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    fresh = load_kernels.__wrapped__(compiled=True)
    assert fresh.code_counted is range_kernel.code_counted


def test_the_cache_goes_by_the_sources(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = compiled._source_hash(kernels._MODULES)
    changed = tmp_path / "range_kernel.py"
    changed.write_bytes(Path(str(range_kernel.__file__)).read_bytes() + b"\n# changed\n")
    monkeypatch.setattr(range_kernel, "__file__", str(changed))
    assert compiled._source_hash(kernels._MODULES) != before


def test_a_folder_that_cannot_be_made_is_no_obstacle(tmp_path: Path) -> None:
    class Config:
        CACHE_DIR = "before"

    (tmp_path / "file").touch()
    with compiled._cache_in(Config, tmp_path / "file" / "below"):
        assert Config.CACHE_DIR == "before"
    with compiled._cache_in(Config, tmp_path / "folder"):
        assert str(tmp_path / "folder") == Config.CACHE_DIR
    assert Config.CACHE_DIR == "before"
