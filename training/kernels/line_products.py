"""The inner loops of sparse products over lines of a batch, as intrinsics for numba.

This module needs numba; import it only where that is installed.
"""

from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from training.kernels.batch_lines import GROUP, VECTOR_BYTES, CarryLoop, LineNumbers, Tile, fetch
from training.kernels.vector_code import VectorCode, number

LINE_BYTES = 256
"""Of a line of `multiply_line` and `sum_lines`."""
NARROW_BYTES = 128
"""Of a line of `multiply_narrow_line`."""

_AHEAD = 16  # Entries between the one that is fetched into the cache and the one in use.


def _make_multiply_line(line_bytes: int) -> Any:
    """The intrinsic for lines of that many bytes.

    outputs[place + i] = Σ_k values[k] · tile[columns[k] · length + i], first <= k < stop

    The lines of entries before `limit` >= stop are fetched ahead of their use.
    """

    def multiply_line(
        typing: Any,
        values: Any,
        columns: Any,
        first: Any,
        stop: Any,
        limit: Any,
        tile: Any,
        outputs: Any,
        place: Any,
    ) -> Any:
        dtype = tile.dtype

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            code = VectorCode(context, builder)
            numbers = LineNumbers(code, dtype)
            values, columns, first, stop, limit, data, outputs, place = code.find_data(
                signature, args
            )
            tile = Tile(code, columns, data, line_bytes // numbers.size, number(0))
            last = builder.sub(limit, number(1))

            def add_entry(entry: Any, sums: Sequence[Any]) -> list[Any]:
                weight = code.load_number(code.move(values, entry))
                if numbers.in_pairs:  # the second product of each pair is with 0
                    weight = builder.zext(weight, ir.IntType(32))
                return add(sums, [tile.find(entry)] * 2, numbers.repeat(weight))

            def add_pair(entry: Any, sums: Sequence[Any]) -> list[Any]:
                lines = [tile.find(entry), tile.find(builder.add(entry, number(1)))]
                return add(sums, lines, code.load_repeated(code.move(values, entry)))

            def add(sums: Sequence[Any], lines: Sequence[Any], weight: Any) -> list[Any]:
                vectors = numbers.load_lines(lines, line_bytes)
                return [
                    numbers.add_products(*each, weight) for each in zip(sums, vectors, strict=True)
                ]

            sums, step = numbers.zeros(line_bytes), 1
            if numbers.in_pairs:
                odd = builder.and_(builder.sub(stop, first), number(1))
                start = builder.add(first, odd)
                loop = CarryLoop(builder, first, start, 1, sums)
                loop.close(add_entry(loop.index, loop.sums))
                sums, first, step = loop.sums, start, 2
            loop = CarryLoop(builder, first, stop, step, sums)
            for i in range(step):
                ahead = builder.add(loop.index, number(_AHEAD + i))
                tile.fetch(tile.soonest(ahead, last), numbers.steps(line_bytes))
            loop.close((add_pair if numbers.in_pairs else add_entry)(loop.index, loop.sums))
            numbers.store_line(loop.sums, code.move(outputs, place), line_bytes)
            return context.get_dummy_value()

        arguments = (values, columns, first, stop, limit, tile, outputs, place)
        return types.void(*arguments), generate

    return intrinsic(multiply_line)


def _sum_groups(
    typing: Any,
    gradients: Any,
    place: Any,
    columns: Any,
    first: Any,
    stop: Any,
    limit: Any,
    tile: Any,
    lower: Any,
    sums: Any,
) -> Any:
    """Add products of one line with those of entries, `GROUP` at a time.

    sums[k] += Σ_i gradients[place + i] · tile[(columns[k] - lower) · length + i], first <= k < stop

    The difference of `first` and `stop` is a multiple of `GROUP`. The lines of entries before
    `limit` >= stop are fetched ahead of their use.
    """
    dtype = tile.dtype

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        code = VectorCode(context, builder)
        numbers = LineNumbers(code, dtype)
        gradients, place, columns, first, stop, limit, data, lower, sums = code.find_data(
            signature, args
        )
        tile = Tile(code, columns, data, LINE_BYTES // numbers.size, lower)
        gradient = code.move(gradients, place)
        loop = CarryLoop(builder, first, stop, GROUP, [])
        entries = [builder.add(loop.index, number(i)) for i in range(GROUP)]
        last = builder.sub(limit, number(GROUP))
        ahead = tile.soonest(builder.add(loop.index, number(_AHEAD)), last)
        for i in range(GROUP):
            tile.fetch(builder.add(ahead, number(i)), numbers.steps(LINE_BYTES))
        totals = _sum_group(numbers, code, gradient, [tile.find(entry) for entry in entries])
        numbers.add_sums(totals, code.move(sums, loop.index))
        loop.close([])
        return context.get_dummy_value()

    arguments = (gradients, place, columns, first, stop, limit, tile, lower, sums)
    return types.void(*arguments), generate


def _sum_rest(
    typing: Any,
    gradients: Any,
    place: Any,
    columns: Any,
    first: Any,
    stop: Any,
    limit: Any,
    tile: Any,
    lower: Any,
    sums: Any,
    target: Any,
) -> Any:
    """Add products of one line with those of less than `GROUP` entries, but at least one.

    sums[target + k] += Σ_i gradients[place + i] · tile[(columns[first + k] - lower) · length + i]

    for first <= first + k < stop; of the sums behind them, up to `GROUP`, 0 is added to each.
    """
    dtype = tile.dtype

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        code = VectorCode(context, builder)
        numbers = LineNumbers(code, dtype)
        (gradients, place, columns, first, stop, limit, data, lower, sums, target) = code.find_data(
            signature, args
        )
        tile = Tile(code, columns, data, LINE_BYTES // numbers.size, lower)
        final, last = builder.sub(stop, number(1)), builder.sub(limit, number(1))
        lines = []
        for i in range(GROUP):
            entry = builder.add(first, number(i))
            ahead = builder.add(entry, number(_AHEAD))
            tile.fetch(tile.soonest(ahead, last), numbers.steps(LINE_BYTES))
            lines.append(tile.find(tile.soonest(entry, final)))
        totals = _sum_group(numbers, code, code.move(gradients, place), lines)
        totals = numbers.keep_first(totals, builder.sub(stop, first))
        numbers.add_sums(totals, code.move(sums, target))
        return context.get_dummy_value()

    arguments = (gradients, place, columns, first, stop, limit, tile, lower, sums, target)
    return types.void(*arguments), generate


def _sum_group(numbers: LineNumbers, code: VectorCode, gradient: Any, lines: Sequence[Any]) -> Any:
    sums = [numbers.zeros(LINE_BYTES)[0]] * GROUP
    for step in numbers.steps(LINE_BYTES):
        left = numbers.load(code.move(gradient, step))
        rights = [numbers.load(code.move(line, step)) for line in lines]
        sums = [
            numbers.add_products(total, left, right)
            for total, right in zip(sums, rights, strict=True)
        ]
    return numbers.add_lanes(sums)


def _copy_vector(typing: Any, inputs: Any, start: Any, outputs: Any, place: Any) -> Any:
    """outputs[place + i] = inputs[start + i] for the numbers of one vector."""
    dtype = inputs.dtype

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        code = VectorCode(context, builder)
        numbers = LineNumbers(code, dtype)
        inputs, start, outputs, place = code.find_data(signature, args)
        numbers.store(numbers.load(code.move(inputs, start)), code.move(outputs, place))
        return context.get_dummy_value()

    return types.void(inputs, start, outputs, place), generate


def _fetch_line(typing: Any, numbers: Any, place: Any, to_write: Any) -> Any:
    """Ask the cache for a line of an array; `to_write` is a constant."""
    write = to_write.literal_value

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        code = VectorCode(context, builder)
        size = signature.args[0].dtype.bitwidth // 8
        data, place, _ = code.find_data(signature, args)
        line = code.move(data, place)
        for start in range(0, LINE_BYTES, VECTOR_BYTES):
            fetch(builder, code.move(line, start // size), to_write=write)
        return context.get_dummy_value()

    return types.void(numbers, place, to_write), generate


fetch_line: Any = intrinsic(prefer_literal=True)(_fetch_line)
copy_vector: Any = intrinsic(_copy_vector)
multiply_line = _make_multiply_line(LINE_BYTES)
multiply_narrow_line = _make_multiply_line(NARROW_BYTES)
sum_groups: Any = intrinsic(_sum_groups)
sum_rest: Any = intrinsic(_sum_rest)
