"""Which weights are nonzero: rows, lines and positions, each in the context of its surroundings.

A tensor is a matrix, a row an output unit. A row is a stack of planes (input channels) of lines of
positions, as `analysis.codes.grid` lays it out. Dead rows cost one decision, and so do empty lines:
only the lines that hold something are walked. What a position's context takes in is set by
features, see `analysis.codes.context_schemes`. Plain Python that numba compiles.
"""

from analysis.codes.kernels.context_kernel import (
    find_chunk_context,
    find_position_context,
    find_zone,
)
from analysis.codes.kernels.grid_fields import (
    CENTRE,
    CHUNK,
    FORCED,
    LINES,
    MIDDLE,
    NUM_COLUMNS,
    NUM_LINES,
    NUM_PLANES,
    NUM_ROWS,
    OVERRUN,
    RADIUS,
    SIDE,
    STRIDE,
    UNCUT_WIDTH,
    UNIT_CENTRE,
    WIDTH,
    ZONES,
)
from analysis.codes.kernels.range_kernel import (
    DECODING,
    LOW,
    NUM_BYTES,
    NUM_DATA,
    OFFSET,
    RANGE,
    Cells,
    Table,
    decide,
)


def code_support(
    coder: Cells,
    data: Cells,
    grid: Cells,
    features: int,
    rows: Table,
    lines: Table,
    chunks: Table,
    positions: Table,
    row_starts: Cells,
    indices: Cells,
    first_row: int,
    plane_marks: Cells,
    line_marks: Table,
    column_counts: Cells,
) -> int:
    """Code the rows from `first_row` on, until one might not fit into `data` or `indices`.

    Args:
        coder: The coder's state.
        data: Bytes, written or read.
        grid: Layout of a row.
        features: Which surroundings count, a sum of the bits above.
        rows: Table of the decisions about rows.
        lines: Table of those about lines.
        chunks: Table of those about chunks of lines.
        positions: Table of those about single weights.
        row_starts: int64 (num_rows + 1,): where each row's nonzeros start in `indices`.
        indices: Columns of the nonzeros, ascending in each row.
        first_row: Where to resume.
        plane_marks: int64 zeros, planes of (lines + 2) x (width + 2): the row, with a border.
        line_marks: int64 (planes + 1, lines + 1): which lines of the row hold something.
        column_counts: int64 (num_columns,): nonzeros so far in each column.

    Returns:
        The next row to code, num_rows at the end; or OVERRUN.
    """
    decoding = coder[DECODING]
    num_columns, num_lines, width = grid[NUM_COLUMNS], grid[NUM_LINES], grid[WIDTH]
    pitch = width + 2
    plane_pitch = (num_lines + 2) * pitch
    most_bytes = 4 * (2 * num_columns + grid[NUM_PLANES] * num_lines) + 64
    for row in range(first_row, grid[NUM_ROWS]):
        cursor = row_starts[row]
        if decoding:
            if coder[NUM_BYTES] > coder[NUM_DATA]:
                return OVERRUN
            if len(indices) - cursor < num_columns:
                return row
            end = cursor
        else:
            if len(data) - coder[NUM_BYTES] < most_bytes:
                return row
            end = row_starts[row + 1]
        before = 1
        if row > 0 and row_starts[row] == row_starts[row - 1]:
            before = 0
        low, span, offset = coder[LOW], coder[RANGE], coder[OFFSET]
        alive = 1 if end > cursor else 0
        low, span, offset, alive = decide(coder, data, low, span, offset, rows, before, alive)
        coder[LOW], coder[RANGE], coder[OFFSET] = low, span, offset
        if not alive:
            row_starts[row + 1] = cursor
            continue
        centre_y = centre_x = grid[MIDDLE]
        if grid[CENTRE] == UNIT_CENTRE:
            centre_y = row // grid[SIDE] % grid[SIDE] * grid[STRIDE]
            centre_x = row % grid[SIDE] * grid[STRIDE]
        start = cursor
        for plane in range(grid[NUM_PLANES]):
            for line in range(num_lines):
                first = (plane * num_lines + line) * width
                last = min(first + width, num_columns)
                if first >= num_columns:
                    line_marks[plane + 1, line + 1] = 0
                    continue
                distance_y = abs(line - centre_y)
                if features & LINES:
                    filled = 1 if cursor < end and indices[cursor] < last else 0
                    context = line_marks[plane + 1, line] * 2 + line_marks[plane, line + 1]
                    if features & ZONES and grid[CENTRE]:
                        context = context * 4 + find_zone(distance_y, grid[RADIUS])
                    low, span, offset, filled = decide(
                        coder, data, low, span, offset, lines, context, filled
                    )
                    line_marks[plane + 1, line + 1] = filled
                    if not filled:
                        continue
                line_start = cursor
                chunk = width if width <= UNCUT_WIDTH or not features & LINES else CHUNK
                for begin in range(first, last, chunk):
                    finish = min(begin + chunk, last)
                    place = plane * plane_pitch + (line + 1) * pitch + 1 + begin - first
                    if chunk < width and (finish < last or cursor > line_start):
                        filled = 1 if cursor < end and indices[cursor] < finish else 0
                        context = find_chunk_context(
                            plane_marks,
                            place,
                            place - pitch,
                            place - plane_pitch,
                            finish - begin,
                            plane,
                        )
                        if cursor > line_start:
                            context += 6
                        if features & ZONES and grid[CENTRE]:
                            across = abs((begin + finish) // 2 - first - centre_x)
                            distance = max(distance_y, across)
                            context = context * 4 + find_zone(distance, grid[RADIUS])
                        low, span, offset, filled = decide(
                            coder, data, low, span, offset, chunks, context, filled
                        )
                        if not filled:
                            continue
                    chunk_start = cursor
                    for column in range(begin, finish):
                        context = 0
                        bit = 1 if cursor < end and indices[cursor] == column else 0
                        if features & LINES:
                            if cursor > chunk_start:
                                context = 3
                            elif finish - column > 2:
                                context = 2 if finish - column > 4 else 1
                            elif column == finish - 1:
                                context = FORCED  # this is all that can be nonzero here
                                bit = 1
                        if context != FORCED:
                            context = find_position_context(
                                grid,
                                features,
                                plane_marks,
                                column_counts,
                                context,
                                place,
                                plane,
                                line,
                                column,
                                row,
                                cursor - start,
                                centre_y,
                                centre_x,
                            )
                            low, span, offset, bit = decide(
                                coder, data, low, span, offset, positions, context, bit
                            )
                        if bit:
                            if decoding:
                                indices[cursor] = column
                            plane_marks[place] = 1
                            column_counts[column] += 1
                            cursor += 1
                        place += 1
        coder[LOW], coder[RANGE], coder[OFFSET] = low, span, offset
        row_starts[row + 1] = cursor
        for place in range(start, cursor):
            column = indices[place]
            line = column // width
            plane = line // num_lines
            plane_marks[
                plane * plane_pitch + (line % num_lines + 1) * pitch + 1 + column % width
            ] = 0
    return grid[NUM_ROWS]
