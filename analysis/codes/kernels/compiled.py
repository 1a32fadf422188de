"""The kernels of the codes, compiled by numba where it is installed and plain Python elsewhere.

Both forms are the same functions, so they write the same bits.
"""

from functools import lru_cache
from types import SimpleNamespace

from analysis.codes.kernels import (
    context_kernel,
    enumerative_kernel,
    grid_fields,
    pattern_kernel,
    range_kernel,
    support_kernel,
    value_kernel,
)
from training.kernels.compiled import can_compile, compile_kernels

_MODULES = (
    grid_fields,
    range_kernel,
    context_kernel,
    support_kernel,
    enumerative_kernel,
    value_kernel,
    pattern_kernel,
)
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
    if compiled and can_compile():
        return compile_kernels(_MODULES, [name for names in _ENTRIES.values() for name in names])
    return SimpleNamespace(
        **{name: getattr(module, name) for module, names in _ENTRIES.items() for name in names}
    )
