"""The kernels of the codes, compiled by numba where it is installed and plain Python elsewhere.

Both forms are the same functions, so they write the same bits. Compiled code is kept in the
project's cache folder under a hash of the kernels' sources, so that it is never out of date.
"""

import hashlib
import importlib.util
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from analysis.codes import (
    context_kernel,
    enumerative_kernel,
    grid_fields,
    pattern_kernel,
    range_kernel,
    support_kernel,
    value_kernel,
)
from training.data_cache import default_cache_dir

_MODULES = (
    grid_fields, range_kernel, context_kernel, support_kernel, enumerative_kernel, value_kernel,
    pattern_kernel,
)  # fmt: skip
_ENTRIES = {
    range_kernel: ("code_uniform", "code_counted", "code_tree"),
    support_kernel: ("code_support",),
    enumerative_kernel: ("code_enumerative",),
    value_kernel: ("code_symbols",),
    pattern_kernel: ("code_patterns", "code_fields"),
}


@lru_cache(maxsize=2)
def load_kernels(*, compiled: bool = True) -> SimpleNamespace:
    """The kernels by name: compiled ones if asked for and numba is there, else plain Python."""
    functions = {
        name: getattr(module, name) for module, names in _ENTRIES.items() for name in names
    }
    if compiled and importlib.util.find_spec("numba") is not None:
        functions = _compile(functions)
    return SimpleNamespace(**functions)


def _compile(functions: dict[str, Callable[..., Any]]) -> dict[str, Callable[..., Any]]:
    import numba  # noqa: PLC0415  # takes 0.3 s, and only the codes need it
    from numba.extending import register_jitable  # noqa: PLC0415

    for module in _MODULES:
        for function in _own_functions(module):
            register_jitable(function)
    with _cache_in(numba.config, default_cache_dir() / "kernels" / _source_hash()):
        return {
            name: numba.njit(cache=True, error_model="numpy")(function)
            for name, function in functions.items()
        }


def _own_functions(module: ModuleType) -> list[Callable[..., Any]]:
    return [
        value
        for value in vars(module).values()
        if callable(value) and getattr(value, "__module__", None) == module.__name__
    ]


def _source_hash() -> str:
    digest = hashlib.sha256()
    for module in _MODULES:
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
