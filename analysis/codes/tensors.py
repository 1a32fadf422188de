"""One tensor after another by adaptive contexts: matrices of weights, and vectors per unit."""

from collections.abc import Callable

import numpy as np
from torch import Tensor

from analysis.codes.arithmetic_coder import ArithmeticCoder, CodecError
from analysis.codes.grid import Grid, plain_grid
from analysis.codes.matrix import (
    BYTES_A_PLACE,
    BYTES_A_ROW,
    BYTES_A_VALUE,
    Ints,
    Numbers,
    SparseMatrix,
    check_memory,
    make_values,
    read_patterns,
    to_matrix,
)
from analysis.codes.support import code_support
from analysis.codes.values import Support, ValueCoder, code_multiset

Record = Callable[[str, float], None]
"""Told what part of a tensor took how many bits."""

_EMPTY, _SPARSE, _FULL = range(3)
_CONSTANT, _VALUES, _SORTED = range(3)
_NUM_KINDS = 3


class TensorCoder:
    """Codes tensors of one set, each given only its shape; codebooks may be shared between them.

    Args:
        coder: Writes or reads.
        number_format: The set, such as R_b.
    """

    def __init__(self, coder: ArithmeticCoder, number_format: Numbers) -> None:
        self.coder = coder
        self.number_format = number_format
        self.values = ValueCoder(coder, number_format)

    def code_weights(self, grid: Grid, values: Tensor | None, record: Record) -> SparseMatrix:
        """Code a matrix of weights: its support, then the values of its nonzeros.

        Args:
            grid: Its layout; the tensor's entries are the layout's, row by row.
            values: The tensor, numbers of the set; None when decoding.
            record: Told the parts' bits.
        """
        start = self.coder.information
        matrix = None if values is None else to_matrix(values, self.number_format, grid.num_rows)
        kind = 0 if matrix is None else _matrix_kind(matrix)
        kind = self.coder.uniform(kind, _NUM_KINDS)
        check_memory(BYTES_A_ROW * grid.num_rows)
        if kind == _FULL:
            starts, columns = _full_support(grid)
            record("support: no zeros", self.coder.information - start)
        elif kind == _SPARSE:
            starts, columns, scheme = code_support(self.coder, grid, matrix)
            check_memory(4 * grid.num_rows * grid.num_columns + BYTES_A_VALUE * len(columns))
            record(f"support, contexts: {scheme}", self.coder.information - start)
        else:
            starts, columns = np.zeros(grid.num_rows + 1, np.int64), np.zeros(0, np.int64)
            record("support: all zeros", self.coder.information - start)
        patterns = self._code_values(
            (grid, starts, columns), None if matrix is None else matrix.patterns, record
        )
        if np.any(patterns == 0):
            raise CodecError("damaged: a nonzero whose value is zero")
        return SparseMatrix(
            num_rows=grid.num_rows,
            num_columns=grid.num_columns,
            row_starts=starts,
            columns=columns,
            patterns=patterns,
        )

    def code_vector(
        self, size: int, values: Tensor | None, record: Record, *, num_groups: int = 1
    ) -> Tensor:
        """Code a vector: one value, values in order, or values in ascending order of pattern.

        Args:
            size: Its length, >= 1, a multiple of num_groups.
            values: The vector, numbers of the set; None when decoding.
            record: Told the parts' bits.
            num_groups: Values i, i + num_groups, i + 2 num_groups, ... are a group, and order is
                that within groups.
        """
        check_memory((4 + BYTES_A_PLACE + BYTES_A_VALUE) * size)
        start = self.coder.information
        own = None if values is None else read_patterns(values, self.number_format)
        kind = self.coder.uniform(
            0 if own is None else self._vector_kind(own, num_groups), _NUM_KINDS
        )
        bits = self.number_format.bits_per_weight
        if kind == _CONSTANT:
            one = self.coder.bits(0 if own is None else int(own[0]), bits)
            patterns = np.full(size, one, dtype=np.int64)
            record("one value", self.coder.information - start)
        elif kind == _SORTED:
            patterns = _code_sorted(self.coder, own, size, bits, num_groups)
            record("values, in the order of units", self.coder.information - start)
        else:
            record("kind", self.coder.information - start)
            grid = plain_grid(size, 1)
            patterns = self._code_values((grid, *_full_support(grid)), own, record)
        return values if values is not None else make_values(patterns, self.number_format)

    def _code_values(self, support: Support, patterns: Ints | None, record: Record) -> Ints:
        start = self.coder.information
        found = self.values.code(support, patterns)
        codebook_bits = self.values.codebook_bits
        if codebook_bits:
            record(f"codebook, {self.values.mode}", codebook_bits)
        if len(found):
            how = "as patterns" if self.values.mode == "patterns" else "by codebook"
            record(f"values, {how}", self.coder.information - start - codebook_bits)
        return found

    def _vector_kind(self, patterns: Ints, num_groups: int) -> int:
        if patterns.min() == patterns.max():
            return _CONSTANT
        if np.any(np.diff(patterns.reshape(-1, num_groups), axis=0) < 0):
            return _VALUES
        size, bits = len(patterns), self.number_format.bits_per_weight
        trial, plain = self.coder.fork(), self.coder.fork()
        _code_sorted(trial, patterns, size, bits, num_groups)
        grid = plain_grid(size, 1)
        ValueCoder(plain, self.number_format).code((grid, *_full_support(grid)), patterns)
        return _SORTED if trial.information < plain.information else _VALUES


def _code_sorted(
    coder: ArithmeticCoder, patterns: Ints | None, size: int, num_bits: int, num_groups: int
) -> Ints:
    """Code each group as a multiset; returns every group in ascending order."""
    found = np.zeros((size // num_groups, num_groups), dtype=np.int64)
    for group in range(num_groups):
        own = [] if patterns is None else [int(each) for each in patterns[group::num_groups]]
        found[:, group] = code_multiset(coder, own, len(found), num_bits)
    return found.ravel()


def _matrix_kind(matrix: SparseMatrix) -> int:
    if matrix.num_nonzeros == 0:
        return _EMPTY
    return _FULL if matrix.is_full else _SPARSE


def _full_support(grid: Grid) -> tuple[Ints, Ints]:
    check_memory((4 + BYTES_A_PLACE + BYTES_A_VALUE) * grid.num_rows * grid.num_columns)
    starts = np.arange(grid.num_rows + 1, dtype=np.int64) * grid.num_columns
    return starts, np.tile(np.arange(grid.num_columns, dtype=np.int64), grid.num_rows)
