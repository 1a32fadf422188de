"""Where every bit of a description goes: by tensor and by part."""

import math
from dataclasses import dataclass
from typing import Any, Self

from training.system.notebook import html_table

HEAD = "head"
END = "end"


@dataclass(frozen=True)
class Entry:
    """Bits of one part.

    Attributes:
        tensor: Name of the tensor; "head" for what stands before all, "end" for the last bits that
            end the codeword.
        part: What of it: the support, the values, the codebook, ...
        bits: Length, real: an arithmetic coder gives parts of bits. The whole is an integer.
    """

    tensor: str
    part: str
    bits: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {"tensor": self.tensor, "part": self.part, "bits": self.bits}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Read what `to_dict` gives.

        Raises:
            ValueError: A name is missing, unknown or no text, or the bits are no number from 0.

        >>> Entry.from_dict(Entry("fc2.bias", "values", 3.5).to_dict())
        Entry(tensor='fc2.bias', part='values', bits=3.5)
        """
        tensor, part, bits = (values.get(name) for name in ("tensor", "part", "bits"))
        if len(values) != 3 or not isinstance(tensor, str) or not isinstance(part, str):
            raise ValueError("an entry of a ledger has a tensor, a part and bits")
        if isinstance(bits, bool) or not isinstance(bits, int | float) or not 0 <= bits < math.inf:
            raise ValueError(f"bits of {tensor} must be a number from 0, not {bits!r}")
        return cls(tensor, part, float(bits))


class Ledger:
    """Entries in the order in which their bits stand.

    >>> ledger = Ledger()
    >>> ledger.add("conv1.weight", "support", 10.5)
    >>> ledger.entries
    [Entry(tensor='conv1.weight', part='support', bits=10.5)]
    """

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def add(self, tensor: str, part: str, bits: float) -> None:
        """Add a part."""
        self.entries.append(Entry(tensor, part, bits))

    @property
    def bits(self) -> float:
        """Sum of all entries."""
        return math.fsum(entry.bits for entry in self.entries)

    def __repr__(self) -> str:
        return f"Ledger({len(self.entries)} entries, {self.bits:,.0f} bits)"

    def _repr_html_(self) -> str:
        total = self.bits
        rows = (
            (entry.tensor, entry.part, f"{entry.bits:,.1f}", f"{entry.bits / (total or 1):.1%}")
            for entry in self.entries
        )
        headline = f"{total:,.0f} bits, in the order in which they stand"
        return html_table(headline, ("tensor", "part", "bits", "share"), rows, num_text_columns=2)
