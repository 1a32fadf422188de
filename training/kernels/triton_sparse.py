"""Products of a sparse weight with a batch in Triton's language.

`training.sparse.triton_products` launches them. Loaded only where Triton is installed. A weight has
its entries by rows: those of row i are row_starts[i], ..., row_starts[i + 1] - 1. The batch lies
last: X is (columns, N). A program looks at GROUP entries at once and at LINE images of the batch.

Long rows are cut into pieces of `length` entries (IS_CUT): those of row i are piece_starts[i], ...,
piece_starts[i + 1] - 1, and piece_rows has the row of each piece, or num_rows where there is no
piece. Nothing is added up atomically: the same numbers come in the same order in every run.

Parameters are annotated with types of Triton's own: its compiler looks up what stands there.
"""

from typing import Any

import triton
import triton.language as tl


@triton.jit  # type: ignore[untyped-decorator, unused-ignore]
def multiply_rows(
    row_starts: tl.tensor,
    columns: tl.tensor,
    values: tl.tensor,
    inputs: tl.tensor,
    outputs: tl.tensor,
    piece_starts: tl.tensor,
    piece_rows: tl.tensor,
    partial_sums: tl.tensor,
    num_rows: tl.tensor,
    length: tl.tensor,
    batch: tl.tensor,
    IS_CUT: tl.constexpr,  # noqa: N803  # Triton's own custom
    IS_WIDE: tl.constexpr,  # noqa: N803
    GROUP: tl.constexpr,  # noqa: N803
    LINE: tl.constexpr,  # noqa: N803
) -> None:
    """outputs[i, n] = Σ_j W[i, j] inputs[j, n] for each row of one piece.

    What a piece of a longer row adds up to goes into partial_sums, in lines of N numbers. Lines
    2 (piece_starts[i] - i), ... are those of row i: a row in c >= 2 pieces has room for 2 (c - 1).
    """
    row, number, count, first, last = _find_piece(
        row_starts, piece_starts, piece_rows, num_rows, length, IS_CUT
    )
    lanes = tl.program_id(1).to(tl.int64) * LINE + tl.arange(0, LINE)
    inside = lanes < batch
    sums = tl.zeros((GROUP, LINE), dtype=tl.float64 if IS_WIDE else tl.float32)
    for start in range(first, last, GROUP):
        entries = start + tl.arange(0, GROUP)
        held = entries < last
        column = tl.load(columns + entries, mask=held, other=0).to(tl.int64)
        value = tl.load(values + entries, mask=held, other=0.0).to(sums.dtype)
        cells = inputs + column[:, None] * batch + lanes[None, :]
        seen = held[:, None] & inside[None, :]
        sums += value[:, None] * tl.load(cells, mask=seen, other=0.0).to(sums.dtype)
    total = tl.sum(sums, 0)
    if IS_CUT:
        if count > 1:
            line = 2 * (tl.load(piece_starts + row) - row) + number
            tl.store(partial_sums + line * batch + lanes, total, mask=inside)
        elif count == 1:
            target = outputs + row * batch + lanes
            tl.store(target, total.to(outputs.dtype.element_ty), mask=inside)
    else:
        tl.store(outputs + row * batch + lanes, total.to(outputs.dtype.element_ty), mask=inside)


@triton.jit  # type: ignore[untyped-decorator, unused-ignore]
def add_pieces(
    long_rows: tl.tensor,
    piece_starts: tl.tensor,
    partial_sums: tl.tensor,
    outputs: tl.tensor,
    num_rows: tl.tensor,
    batch: tl.tensor,
    LINE: tl.constexpr,  # noqa: N803
) -> None:
    """The outputs of the rows of several pieces, which are added up in their order."""
    row = tl.load(long_rows + tl.program_id(0))
    if row < num_rows:
        lanes = tl.program_id(1).to(tl.int64) * LINE + tl.arange(0, LINE)
        inside = lanes < batch
        first = tl.load(piece_starts + row)
        count = tl.load(piece_starts + row + 1) - first
        source = partial_sums + 2 * (first - row) * batch + lanes
        total = tl.load(source, mask=inside, other=0.0)
        for piece in range(1, count):
            total += tl.load(source + piece * batch, mask=inside, other=0.0)
        tl.store(outputs + row * batch + lanes, total.to(outputs.dtype.element_ty), mask=inside)


@triton.jit  # type: ignore[untyped-decorator, unused-ignore]
def sum_entries(
    row_starts: tl.tensor,
    columns: tl.tensor,
    gradients: tl.tensor,
    inputs: tl.tensor,
    sums: tl.tensor,
    piece_starts: tl.tensor,
    piece_rows: tl.tensor,
    num_rows: tl.tensor,
    length: tl.tensor,
    batch: tl.tensor,
    left: tl.tensor,
    right: tl.tensor,
    IS_FIRST: tl.constexpr,  # noqa: N803
    IS_CUT: tl.constexpr,  # noqa: N803
    IS_WIDE: tl.constexpr,  # noqa: N803
    GROUP: tl.constexpr,  # noqa: N803
    LINE: tl.constexpr,  # noqa: N803
) -> None:
    """sums[k] += Σ_n gradients[i, n] inputs[j, n] over n = left, ..., right - 1, entry k at (i, j).

    The first launch begins at 0. The sum of an entry does not depend on what else is in its row.
    """
    row, _, _, first, last = _find_piece(
        row_starts, piece_starts, piece_rows, num_rows, length, IS_CUT
    )
    for start in range(first, last, GROUP):
        entries = start + tl.arange(0, GROUP)
        held = entries < last
        column = tl.load(columns + entries, mask=held, other=0).to(tl.int64)
        found = tl.zeros((GROUP, LINE), dtype=tl.float64 if IS_WIDE else tl.float32)
        for begin in range(left, right, LINE):
            lanes = begin + tl.arange(0, LINE)
            inside = lanes < right
            delta = tl.load(gradients + row * batch + lanes, mask=inside, other=0.0)
            cells = inputs + column[:, None] * batch + lanes[None, :]
            seen = held[:, None] & inside[None, :]
            numbers = tl.load(cells, mask=seen, other=0.0).to(found.dtype)
            found += delta.to(found.dtype)[None, :] * numbers
        total = tl.sum(found, 1)
        if not IS_FIRST:
            total += tl.load(sums + entries, mask=held, other=0.0)
        tl.store(sums + entries, total, mask=held)


@triton.jit  # type: ignore[untyped-decorator, unused-ignore]
def _find_piece(
    row_starts: tl.tensor,
    piece_starts: tl.tensor,
    piece_rows: tl.tensor,
    num_rows: tl.tensor,
    length: tl.tensor,
    IS_CUT: tl.constexpr,  # noqa: N803
) -> Any:
    """A program's row, which of how many pieces it takes, and its entries; 0 pieces at the end."""
    piece = tl.program_id(0).to(tl.int64)
    row, number, count = piece, piece * 0, piece * 0 + 1
    if IS_CUT:
        row = tl.load(piece_rows + piece)
        is_piece = row < num_rows
        begin = tl.load(piece_starts + row, mask=is_piece, other=0)
        end = tl.load(piece_starts + row + 1, mask=is_piece, other=0)
        number, count = piece - begin, end - begin
        first = tl.load(row_starts + row, mask=is_piece, other=0) + number * length
        last = tl.load(row_starts + row + 1, mask=is_piece, other=0)
        first, last = tl.where(is_piece, first, 0), tl.where(is_piece, last, 0)
        last = tl.minimum(last, first + length)
    else:
        first, last = tl.load(row_starts + row), tl.load(row_starts + row + 1)
    return row, number, count, first, last
