"""The ways to describe a network's tensors once its head has been read: the body.

Each of the functions in `BODIES` writes or reads all tensors whose numbers are from one set, in the
order of their shapes.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from analysis.bounds.lengths import index_bits
from analysis.codes.arithmetic_coder import ArithmeticCoder, CodecError
from analysis.codes.grid import layer_grid, shape_grid
from analysis.codes.ledger import Ledger
from analysis.codes.matrix import (
    BYTES_A_PLACE,
    BYTES_A_VALUE,
    Ints,
    Numbers,
    check_memory,
    make_values,
    read_patterns,
    to_tensor,
)
from analysis.codes.message import Spec
from analysis.codes.support import code_enumerative
from analysis.codes.tensors import TensorCoder
from analysis.codes.values import Codebook, code_codebook, make_codebook

State = dict[str, Tensor]
_ALL = "all tensors"


@dataclass(frozen=True, kw_only=True, eq=False)
class Body:
    """What a body is written or read with: the coder, the shapes, and the tensors.

    Attributes:
        coder: Writes or reads.
        spec: The network whose tensors they are.
        shapes: Name to shape of the tensors, in the order in which they are coded.
        number_format: The set that the numbers of all of them are from.
        state: The tensors to write; None when decoding.
        ledger: Told where the bits go.
    """

    coder: ArithmeticCoder
    spec: Spec
    shapes: dict[str, tuple[int, ...]]
    number_format: Numbers
    state: State | None
    ledger: Ledger

    @property
    def num_weights(self) -> int:
        """n, all numbers of all tensors."""
        return sum(prod(shape) for shape in self.shapes.values())

    def patterns(self, name: str) -> Ints:
        """The bit patterns of a tensor to write, flat; as many zeros to read them into."""
        if self.state is None:
            size = prod(self.shapes[name])
            check_memory((4 + BYTES_A_VALUE) * size)
            return np.zeros(size, dtype=np.int64)
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
        check_memory(4 * self.num_weights + 8 * len(places))
        values = make_values(patterns, self.number_format)
        found, start = {}, 0
        for name, shape in self.shapes.items():
            end = start + prod(shape)
            first, last = np.searchsorted(places, [start, end])
            flat = torch.zeros(end - start, dtype=values.dtype)
            flat[torch.from_numpy(places[first:last] - start)] = values[first:last]
            found[name] = flat.view(shape)
            start = end
        return found


def code_plain(body: Body) -> State:
    """All n numbers one after another, b bits each: nb bits."""
    found = {}
    for name, shape in body.shapes.items():
        patterns = body.patterns(name)
        with body.part(name, "values"):
            body.code_fields(patterns, 1 << body.number_format.bits_per_weight)
        found[name] = make_values(patterns, body.number_format).view(shape)
    return found


def code_supports(body: Body) -> State:
    """Each tensor's support among C(n, ‖w‖₀) of them, and log2 k bits a nonzero for its value.

    The k nonzero values of the network are written first, as a set.
    """
    own = None if body.state is None else [body.patterns(name) for name in body.shapes]
    with body.part(_ALL, "codebook"):
        codebook = _code_values(body, own)
    places, patterns, start = [], [], 0
    for index, (name, shape) in enumerate(body.shapes.items()):
        tensor = None if own is None else own[index]
        with body.part(name, "support"):
            mine = None if tensor is None else np.flatnonzero(tensor)
            found = code_enumerative(body.coder, prod(shape), mine)
        if len(found) and codebook is None:
            raise CodecError("damaged: nonzeros without values")
        if codebook is not None:
            symbols = np.zeros(len(found), dtype=np.int64)
            if tensor is not None:
                symbols = codebook.symbols(tensor[found])
            with body.part(name, "values"):
                body.code_fields(symbols, codebook.num_values)
            patterns.append(codebook.patterns[symbols])
        places.append(found + start)
        start += prod(shape)
    all_patterns = np.concatenate(patterns) if patterns else np.zeros(0, dtype=np.int64)
    return body.spread(np.concatenate(places), all_patterns)


def _code_values(body: Body, own: list[Ints] | None) -> Codebook | None:
    """The codebook of all nonzeros together; None if there are none."""
    made = None
    if own is not None:
        nonzeros = np.concatenate([each[each != 0] for each in own])
        made = make_codebook(nonzeros, body.number_format) if len(nonzeros) else None
    if not body.coder.uniform(int(made is not None), 2):
        return None
    codebook = code_codebook(body.coder, made, body.number_format)
    if 0 in codebook.patterns:
        raise CodecError("damaged: a nonzero whose value is zero")
    return codebook


def code_theorem_2(body: Body) -> State:
    """The description in Theorem 2's proof: exactly `bounds.lengths.theorem_2_length` bits.

    The k distinct values, zero among them if it occurs; ‖w‖₀; k again; then of each nonzero weight
    its index among n and its value's index among k. All fields have fixed lengths, so every term
    of the formula can be read off the string.

    Raises:
        CodecError: Decoding, and the fields do not fit together.
    """
    n = body.num_weights
    own = (
        None
        if body.state is None
        else np.concatenate([body.patterns(name) for name in body.shapes])
    )
    distinct = None if own is None else np.unique(own)
    with body.part(_ALL, "number of values"):
        count = 0 if distinct is None else len(distinct) - 1
        k = body.coder.bits(count, index_bits(n)) + 1
    if k > min(n, 1 << body.number_format.bits_per_weight):
        raise CodecError(f"damaged: {k} values among {n} numbers")
    values = np.zeros(k, dtype=np.int64) if distinct is None else distinct
    with body.part(_ALL, "values"):
        body.code_fields(values, 1 << body.number_format.bits_per_weight)
    if np.any(np.diff(values) <= 0):
        raise CodecError("damaged: values that do not ascend")
    places = np.zeros(0, dtype=np.int64) if own is None else np.flatnonzero(own)
    with body.part(_ALL, "number of nonzeros"):
        num_nonzeros = body.coder.bits(len(places), index_bits(n + 1))
    if num_nonzeros > n or (num_nonzeros < n and 0 not in values):
        raise CodecError("damaged: a number of nonzeros that these values do not allow")
    with body.part(_ALL, "number of values, in the map"):
        again = body.coder.bits(k - 1, index_bits(n)) + 1
    if again != k:
        raise CodecError("damaged: it gives the number of values twice, and not the same")
    places, symbols = _code_map(body, n, values, own, num_nonzeros)
    return body.spread(places, values[symbols])


def _code_map(
    body: Body, n: int, values: Ints, own: Ints | None, num_nonzeros: int
) -> tuple[Ints, Ints]:
    check_memory((BYTES_A_PLACE + BYTES_A_VALUE) * num_nonzeros)
    places, symbols = (np.zeros(num_nonzeros, dtype=np.int64) for _ in range(2))
    if own is not None:
        places = np.flatnonzero(own)
        symbols = np.searchsorted(values, own[places])
    with body.part(_ALL, "indices of the nonzeros"):
        body.code_fields(places, 1 << index_bits(n))
    if num_nonzeros and (places[-1] >= n or np.any(np.diff(places) <= 0)):
        raise CodecError("damaged: indices that do not ascend")
    with body.part(_ALL, "values of the nonzeros"):
        body.code_fields(symbols, 1 << index_bits(len(values)))
    if num_nonzeros and (symbols.max() >= len(values) or np.any(values[symbols] == 0)):
        raise CodecError("damaged: a nonzero without a value of its own")
    return places, symbols


def code_contexts(body: Body) -> State:
    """Every tensor by adaptive contexts: `analysis.codes.tensors`."""
    tensors = TensorCoder(body.coder, body.number_format)
    return {name: code_in_contexts(tensors, body, name) for name in body.shapes}


def code_in_contexts(tensors: TensorCoder, body: Body, name: str) -> Tensor:
    """One tensor by adaptive contexts."""
    shape = body.shapes[name]
    values = None if body.state is None else body.state[name]
    layers = {layer.name: layer for layer in body.spec.layers}

    def record(part: str, bits: float) -> None:
        body.ledger.add(name, part, bits)

    if len(shape) < 2:
        flat = None if values is None else values.reshape(-1)
        layer = layers.get(name.partition("_norm.")[0])
        num_groups = layer.out_size**2 if layer and layer.kind == "local" else 1
        vector = tensors.code_vector(prod(shape), flat, record, num_groups=num_groups)
        return vector.view(shape)
    layer = layers.get(name.removesuffix(".weight"))
    grid = shape_grid(shape) if layer is None else layer_grid(layer)
    return to_tensor(tensors.code_weights(grid, values, record), body.number_format, shape)


BODIES: dict[str, Callable[[Body], State]] = {
    "plain": code_plain,
    "theorem-2": code_theorem_2,
    "enumerative": code_supports,
    "context": code_contexts,
    "structured-conv": code_contexts,
    "structured-local": code_contexts,
}
