"""Where every bit of a description goes: by tensor and by part."""

from dataclasses import dataclass
from typing import Any

HEAD = "head"
END = "end"


@dataclass(frozen=True)
class Entry:
    """Bits of one part.

    Attributes:
        tensor: Name of the tensor; "head" for what stands before all, "end" for the last bits that
            end the codeword.
        part: What of it: the support, the values, the codebook, ...
        bits: Length, real: an arithmetic coder gives parts of bits. The whole is a whole number.
    """

    tensor: str
    part: str
    bits: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {"tensor": self.tensor, "part": self.part, "bits": self.bits}


class Ledger:
    """Entries in the order in which their bits stand.

    >>> ledger = Ledger()
    >>> ledger.add("conv1.weight", "support", 10.5)
    >>> ledger.add("conv1.weight", "values", 3.0)
    >>> ledger.by_tensor()
    {'conv1.weight': 13.5}
    """

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def add(self, tensor: str, part: str, bits: float) -> None:
        """Add a part."""
        self.entries.append(Entry(tensor, part, bits))

    @property
    def bits(self) -> float:
        """All bits together."""
        return sum(entry.bits for entry in self.entries)

    def by_tensor(self) -> dict[str, float]:
        """Bits of each tensor, and of the head and the end, in order."""
        return self._sums(lambda entry: entry.tensor)

    def by_part(self) -> dict[str, float]:
        """Bits of each kind of part over all tensors: support, values, codebook, head, end."""
        return self._sums(lambda entry: entry.part.split(",")[0].split(":")[0])

    def _sums(self, key: Any) -> dict[str, float]:
        sums: dict[str, float] = {}
        for entry in self.entries:
            sums[key(entry)] = sums.get(key(entry), 0.0) + entry.bits
        return sums
