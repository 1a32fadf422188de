"""The relative code: a network's tensors as the difference from a prior's.

Each tensor is coded in one of four ways, whichever is the shortest:

- as the prior has it;
- by its changes among few values: the prior's own, zero, and new ones, which are listed first;
- by its changes among all numbers of R_b;
- anew, by contexts, as if there were no prior.

A change is a decision per number, in the context of the prior's number at the same place, then how
far it went in the ascending list of values (`analysis.codes.kernels.relative_kernel`). All
estimates are adaptive: what seldom happens costs little where it does not happen.
"""

from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from analysis.codes.arithmetic_coder import ArithmeticCoder, CodecError, counted_table
from analysis.codes.bodies import Body, State, code_in_contexts
from analysis.codes.kernels.range_kernel import MAX_TOTAL
from analysis.codes.kernels.relative_kernel import (
    NUM_CHANGE_CONTEXTS,
    NUM_SIZE_CONTEXTS,
    NUM_TREE_CONTEXTS,
    NUM_WAY_CONTEXTS,
    NUM_ZERO_CONTEXTS,
)
from analysis.codes.ledger import Ledger
from analysis.codes.matrix import Ints, check_memory, make_values, read_patterns
from analysis.codes.tensors import TensorCoder
from analysis.codes.values import code_multiset

_AS_PRIOR, _AMONG_VALUES, _AMONG_NUMBERS, _ANEW = range(4)
_NUM_KINDS = 4
_MAX_NEW = 1 << 12
"""New values that a list is tried with."""
_MAX_TRIED = 1 << 22
"""Of larger tensors the encoder does not try whether neighbours are a context that pays."""
_BYTES_A_NUMBER = 64

Table = NDArray[np.int64]


def code_relative(body: Body, prior: State) -> State:
    """Write or read all tensors, given those of a prior in the same shapes and numbers.

    Args:
        body: The coder, the shapes, and the tensors to write.
        prior: Name to tensor, numbers of the body's R_b.

    Raises:
        CodecError: Decoding, and no encoder wrote them.
    """
    found: State = {}
    tables = {True: _Tables(), False: _Tables()}  # those of matrices, those of vectors
    tensors = TensorCoder(body.coder, body.number_format)
    for name, shape in body.shapes.items():
        check_memory(_BYTES_A_NUMBER * prod(shape))
        one = _Tensor(
            body=body,
            name=name,
            prior=read_patterns(prior[name], body.number_format),
            patterns=body.patterns(name),
            tables=tables[len(shape) > 1],
            tensors=tensors,
        )
        found[name] = one.code().view(shape)
    return found


@dataclass(frozen=True, eq=False)
class _Tables:
    """What is learned from one tensor to the next; whether a number changes only in vectors."""

    kinds: Table = field(default_factory=lambda: counted_table(_NUM_KINDS))
    changes: Table = field(default_factory=lambda: counted_table(NUM_CHANGE_CONTEXTS))
    zeros: Table = field(default_factory=lambda: counted_table(NUM_ZERO_CONTEXTS))
    ways: Table = field(default_factory=lambda: counted_table(NUM_WAY_CONTEXTS))
    sizes: Table = field(default_factory=lambda: counted_table(NUM_SIZE_CONTEXTS))
    trees: Table = field(default_factory=lambda: counted_table(NUM_TREE_CONTEXTS))

    def copy(self) -> "_Tables":
        return _Tables(**{name: table.copy() for name, table in vars(self).items()})


@dataclass(frozen=True, kw_only=True, eq=False)
class _Tensor:
    """One tensor on its way, with what the coder has learned before it."""

    body: Body
    name: str
    prior: Ints
    patterns: Ints
    tables: _Tables
    tensors: TensorCoder

    @property
    def coder(self) -> ArithmeticCoder:
        return self.body.coder

    def code(self) -> Tensor:
        kind, in_context = (0, 0) if self.body.state is None else self._choose()
        start = self.coder.information
        kind = self._code_kind(kind)
        if kind == _ANEW:
            self._record("kind", start)
            return code_in_contexts(self.tensors, self.body, self.name)
        if kind == _AS_PRIOR:
            self.patterns[:] = self.prior
            self._record("as the prior has it", start)
        else:
            self._code_changes(kind, in_context)
            where = "its values" if kind == _AMONG_VALUES else "all numbers"
            changed = int(np.count_nonzero(self.patterns != self.prior))
            self._record(f"{changed:,} changes among {where}", start)
        return make_values(self.patterns, self.body.number_format)

    def _record(self, part: str, start: float) -> None:
        self.body.ledger.add(self.name, part, self.coder.information - start)

    def _code_kind(self, kind: int) -> int:
        """Three decisions at most: as the prior, else anew, else among which numbers."""
        table = self.tables.kinds
        if self.coder.counted(table, 0, int(kind == _AS_PRIOR)):
            return _AS_PRIOR
        if self.coder.counted(table, 1, int(kind == _ANEW)):
            return _ANEW
        return _AMONG_NUMBERS - self.coder.counted(table, 2, int(kind == _AMONG_VALUES))

    def _choose(self) -> tuple[int, int]:
        """The kind of fewest bits, and whether neighbours are a context that pays."""
        if np.array_equal(self.patterns, self.prior):
            return _AS_PRIOR, 0
        choices = [(_ANEW, 0), (_AMONG_NUMBERS, 0)]
        new = len(np.setdiff1d(self.patterns, self.prior))
        choices += [(_AMONG_VALUES, 0)] if new <= _MAX_NEW else []
        if len(self.patterns) <= _MAX_TRIED:
            choices += [(kind, 1) for kind, _ in choices[1:]]

        def cost(choice: tuple[int, int]) -> float:
            kind, in_context = choice
            trial = self._fork()
            trial._code_kind(kind)
            if kind == _ANEW:
                code_in_contexts(trial.tensors, trial.body, self.name)
            else:
                trial._code_changes(kind, in_context)
            return trial.coder.information

        return min(choices, key=cost)

    def _fork(self) -> "_Tensor":
        """The same, with copies of all that coding changes and an empty coder."""
        body = replace(self.body, coder=self.coder.fork(), ledger=Ledger())
        tensors = TensorCoder(body.coder, body.number_format)
        tensors.values.codebooks = list(self.tensors.values.codebooks)
        return replace(self, body=body, tables=self.tables.copy(), tensors=tensors)

    def _code_changes(self, kind: int, in_context: int) -> None:
        """Changes by their distance in a list of numbers; read into the patterns in place."""
        bits = self.body.number_format.bits_per_weight
        before, now = _to_ranks(self.prior, bits), _to_ranks(self.patterns, bits)
        if kind == _AMONG_NUMBERS:
            lowest, num_symbols = -(1 << (bits - 1)) + 1, (1 << bits) - 1
            before, now, zero = before - lowest, now - lowest, -lowest
            values = None
        else:
            values = self._code_values(before, now, bits)
            before, now = (np.searchsorted(values, ranks) for ranks in (before, now))
            num_symbols, zero = len(values), int(np.searchsorted(values, 0))
        shape = self.body.shapes[self.name]
        is_matrix, width = len(shape) > 1, prod(shape[1:])
        in_context = self.coder.uniform(in_context, 2) if is_matrix else 0
        # Layers change as much as they like, each for itself.
        changes = counted_table(NUM_CHANGE_CONTEXTS) if is_matrix else self.tables.changes
        learned = self.tables
        found = now.astype(np.int64)
        prior = before.astype(np.int64)

        def step(state: Any, data: Any, first: int) -> int:
            return int(
                self.coder.kernels.code_changes(
                    state,
                    data,
                    prior,
                    found,
                    num_symbols,
                    zero,
                    width,
                    in_context,
                    changes,
                    learned.zeros,
                    learned.ways,
                    learned.sizes,
                    learned.trees,
                    first,
                )
            )

        self.coder.run(step, 0, len(found), room=lambda first: None)
        if self.coder.decoding:
            ranks = found + lowest if values is None else values[found]
            self.patterns[:] = _to_patterns(ranks, bits)

    def _code_values(self, before: Ints, now: Ints, bits: int) -> Ints:
        """The list: the ranks that the prior has, zero, and new ones, which are coded."""
        known = np.union1d(before, 0)
        new = np.setdiff1d(now, known) if self.body.state is not None else known[:0]
        count = self.coder.integer(len(new) + 1) - 1
        if count > min(1 << bits, MAX_TOTAL - 1):
            raise CodecError(f"damaged: {count} new values of {bits} bits")
        own = [int(pattern) for pattern in _to_patterns(new, bits)]
        read = code_multiset(self.coder, own, count, bits, distinct=True)
        patterns = np.array(read, dtype=np.int64)
        make_values(patterns, self.body.number_format)  # refuses what is no number
        return np.union1d(known, _to_ranks(patterns, bits))


def _to_ranks(patterns: Ints, bits: int) -> Ints:
    """Integers in the order of the numbers that patterns stand for, 0 for zero.

    >>> _to_ranks(np.array([0, 1, 127, 129, 254]), 8).tolist()
    [0, 1, 127, -1, -126]
    """
    sign = 1 << (bits - 1)
    return np.where(patterns >= sign, sign - patterns, patterns)


def _to_patterns(ranks: Ints, bits: int) -> Ints:
    """The inverse of `_to_ranks`."""
    return np.where(ranks < 0, (1 << (bits - 1)) - ranks, ranks)


def as_prior(state: State, prior: State) -> bool:
    """Whether every number is the prior's."""
    return all(torch.equal(tensor, prior[name]) for name, tensor in state.items())
