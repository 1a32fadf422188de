"""What tiles of sums over bfloat16 are made of, as instructions for LLVM on vectors of 512 bits.

A step adds two products to each of a register's 16 sums in float32: in one instruction where the
processor has AVX512_BF16, elsewhere by two multiply-adds, on the vectors that it has.
"""

from collections.abc import Sequence
from typing import Any

from llvmlite import binding, ir
from numba import types

COLUMNS = 32
"""Numbers of 16 bits in a vector; two vectors hold as many sums."""
LANES = COLUMNS // 2
"""Sums, or pairs of numbers, in a vector."""

_I16, _I32, _I64 = ir.IntType(16), ir.IntType(32), ir.IntType(64)
_HALVES, _PAIRS = ir.VectorType(_I16, COLUMNS), ir.VectorType(_I32, LANES)
_FLOATS = ir.VectorType(ir.FloatType(), LANES)
# Two rows interleave in one instruction for columns 8i, ..., 8i + 3, and in another for the rest.
_LOWER = [row * COLUMNS + 8 * i + j for i in range(4) for j in range(4) for row in (0, 1)]
_UPPER = [index + 4 for index in _LOWER]
_IN_ORDER = [(_LOWER[0::2] + _UPPER[0::2]).index(column) for column in range(COLUMNS)]

binding.initialize_native_asmparser()  # for the instructions that are written out below


class VectorCode:
    """Writes instructions where the builder stands.

    Args:
        context: numba's target, which knows the processor.
        builder: llvmlite's.
    """

    def __init__(self, context: Any, builder: Any) -> None:
        self._context, self.builder = context, builder
        self._has_bf16 = "+avx512bf16" in context.codegen().magic_tuple()[2]

    def find_data(self, signature: Any, args: Any) -> list[Any]:
        """Where the data of each argument starts; a number is itself."""
        return [
            self._context.make_array(kind)(self._context, self.builder, value).data
            if isinstance(kind, types.Array)
            else value
            for kind, value in zip(signature.args, args, strict=True)
        ]

    def move(self, pointer: Any, steps: Any) -> Any:
        """The pointer that many elements on."""
        return self.builder.gep(pointer, [number(steps) if isinstance(steps, int) else steps])

    def load_number(self, pointer: Any) -> Any:
        """The number there."""
        return self.builder.load(pointer)

    def load_pairs(self, pointer: Any) -> Any:
        """32 numbers of 16 bits as 16 pairs."""
        return self._load(pointer, _PAIRS)

    def load_interleaved(self, pointers: Sequence[Any]) -> list[Any]:
        """32 columns of two rows as 2 x 16 pairs, in the order that `store_rounded` undoes."""
        rows = [self._load(pointer, _HALVES) for pointer in pointers]
        return [
            self.builder.bitcast(self._shuffle(rows[0], rows[1], order), _PAIRS)
            for order in (_LOWER, _UPPER)
        ]

    def load_repeated(self, pointer: Any) -> Any:
        """One pair, 16 times."""
        blank = ir.Constant(_PAIRS, ir.Undefined)
        pair = self._load(pointer, _I32)
        single = self.builder.insert_element(blank, pair, ir.Constant(_I32, 0))
        return self._shuffle(single, blank, [0] * LANES)

    def add_products(self, sums: Any, left: Any, right: Any) -> Any:
        """sums[i] + left[i][0] · right[i][0] + left[i][1] · right[i][1]."""
        builder = self.builder
        if self._has_bf16:
            kind = ir.FunctionType(_FLOATS, [_FLOATS, _PAIRS, _PAIRS])
            return builder.asm(kind, "vdpbf16ps $3, $2, $0", "=v,0,v,v", [sums, left, right], False)
        sixteen, upper_half = repeat(16), repeat(0xFFFF0000)
        lower = [builder.shl(pairs, sixteen) for pairs in (left, right)]
        upper = [builder.and_(pairs, upper_half) for pairs in (left, right)]
        for bits in (lower, upper):
            factors = [builder.bitcast(each, _FLOATS) for each in bits]
            product = builder.fmul(*factors, flags=("contract",))
            sums = builder.fadd(sums, product, flags=("contract",))
        return sums

    def add_neighbours(self, first: Any, second: Any) -> Any:
        """Sums of entries 2i and 2i + 1, of the first vector and then of the second."""
        parts = [self._shuffle(first, second, range(i, 2 * LANES, 2)) for i in (0, 1)]
        return self.builder.fadd(*parts)

    def store_rounded(self, sums: Sequence[Any], pointer: Any) -> None:
        """2 x 16 sums as 32 columns of bfloat16, with `load_interleaved` undone."""
        halves = self._round(sums[0], sums[1])
        self._store(self._shuffle(halves, halves, _IN_ORDER), pointer)

    def store_parts(self, sums: Any, pointers: Sequence[Any]) -> None:
        """16 sums as bfloat16, in equal parts at some places."""
        halves = self._round(sums, sums)
        size = LANES // len(pointers)
        for i, pointer in enumerate(pointers):
            self._store(self._shuffle(halves, halves, range(i * size, (i + 1) * size)), pointer)

    def _round(self, lower: Any, upper: Any) -> Any:
        """To the nearest bfloat16, ties to even; NaN stays NaN."""
        builder = self.builder
        if self._has_bf16:
            kind = ir.FunctionType(_HALVES, [_FLOATS, _FLOATS])
            return builder.asm(kind, "vcvtne2ps2bf16 $2, $1, $0", "=v,v,v", [upper, lower], False)
        parts = []
        for sums in (lower, upper):
            bits = builder.bitcast(sums, _PAIRS)
            odd = builder.and_(builder.lshr(bits, repeat(16)), repeat(1))
            bits = builder.add(bits, builder.add(odd, repeat(0x7FFF)))
            is_nan = builder.fcmp_unordered("uno", sums, sums)
            rounded = builder.select(is_nan, repeat(0x7FC0), builder.lshr(bits, repeat(16)))
            parts.append(builder.trunc(rounded, ir.VectorType(_I16, LANES)))
        return self._shuffle(parts[0], parts[1], range(COLUMNS))

    def _shuffle(self, left: Any, right: Any, order: Sequence[int]) -> Any:
        mask = ir.Constant(ir.VectorType(_I32, len(order)), list(order))
        return self.builder.shuffle_vector(left, right, mask)

    def _load(self, pointer: Any, kind: Any) -> Any:
        return self.builder.load(self.builder.bitcast(pointer, kind.as_pointer()), align=2)

    def _store(self, vector: Any, pointer: Any) -> None:
        place = self.builder.bitcast(pointer, vector.type.as_pointer())
        self.builder.store(vector, place, align=2)


class SumLoop:
    """A loop over 0, ..., count - 1 that carries vectors of sums; code goes into its body.

    Attributes:
        index: The number of this round.
        sums: The sums so far; after `close`, those in the end.
    """

    def __init__(self, builder: Any, count: Any, num_sums: int) -> None:
        before = builder.block
        self._builder, self._head = builder, builder.append_basic_block("head")
        body, self._end = builder.append_basic_block("body"), builder.append_basic_block("end")
        builder.branch(self._head)
        builder.position_at_end(self._head)
        self.index = builder.phi(_I64)
        self.index.add_incoming(number(0), before)
        self.sums = [builder.phi(_FLOATS) for _ in range(num_sums)]
        for each in self.sums:
            each.add_incoming(ir.Constant(_FLOATS, [0.0] * LANES), before)
        builder.cbranch(builder.icmp_signed("<", self.index, count), body, self._end)
        builder.position_at_end(body)

    def close(self, sums: Sequence[Any]) -> None:
        """End the body, which made these sums; code goes behind the loop."""
        block = self._builder.block
        self.index.add_incoming(self._builder.add(self.index, number(1)), block)
        for each, following in zip(self.sums, sums, strict=True):
            each.add_incoming(following, block)
        self._builder.branch(self._head)
        self._builder.position_at_end(self._end)


def number(value: int) -> Any:
    """A constant of 64 bits."""
    return ir.Constant(_I64, value)


def repeat(value: int) -> Any:
    """A constant of 32 bits, 16 times."""
    return ir.Constant(_PAIRS, [value] * LANES)
