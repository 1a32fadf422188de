"""Descriptions that are real bit strings: prefix-free codes of whole networks, both directions."""

from typing import Literal, get_args

Code = Literal[
    "plain", "theorem-2", "enumerative", "context", "structured-conv", "structured-local"
]
"""Ways to describe a network."""

CodeChoice = Literal["auto", Code]
"""A way, or the one that takes the fewest bits."""

CODES: tuple[str, ...] = get_args(Code)
"""Their names, in the order of their numbers in the head of a codeword."""

RELATIVE = "relative"
"""The code of what is described as a difference from a prior; it has a head of its own."""

__all__ = [
    "arithmetic_coder",
    "bit_file",
    "canonical_form",
    "checkpoint_message",
    "ledger",
    "message",
    "network_code",
    "prior",
    "structure",
    "values",
]
