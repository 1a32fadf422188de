"""Refuses what would not fit into this machine, before it is allocated.

A few bits can stand for a large network whose numbers are all alike, so the length of the data is
no limit; this machine's memory is.
"""

from analysis.codes.errors import CodecError
from training.system.memory import physical_memory

BYTES_A_VALUE = 56
"""Most that a nonzero number takes while it is decoded: its place, symbol, pattern, and copies."""
BYTES_A_ROW = 24
"""Most that a row of a matrix takes beside its nonzeros."""


def check_memory(num_bytes: int, error: type[ValueError] = CodecError) -> None:
    """Refuse to take more than all of this machine's memory.

    Args:
        num_bytes: What is about to be taken.
        error: What to raise.

    Raises:
        CodecError: It is more than there is; or another error that was asked for.
    """
    memory = physical_memory()
    if memory is not None and num_bytes > memory:
        raise error(
            f"too large: its tensors take {num_bytes / 1e9:,.1f} GB of memory, and this machine "
            f"has {memory / 1e9:,.1f} GB; use a larger machine"
        )
