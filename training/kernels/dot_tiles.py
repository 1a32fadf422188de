"""Tiles of matrix products over bfloat16 in vector registers, as intrinsics for numba.

The sums of a tile stay in registers, in float32, and are rounded once, to bfloat16. A step adds two
products to each of a register's 16 sums: in one instruction where the processor has AVX512_BF16,
elsewhere by two multiply-adds. This module needs numba; import it only where that is installed.
"""

from collections.abc import Sequence
from typing import Any

from llvmlite import binding, ir
from numba import types
from numba.extending import intrinsic

COLUMNS = 32
"""Columns that two registers of sums cover."""
SIDE = 4
"""Rows and columns of the outputs of `sum_tile`."""

_LANES = COLUMNS // 2
_I16, _I32, _I64 = ir.IntType(16), ir.IntType(32), ir.IntType(64)
_HALVES = ir.VectorType(_I16, COLUMNS)
_PAIRS = ir.VectorType(_I32, _LANES)
_FLOATS = ir.VectorType(ir.FloatType(), _LANES)
# Two rows interleave in one instruction for columns 8i, ..., 8i + 3, and in another for the rest.
_LOWER = [row * COLUMNS + 8 * i + j for i in range(4) for j in range(4) for row in (0, 1)]
_UPPER = [index + 4 for index in _LOWER]
_IN_ORDER = [(_LOWER[0::2] + _UPPER[0::2]).index(column) for column in range(COLUMNS)]

binding.initialize_native_asmparser()  # for the instructions that are written out below


def _make_product_tile(num_rows: int, num_groups: int) -> Any:
    """The intrinsic for `num_rows` rows and `num_groups` · 32 columns of outputs.

    outputs[place + m·stride + i] = Σ_j weights[j, m] · values[starts[j] + column + i]

    over `num_pairs` pairs of j; the weights lie in (pairs, num_rows, 2) from `weights[first]` on.
    Only rows m < `num_stored` are written.
    """

    def product_tile(
        typing: Any, weights: Any, first: Any, num_pairs: Any, values: Any, starts: Any,
        column: Any, outputs: Any, place: Any, stride: Any, num_stored: Any,
    ) -> Any:  # fmt: skip
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            arrays = _pointers(context, builder, signature, args)
            weight, start = builder.gep(arrays[0], [args[1]]), arrays[4]
            value, output = (builder.gep(arrays[3], [args[5]]), builder.gep(arrays[6], [args[7]]))
            loop = _Loop(builder, args[2], num_rows * num_groups * 2)
            start = builder.gep(start, [builder.shl(loop.index, _number(1))])
            rows = [builder.gep(value, [_load(builder, start, _I64, row)]) for row in (0, 1)]
            vectors = []
            for group in range(num_groups):
                lines = [_load(builder, row, _HALVES, COLUMNS * group) for row in rows]
                for order in (_LOWER, _UPPER):
                    shuffled = _shuffle(builder, lines[0], lines[1], order)
                    vectors.append(builder.bitcast(shuffled, _PAIRS))
            weight = builder.gep(weight, [builder.mul(loop.index, _number(2 * num_rows))])
            sums: list[Any] = []
            for row in range(num_rows):
                factor = _spread(builder, _load(builder, weight, _I32, 2 * row))
                for vector in vectors:
                    total = loop.sums[len(sums)]
                    sums.append(_add_products(context, builder, total, vector, factor))
            loop.close(sums)
            end = builder.append_basic_block("end")
            for row in range(num_rows):
                wanted = builder.icmp_signed("<", _number(row), args[9])
                store = builder.append_basic_block("store")
                builder.cbranch(wanted, store, end)
                builder.position_at_end(store)
                for group in range(num_groups):
                    both = loop.sums[2 * (row * num_groups + group) :][:2]
                    halves = _round(context, builder, both)
                    line = _shuffle(builder, halves, halves, _IN_ORDER)
                    _store(builder, line, output, COLUMNS * group)
                output = builder.gep(output, [args[8]])
            builder.branch(end)
            builder.position_at_end(end)
            return context.get_dummy_value()

        arguments = (
            weights, first, num_pairs, values, starts, column, outputs, place, stride, num_stored,
        )  # fmt: skip
        return types.void(*arguments), generate

    return intrinsic(product_tile)


def _sum_tile(
    typing: Any, gradients: Any, rows: Any, row: Any, values: Any, starts: Any, entry: Any,
    num_blocks: Any, tail: Any, mask: Any, outputs: Any, place: Any, stride: Any,
) -> Any:  # fmt: skip
    """4 x 4 products of rows with rows.

    outputs[place + m·stride + j] = Σ_i gradients[rows[row + m] + i] · values[starts[entry + j] + i]

    over the columns i of `num_blocks` blocks of 32, and over those of the 32 from `tail` on that
    `mask` lets through (its bits are all ones there, else zeros).
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        arrays = _pointers(context, builder, signature, args)
        row, entry = builder.gep(arrays[1], [args[2]]), builder.gep(arrays[4], [args[5]])
        lefts = [builder.gep(arrays[0], [_load(builder, row, _I64, m)]) for m in range(SIDE)]
        rights = [builder.gep(arrays[3], [_load(builder, entry, _I64, j)]) for j in range(SIDE)]

        def add_block(column: Any, sums: Sequence[Any], mask: Any = None) -> list[Any]:
            blocks = [
                _load(builder, builder.gep(line, [column]), _PAIRS, 0) for line in lefts + rights
            ]
            if mask is not None:
                blocks[:SIDE] = [builder.and_(block, mask) for block in blocks[:SIDE]]
            return [
                _add_products(context, builder, sums[m * SIDE + j], blocks[m], blocks[SIDE + j])
                for m in range(SIDE)
                for j in range(SIDE)
            ]

        loop = _Loop(builder, args[6], SIDE * SIDE)
        loop.close(add_block(builder.mul(loop.index, _number(COLUMNS)), loop.sums))
        sums = add_block(args[7], loop.sums, _load(builder, arrays[8], _PAIRS, 0))
        while len(sums) > 1:
            sums = [_add_neighbours(builder, sums[i : i + 2]) for i in range(0, len(sums), 2)]
        halves = _round(context, builder, [sums[0], sums[0]])
        output = builder.gep(arrays[9], [args[10]])
        for m in range(SIDE):
            line = _shuffle(builder, halves, halves, range(m * SIDE, (m + 1) * SIDE))
            _store(builder, line, output, 0)
            output = builder.gep(output, [args[11]])
        return context.get_dummy_value()

    arguments = (
        gradients, rows, row, values, starts, entry, num_blocks, tail, mask, outputs, place,
        stride,
    )  # fmt: skip
    return types.void(*arguments), generate


class _Loop:
    """A loop over 0, ..., count - 1 that carries sums in registers; code goes into its body."""

    def __init__(self, builder: Any, count: Any, num_sums: int) -> None:
        before = builder.block
        self._builder, self._head = builder, builder.append_basic_block("head")
        body, self._end = builder.append_basic_block("body"), builder.append_basic_block("end")
        builder.branch(self._head)
        builder.position_at_end(self._head)
        self.index = builder.phi(_I64)
        self.index.add_incoming(_number(0), before)
        self.sums = [builder.phi(_FLOATS) for _ in range(num_sums)]
        for total in self.sums:
            total.add_incoming(ir.Constant(_FLOATS, [0.0] * _LANES), before)
        builder.cbranch(builder.icmp_signed("<", self.index, count), body, self._end)
        builder.position_at_end(body)

    def close(self, sums: Sequence[Any]) -> None:
        """End the body, which leaves these sums; code goes behind the loop, where `sums` holds."""
        block = self._builder.block
        self.index.add_incoming(self._builder.add(self.index, _number(1)), block)
        for total, following in zip(self.sums, sums, strict=True):
            total.add_incoming(following, block)
        self._builder.branch(self._head)
        self._builder.position_at_end(self._end)


def _add_products(context: Any, builder: Any, total: Any, left: Any, right: Any) -> Any:
    """total[i] + left[2i] · right[2i] + left[2i + 1] · right[2i + 1], the factors bfloat16."""
    if _has_bf16_instructions(context):
        kind = ir.FunctionType(_FLOATS, [_FLOATS, _PAIRS, _PAIRS])
        code = "vdpbf16ps $3, $2, $0"
        return builder.asm(kind, code, "=v,0,v,v", [total, left, right], False)
    upper_half = ir.Constant(_PAIRS, [0xFFFF0000] * _LANES)
    sixteen = ir.Constant(_PAIRS, [16] * _LANES)
    for widen in (
        lambda pairs: builder.shl(pairs, sixteen),
        lambda pairs: builder.and_(pairs, upper_half),
    ):
        factors = [builder.bitcast(widen(pairs), _FLOATS) for pairs in (left, right)]
        product = builder.fmul(*factors, flags=("contract",))
        total = builder.fadd(total, product, flags=("contract",))
    return total


def _round(context: Any, builder: Any, both: Sequence[Any]) -> Any:
    """Two vectors of float32 as one of bfloat16: to the nearest, ties to even; NaN stays NaN."""
    lower, upper = both
    if _has_bf16_instructions(context):
        kind = ir.FunctionType(_HALVES, [_FLOATS, _FLOATS])
        return builder.asm(kind, "vcvtne2ps2bf16 $2, $1, $0", "=v,v,v", [upper, lower], False)
    constants = [ir.Constant(_PAIRS, [value] * _LANES) for value in (16, 1, 0x7FFF, 0x7FC0)]
    sixteen, one, almost_half, not_a_number = constants
    parts = []
    for values in (lower, upper):
        bits = builder.bitcast(values, _PAIRS)
        odd = builder.and_(builder.lshr(bits, sixteen), one)
        rounded = builder.lshr(builder.add(bits, builder.add(odd, almost_half)), sixteen)
        is_nan = builder.fcmp_unordered("uno", values, values)
        chosen = builder.select(is_nan, not_a_number, rounded)
        parts.append(builder.trunc(chosen, ir.VectorType(_I16, _LANES)))
    return _shuffle(builder, *parts, range(COLUMNS))


def _has_bf16_instructions(context: Any) -> bool:
    features: str = context.codegen().magic_tuple()[2]
    return "+avx512bf16" in features


def _add_neighbours(builder: Any, both: Sequence[Any]) -> Any:
    """Sums of lanes 2i and 2i + 1, of the first vector and then of the second."""
    parts = [_shuffle(builder, *both, range(i, 2 * _LANES, 2)) for i in (0, 1)]
    return builder.fadd(*parts)


def _spread(builder: Any, pair: Any) -> Any:
    blank = ir.Constant(_PAIRS, ir.Undefined)
    single = builder.insert_element(blank, pair, ir.Constant(_I32, 0))
    return _shuffle(builder, single, blank, [0] * _LANES)


def _shuffle(builder: Any, left: Any, right: Any, order: Sequence[int]) -> Any:
    mask = ir.Constant(ir.VectorType(_I32, len(order)), list(order))
    return builder.shuffle_vector(left, right, mask)


def _load(builder: Any, pointer: Any, kind: Any, index: int) -> Any:
    """What lies `index` of the pointer's elements behind it, at any alignment of 2 bytes."""
    place = builder.bitcast(builder.gep(pointer, [_number(index)]), kind.as_pointer())
    return builder.load(place, align=2)


def _store(builder: Any, vector: Any, pointer: Any, index: int) -> None:
    place = builder.gep(pointer, [_number(index)])
    builder.store(vector, builder.bitcast(place, vector.type.as_pointer()), align=2)


def _pointers(context: Any, builder: Any, signature: Any, args: Any) -> list[Any]:
    """Where the data of each argument that is an array starts; None for numbers."""
    return [
        context.make_array(kind)(context, builder, value).data
        if isinstance(kind, types.Array)
        else None
        for kind, value in zip(signature.args, args, strict=True)
    ]


def _number(value: int) -> Any:
    return ir.Constant(_I64, value)


tall_tile = _make_product_tile(8, 1)
wide_tile = _make_product_tile(4, 2)
sum_tile = intrinsic(_sum_tile)
