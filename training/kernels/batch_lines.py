"""What lines of a batch are made of, as instructions for LLVM on vectors of 512 bits.

A line is a part of one feature's row of the batch. Its numbers are bfloat16 (as uint16), float32
or float64; sums of bfloat16 are float32. A tile is a line of every feature, one after the other.
This module needs numba; import it only where that is installed.
"""

from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba import types

from training.kernels.vector_code import VectorCode, number

VECTOR_BYTES = 64
GROUP = 8
"""Vectors whose sums are taken at once."""

_CONTRACT = ("contract",)  # product and sum round once where the processor can
_I8, _I32, _I64 = ir.IntType(8), ir.IntType(32), ir.IntType(64)


class LineNumbers:
    """Writes loads, sums of products and stores for one type of numbers.

    Attributes:
        in_pairs: Whether the numbers are bfloat16, whose products are summed in pairs.
        size: Bytes of a number.
    """

    def __init__(self, code: VectorCode, kind: Any) -> None:
        self._code, self._builder = code, code.builder
        self.in_pairs = kind == types.uint16
        self.size = kind.bitwidth // 8
        self._lanes = 8 if kind == types.float64 else 16
        single = ir.DoubleType() if kind == types.float64 else ir.FloatType()
        self._vector = ir.VectorType(single, self._lanes)

    def zeros(self, line_bytes: int) -> list[Any]:
        """Sums of nothing, as many as `load_lines` gives vectors."""
        zero = ir.Constant(self._vector, [0.0] * self._lanes)
        return [zero] * (line_bytes // VECTOR_BYTES * (1 + self.in_pairs))

    def steps(self, line_bytes: int) -> list[int]:
        """Where the vectors of a line start, in numbers."""
        return [start // self.size for start in range(0, line_bytes, VECTOR_BYTES)]

    def load(self, pointer: Any) -> Any:
        """A vector of numbers."""
        if self.in_pairs:
            return self._code.load_pairs(pointer)
        place = self._builder.bitcast(pointer, self._vector.as_pointer())
        return self._builder.load(place, align=self.size)

    def load_lines(self, lines: Sequence[Any], line_bytes: int) -> list[Any]:
        """The vectors of a line; of two interleaved, in an order that `store_line` undoes."""
        vectors = []
        for step in self.steps(line_bytes):
            pointers = [self._code.move(line, step) for line in lines]
            vectors += (
                self._code.load_interleaved(pointers) if self.in_pairs else [self.load(pointers[0])]
            )
        return vectors

    def store_line(self, sums: Sequence[Any], line: Any, line_bytes: int) -> None:
        """The sums of products with `load_lines`; those of bfloat16 are rounded to bfloat16."""
        for i, step in enumerate(self.steps(line_bytes)):
            pointer = self._code.move(line, step)
            if self.in_pairs:
                self._code.store_rounded(sums[2 * i : 2 * i + 2], pointer)
            else:
                self.store(sums[i], pointer)

    def keep_first(self, totals: Any, count: Any) -> Any:
        """The first `count` of `GROUP` totals, and 0 for the others."""
        blank = ir.Constant(ir.VectorType(_I64, GROUP), ir.Undefined)
        counts = self._builder.insert_element(blank, count, ir.Constant(_I32, 0))
        counts = self._shuffle(counts, counts, [0] * GROUP)
        order = ir.Constant(counts.type, list(range(GROUP)))
        kept = self._builder.icmp_signed("<", order, counts)
        return self._builder.select(kept, totals, ir.Constant(totals.type, [0.0] * GROUP))

    def add_sums(self, totals: Any, pointer: Any) -> None:
        """Add `GROUP` totals to the sums there."""
        place = self._builder.bitcast(pointer, totals.type.as_pointer())
        sums = self._builder.load(place, align=4)
        self._builder.store(self._builder.fadd(sums, totals), place, align=4)

    def store(self, vector: Any, pointer: Any) -> None:
        """Sums as they are."""
        place = self._builder.bitcast(pointer, vector.type.as_pointer())
        self._builder.store(vector, place, align=self.size)

    def repeat(self, value: Any) -> Any:
        """A number in all lanes."""
        blank = ir.Constant(ir.VectorType(value.type, self._lanes), ir.Undefined)
        single = self._builder.insert_element(blank, value, ir.Constant(_I32, 0))
        return self._shuffle(single, single, [0] * self._lanes)

    def add_products(self, sums: Any, left: Any, right: Any) -> Any:
        """Sums + left · right in every lane, where a lane of pairs has two products."""
        if self.in_pairs:
            return self._code.add_products(sums, left, right)
        product = self._builder.fmul(left, right, flags=_CONTRACT)
        return self._builder.fadd(sums, product, flags=_CONTRACT)

    def add_lanes(self, sums: Sequence[Any]) -> Any:
        """The total of each of `GROUP` vectors, as one vector."""
        vectors = list(sums)
        while len(vectors) > 1:
            vectors = [self._add_neighbours(*vectors[i : i + 2]) for i in range(0, len(vectors), 2)]
        for _ in range(self._lanes // GROUP - 1):
            vectors = [self._add_neighbours(vectors[0], vectors[0])]
        return self._shuffle(vectors[0], vectors[0], range(GROUP))

    def _add_neighbours(self, first: Any, second: Any) -> Any:
        parts = [self._shuffle(first, second, range(i, 2 * self._lanes, 2)) for i in (0, 1)]
        return self._builder.fadd(*parts)

    def _shuffle(self, left: Any, right: Any, order: Sequence[int]) -> Any:
        mask = ir.Constant(ir.VectorType(_I32, len(order)), list(order))
        return self._builder.shuffle_vector(left, right, mask)


class Tile:
    """Finds lines of a tile by the columns of entries.

    Args:
        code: Where to write.
        columns: The entries' columns, unsigned or none negative.
        data: The first line.
        length: Numbers of a line.
        lower: The column of the first line.
    """

    def __init__(self, code: VectorCode, columns: Any, data: Any, length: int, lower: Any) -> None:
        self._code, self._builder = code, code.builder
        self._columns, self._length = columns, number(length)
        self._data = code.move(data, code.builder.mul(lower, number(-length)))

    def find(self, entry: Any) -> Any:
        """The line of an entry's column."""
        column = self._code.load_number(self._code.move(self._columns, entry))
        column = self._builder.zext(column, _I64)
        return self._code.move(self._data, self._builder.mul(column, self._length))

    def soonest(self, entry: Any, last: Any) -> Any:
        """The smaller of two."""
        return self._builder.select(self._builder.icmp_signed("<", entry, last), entry, last)

    def fetch(self, entry: Any, steps: Sequence[int]) -> None:
        """Ask the cache for the line of an entry's column."""
        line = self.find(entry)
        for step in steps:
            fetch(self._builder, self._code.move(line, step), to_write=False)


def fetch(builder: Any, pointer: Any, *, to_write: bool) -> None:
    """Ask the cache for 64 bytes."""
    byte = _I8.as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [byte, _I32, _I32, _I32])
    prefetch = builder.module.declare_intrinsic("llvm.prefetch", [byte], kind)
    options = [ir.Constant(_I32, option) for option in (int(to_write), 3, 1)]  # near, data
    builder.call(prefetch, [builder.bitcast(pointer, byte), *options])


class CarryLoop:
    """A loop over first, first + step, ... < stop that carries sums; code goes into its body.

    Attributes:
        index: Where the loop stands.
        sums: The sums so far; after `close`, those in the end.
    """

    def __init__(self, builder: Any, first: Any, stop: Any, step: int, sums: Sequence[Any]) -> None:
        before, self._builder, self._step = builder.block, builder, step
        self._head = builder.append_basic_block("head")
        body, self._end = builder.append_basic_block("body"), builder.append_basic_block("end")
        builder.branch(self._head)
        builder.position_at_end(self._head)
        self.index = builder.phi(_I64)
        self.index.add_incoming(first, before)
        self.sums = [builder.phi(each.type) for each in sums]
        for phi, each in zip(self.sums, sums, strict=True):
            phi.add_incoming(each, before)
        builder.cbranch(builder.icmp_signed("<", self.index, stop), body, self._end)
        builder.position_at_end(body)

    def close(self, sums: Sequence[Any]) -> None:
        """End the body, which made these sums; code goes behind the loop."""
        block = self._builder.block
        self.index.add_incoming(self._builder.add(self.index, number(self._step)), block)
        for phi, each in zip(self.sums, sums, strict=True):
            phi.add_incoming(each, block)
        self._builder.branch(self._head)
        self._builder.position_at_end(self._end)
