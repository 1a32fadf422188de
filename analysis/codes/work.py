"""What every body of a description is given: the coder, the tensors' shapes, and the tensors."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from analysis.codes.arithmetic_coder import ArithmeticCoder
from analysis.codes.ledger import Ledger
from analysis.codes.matrix import make_values, read_patterns
from analysis.codes.message import Spec, expected_shapes
from analysis.quantize.formats import NumberFormat

Ints = NDArray[np.int64]
State = dict[str, Tensor]


@dataclass(frozen=True, kw_only=True, eq=False)
class Work:
    """One body to write or to read.

    Attributes:
        coder: Writes or reads.
        spec: The network whose tensors they are.
        number_format: R_b.
        state: The tensors to write, float32 numbers of R_b; None when decoding.
        ledger: Told where the bits go.
    """

    coder: ArithmeticCoder
    spec: Spec
    number_format: NumberFormat
    state: State | None
    ledger: Ledger

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name to shape, in the order in which tensors are coded."""
        return expected_shapes(self.spec)

    @property
    def num_weights(self) -> int:
        """n, all numbers of all tensors."""
        return sum(prod(shape) for shape in self.shapes.values())

    def patterns(self, name: str) -> Ints:
        """The bit patterns of a tensor to write, flat; as many zeros to read them into."""
        if self.state is None:
            return np.zeros(prod(self.shapes[name]), dtype=np.int64)
        return read_patterns(self.state[name], self.number_format)

    @contextmanager
    def part(self, tensor: str, part: str) -> Iterator[None]:
        """What is coded inside goes into the ledger as this part of this tensor."""
        start = self.coder.information
        yield
        self.ledger.add(tensor, part, self.coder.information - start)

    def code_fields(self, values: Ints, total: int) -> None:
        """Code integers in 0..total - 1, all equally likely; read in place when decoding."""

        def step(state: Any, data: Any, first: int) -> int:
            return int(self.coder.kernels.code_fields(state, data, total, values, first))

        self.coder.run(step, 0, len(values), room=lambda first: None)

    def spread(self, places: Ints, patterns: Ints) -> State:
        """Nonzeros at places of all n numbers in a row, as the tensors themselves."""
        values = make_values(patterns, self.number_format)
        found, start = {}, 0
        for name, shape in self.shapes.items():
            end = start + prod(shape)
            first, last = np.searchsorted(places, [start, end])
            flat = torch.zeros(end - start, dtype=torch.float32)
            flat[torch.from_numpy(places[first:last] - start)] = values[first:last]
            found[name] = flat.view(shape)
            start = end
        return found
