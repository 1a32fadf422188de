"""Tiles of products of 16-bit integers, compared with limits, as an intrinsic for numba.

Sums are 32-bit integers and stay in registers. This module needs numba; import it only where that
is installed.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from training.kernels.batch_lines import CarryLoop
from training.kernels.vector_code import LANES, VectorCode, number

TILE_ROWS = 6
"""Of a tile, whose columns are as many as a vector has pairs of integers."""

_I16, _I32, _I64 = ir.IntType(16), ir.IntType(32), ir.IntType(64)
_SUMS = ir.VectorType(_I32, LANES)
_INSTRUCTIONS = (
    ("+avx512bw", LANES, "llvm.x86.avx512.pmaddw.d.512"),
    ("+avx2", LANES // 2, "llvm.x86.avx2.pmadd.wd"),
)
"""What multiplies pairs: where it is to be had, of how many sums, and its name."""


def _find_reaching(
    typing: Any,
    rows: Any,
    start: Any,
    num_pairs: Any,
    columns: Any,
    place: Any,
    limits: Any,
    first: Any,
    masks: Any,
) -> Any:
    """masks[m], whose bit c says whether |Σ_n rows[m, n] · columns[c, n]| >= limits[first + m].

    The integers of the tile's row m start at rows[start + 2 · m · num_pairs]. Those of its columns
    lie from columns[place] on, as (pairs, columns, 2).
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        code = VectorCode(context, builder)
        rows, start, num_pairs, columns, place, limits, first, masks = code.find_data(
            signature, args
        )
        words = _I32.as_pointer()
        left = builder.bitcast(code.move(rows, start), words)
        lines = [code.move(left, builder.mul(num_pairs, number(m))) for m in range(TILE_ROWS)]
        right = builder.bitcast(code.move(columns, place), words)
        zero = ir.Constant(_SUMS, [0] * LANES)
        loop = CarryLoop(builder, number(0), num_pairs, 1, [zero] * TILE_ROWS)
        vector = code.load_pairs(code.move(right, builder.mul(loop.index, number(LANES))))
        sums = []
        for line, total in zip(lines, loop.sums, strict=True):
            factor = code.load_repeated(code.move(line, loop.index))
            sums.append(builder.add(total, _multiply_pairs(context, builder, vector, factor)))
        loop.close(sums)
        for m, total in enumerate(loop.sums):
            limit = code.load_repeated(code.move(limits, builder.add(first, number(m))))
            is_negative = builder.icmp_signed("<", total, zero)
            size = builder.select(is_negative, builder.sub(zero, total), total)
            reaches = builder.icmp_signed(">=", size, limit)
            mask = builder.zext(builder.bitcast(reaches, ir.IntType(LANES)), _I64)
            builder.store(mask, code.move(masks, m))
        return context.get_dummy_value()

    arguments = (rows, start, num_pairs, columns, place, limits, first, masks)
    return types.void(*arguments), generate


def _multiply_pairs(context: Any, builder: Any, left: Any, right: Any) -> Any:
    """left[i][0] · right[i][0] + left[i][1] · right[i][1], in 32 bits."""
    features = context.codegen().magic_tuple()[2]
    for feature, lanes, name in _INSTRUCTIONS:
        if feature in features:
            numbers, sums = ir.VectorType(_I16, 2 * lanes), ir.VectorType(_I32, lanes)
            kind = ir.FunctionType(sums, [numbers, numbers])
            multiply = builder.module.declare_intrinsic(name, (), kind)
            parts = [
                builder.call(multiply, [builder.bitcast(each, numbers) for each in pair])
                for pair in zip(
                    *(_cut(builder, pairs, lanes) for pairs in (left, right)), strict=True
                )
            ]
            return (
                parts[0] if len(parts) == 1 else _shuffle(builder, parts[0], parts[1], range(LANES))
            )
    products = []
    for first in (0, 1):
        numbers = [
            builder.bitcast(pairs, ir.VectorType(_I16, 2 * LANES)) for pairs in (left, right)
        ]
        chosen = [_shuffle(builder, each, each, range(first, 2 * LANES, 2)) for each in numbers]
        products.append(builder.mul(*[builder.sext(each, _SUMS) for each in chosen]))
    return builder.add(*products)


def _cut(builder: Any, pairs: Any, lanes: int) -> list[Any]:
    if lanes == LANES:
        return [pairs]
    return [_shuffle(builder, pairs, pairs, range(i, i + lanes)) for i in range(0, LANES, lanes)]


def _shuffle(builder: Any, first: Any, second: Any, order: range) -> Any:
    mask = ir.Constant(ir.VectorType(_I32, len(order)), list(order))
    return builder.shuffle_vector(first, second, mask)


find_reaching: Any = intrinsic(_find_reaching)
