"""Tiles of matrix products over bfloat16, whose sums stay in registers, as intrinsics for numba.

Sums are float32 and are rounded once, to bfloat16. This module needs numba; import it only where
that is installed.
"""

from collections.abc import Sequence
from typing import Any

from numba import types
from numba.extending import intrinsic

from training.kernels.vector_code import COLUMNS, SumLoop, VectorCode, number

SIDE = 4
"""Rows and columns of the outputs of `sum_tile`."""


def _make_product_tile(num_rows: int, num_groups: int) -> Any:
    """The intrinsic for `num_rows` rows and `num_groups` · 32 columns of outputs.

    outputs[place + m·stride + i] = Σ_j weights[j, m] · values[starts[j] + column + i]

    over `num_pairs` pairs of j; the weights lie in (pairs, num_rows, 2) from `weights[first]` on.
    Only rows m < `num_stored` are written.
    """

    def product_tile(
        typing: Any,
        weights: Any,
        first: Any,
        num_pairs: Any,
        values: Any,
        starts: Any,
        column: Any,
        outputs: Any,
        place: Any,
        stride: Any,
        num_stored: Any,
    ) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            code = VectorCode(context, builder)
            (
                weights,
                first,
                num_pairs,
                values,
                starts,
                column,
                outputs,
                place,
                stride,
                num_stored,
            ) = code.find_data(signature, args)
            values, weights = code.move(values, column), code.move(weights, first)
            loop = SumLoop(builder, num_pairs, num_rows * num_groups * 2)
            start = code.move(starts, builder.shl(loop.index, number(1)))
            rows = [
                code.move(values, code.load_number(code.move(start, partner))) for partner in (0, 1)
            ]
            vectors = []
            for group in range(num_groups):
                vectors += code.load_interleaved([code.move(row, COLUMNS * group) for row in rows])
            weight = code.move(weights, builder.mul(loop.index, number(2 * num_rows)))
            sums: list[Any] = []
            for row in range(num_rows):
                factor = code.load_repeated(code.move(weight, 2 * row))
                for vector in vectors:
                    sums.append(code.add_products(loop.sums[len(sums)], vector, factor))
            loop.close(sums)
            output = code.move(outputs, place)
            end = builder.append_basic_block("end")
            for row in range(num_rows):
                store = builder.append_basic_block("store")
                builder.cbranch(builder.icmp_signed("<", number(row), num_stored), store, end)
                builder.position_at_end(store)
                for group in range(num_groups):
                    both = loop.sums[2 * (row * num_groups + group) :][:2]
                    code.store_rounded(both, code.move(output, COLUMNS * group))
                output = code.move(output, stride)
            builder.branch(end)
            builder.position_at_end(end)
            return context.get_dummy_value()

        arguments = (
            weights,
            first,
            num_pairs,
            values,
            starts,
            column,
            outputs,
            place,
            stride,
            num_stored,
        )
        return types.void(*arguments), generate

    return intrinsic(product_tile)


def _sum_tile(
    typing: Any,
    gradients: Any,
    rows: Any,
    first: Any,
    values: Any,
    starts: Any,
    entry: Any,
    num_blocks: Any,
    tail: Any,
    mask: Any,
    outputs: Any,
    place: Any,
    stride: Any,
) -> Any:
    """4 x 4 products of rows with rows.

    outputs[place + m·stride + j] =
        Σ_i gradients[rows[first + m] + i] · values[starts[entry + j] + i]

    over the columns i of `num_blocks` blocks of 32, and over those of the 32 from `tail` on that
    `mask` lets through (its bits are all ones there, else zeros).
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        code = VectorCode(context, builder)
        (
            gradients,
            rows,
            first,
            values,
            starts,
            entry,
            num_blocks,
            tail,
            mask,
            outputs,
            place,
            stride,
        ) = code.find_data(signature, args)
        lines = [
            code.move(matrix, code.load_number(code.move(code.move(places, first_place), i)))
            for matrix, places, first_place in ((gradients, rows, first), (values, starts, entry))
            for i in range(SIDE)
        ]

        def add_block(column: Any, sums: Sequence[Any], mask: Any = None) -> list[Any]:
            blocks = [code.load_pairs(code.move(line, column)) for line in lines]
            lefts, rights = blocks[:SIDE], blocks[SIDE:]
            if mask is not None:
                lefts = [builder.and_(left, mask) for left in lefts]
            products = [(left, right) for left in lefts for right in rights]
            return [
                code.add_products(each, *pair) for each, pair in zip(sums, products, strict=True)
            ]

        loop = SumLoop(builder, num_blocks, SIDE * SIDE)
        loop.close(add_block(builder.mul(loop.index, number(COLUMNS)), loop.sums))
        sums = add_block(tail, loop.sums, code.load_pairs(mask))
        while len(sums) > 1:
            sums = [code.add_neighbours(*sums[i : i + 2]) for i in range(0, len(sums), 2)]
        output = [code.move(outputs, place)]
        for _ in range(SIDE - 1):
            output.append(code.move(output[-1], stride))
        code.store_parts(sums[0], output)
        return context.get_dummy_value()

    arguments = (
        gradients,
        rows,
        first,
        values,
        starts,
        entry,
        num_blocks,
        tail,
        mask,
        outputs,
        place,
        stride,
    )
    return types.void(*arguments), generate


tall_tile = _make_product_tile(8, 1)
wide_tile = _make_product_tile(4, 2)
sum_tile: Any = intrinsic(_sum_tile)
