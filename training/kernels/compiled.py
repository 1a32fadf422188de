"""Kernels in plain Python, compiled by numba.

Compiled code is kept in the project's cache folder under a hash of the kernels' sources, so that
it is never out of date. It releases the interpreter, so kernels run side by side on threads.
Nothing is compiled with relaxed arithmetic: every operation rounds on its own.
"""

import hashlib
import importlib.util
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from training.system.files import default_cache_dir


def can_compile() -> bool:
    """Whether numba is installed."""
    return importlib.util.find_spec("numba") is not None


def compile_kernels(modules: Sequence[ModuleType], entries: Sequence[str]) -> SimpleNamespace:
    """Compile functions of some modules that may call each other.

    Args:
        modules: Where the functions, and all that they call, are defined.
        entries: Names of the functions to compile, each in one of the modules.

    Returns:
        The compiled functions by name; each compiles, or is read from the cache, when first called.
    """
    import numba  # noqa: PLC0415  # takes 0.3 s, and not every command needs it
    from numba.extending import register_jitable  # noqa: PLC0415

    functions: dict[str, Callable[..., Any]] = {}
    for module in modules:
        for function in _own_functions(module):
            functions[function.__name__] = function
            register_jitable(function)
    with _cache_in(numba.config, default_cache_dir() / "kernels" / _source_hash(modules)):
        return SimpleNamespace(
            **{
                name: numba.njit(cache=True, nogil=True, error_model="numpy")(functions[name])
                for name in entries
            }
        )


def _own_functions(module: ModuleType) -> list[Callable[..., Any]]:
    return [
        value
        for value in vars(module).values()
        if callable(value) and getattr(value, "__module__", None) == module.__name__
    ]


def _source_hash(modules: Sequence[ModuleType]) -> str:
    digest = hashlib.sha256()
    for module in modules:
        digest.update(Path(str(module.__file__)).read_bytes())
    return digest.hexdigest()[:16]


@contextmanager
def _cache_in(config: Any, folder: Path) -> Iterator[None]:
    """Let functions that are made inside keep their compiled form in `folder`, if it can be."""
    before = config.CACHE_DIR
    try:
        folder.mkdir(parents=True, exist_ok=True)
        config.CACHE_DIR = str(folder)
    except OSError:
        pass  # numba finds a place of its own
    try:
        yield
    finally:
        config.CACHE_DIR = before
