"""Which weights are nonzero: rows, lines and positions, each in the context of its surroundings.

A tensor is a matrix, a row an output unit. A row is a stack of planes (input channels) of lines of
positions, as `analysis.codes.grid` lays it out. Dead rows cost one decision, and so do empty lines:
only the lines that hold something are walked. What a position's context takes in is set by
features, see `analysis.codes.support`. A support may also be coded by its number among all that
have as many nonzeros. Plain Python that numba compiles.
"""

from analysis.codes.kernels.range_kernel import (
    DECODING,
    LOW,
    NUM_BYTES,
    NUM_DATA,
    OFFSET,
    OVERRUN,
    RANGE,
    Cells,
    Table,
    code_split,
    decide,
)

# Fields of a grid.
NUM_ROWS = 0
NUM_COLUMNS = 1
NUM_PLANES = 2
NUM_LINES = 3
WIDTH = 4
CENTRE = 5  # NO_CENTRE, FIXED_CENTRE or UNIT_CENTRE
SIDE = 6  # UNIT_CENTRE: rows are units (channel, y, x) of SIDE x SIDE
STRIDE = 7  # UNIT_CENTRE: unit (y, x) looks at the pixel (y, x) * STRIDE
MIDDLE = 8  # FIXED_CENTRE: every row looks at (MIDDLE, MIDDLE)
RADIUS = 9  # distances from the centre fall into zones at 1, 2 and 4 times this

NO_CENTRE = 0
FIXED_CENTRE = 1
UNIT_CENTRE = 2

# Features of a scheme, as bits.
LINES = 1
DENSITY = 2
NEIGHBOURS = 4
PLANES = 8
ZONES = 16
COLUMNS = 32

NUM_ROW_CONTEXTS = 2
NUM_LINE_CONTEXTS = 16
NUM_CHUNK_CONTEXTS = 48
NUM_POSITION_CONTEXTS = 4 * 4 * 12 * 8 * 4 * 4

UNCUT_WIDTH = 16  # wider lines are cut into chunks
CHUNK = 8
FORCED = -1


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


def code_enumerative(
    coder: Cells,
    data: Cells,
    num_positions: int,
    num_nonzeros: int,
    indices: Cells,
    from_position: int,
    from_index: int,
) -> tuple[int, int]:
    """Code a support among all C(n, nonzeros) of them, in log2 C(n, nonzeros) bits.

    Position by position, a one has the probability (ones left) / (positions left). Zeros after the
    last one cost nothing and are not walked.

    Args:
        coder: The coder's state.
        data: Bytes, written or read.
        num_positions: n.
        num_nonzeros: Ones among them.
        indices: int64: their positions, ascending; filled when decoding.
        from_position: Where to resume.
        from_index: Ones before that.

    Returns:
        (position, index) to resume from; position = n at the end, OVERRUN past the data's end.
    """
    decoding = coder[DECODING]
    index = from_index
    for position in range(from_position, num_positions):
        left = num_nonzeros - index
        if left == 0:
            return num_positions, index
        if decoding:
            if coder[NUM_BYTES] > coder[NUM_DATA]:
                return OVERRUN, index
        elif len(data) - coder[NUM_BYTES] < 64:
            return position, index
        bit = 0
        if not decoding and indices[index] == position:
            bit = 1
        remaining = num_positions - position
        if left < remaining:
            bit = code_split(coder, data, coder[RANGE] // remaining * left, bit)
        else:
            bit = 1
        if bit:
            indices[index] = position
            index += 1
    return num_positions, index


def find_position_context(
    grid: Cells,
    features: int,
    marks: Cells,
    column_counts: Cells,
    context: int,
    place: int,
    plane: int,
    line: int,
    column: int,
    row: int,
    found: int,
    centre_y: int,
    centre_x: int,
) -> int:
    """The context of one weight: `context`, and all that the features take in.

    Args:
        grid: Layout of a row.
        features: Which surroundings count.
        marks: The row's marks.
        column_counts: Nonzeros in each column so far.
        context: What its line and chunk say, 0 to 3.
        place: Its place among the marks.
        plane: Its plane.
        line: Its line.
        column: Its column.
        row: Its row.
        found: Nonzeros of the row before it.
        centre_y: Line of the row's own place in the image.
        centre_x: The same across.
    """
    pitch = grid[WIDTH] + 2
    if features & DENSITY:
        context = context * 4 + find_density(found, column + 1)
    if features & NEIGHBOURS:
        corners = marks[place - pitch - 1] + marks[place - pitch + 1]
        context = context * 12 + marks[place - 1] * 6 + marks[place - pitch] * 3 + corners
    if features & PLANES:
        around = 0
        if plane > 0:
            around = count_around(marks, place - (grid[NUM_LINES] + 2) * pitch, pitch)
        context = context * 8 + around
    if features & ZONES and grid[CENTRE]:
        across = column - (plane * grid[NUM_LINES] + line) * grid[WIDTH]
        distance = max(abs(line - centre_y), abs(across - centre_x))
        context = context * 4 + find_zone(distance, grid[RADIUS])
    if features & COLUMNS:
        context = context * 4 + find_density(column_counts[column], row)
    return context


def find_zone(distance: int, radius: int) -> int:
    """0 within the radius, 1 within twice, 2 within four times, else 3."""
    if distance <= radius:
        return 0
    if distance <= 2 * radius:
        return 1
    return 2 if distance <= 4 * radius else 3


def find_chunk_context(
    marks: Cells, place: int, above: int, before: int, width: int, plane: int
) -> int:
    """0 to 5: marks above a chunk and its ends (0, 1, more), and any in the plane before."""
    num_above = 0
    for across in range(-1, width + 1):
        num_above += marks[above + across]
    num_before = 0
    if plane > 0:
        for across in range(width):
            num_before += marks[before + across]
    return min(num_above, 2) * 2 + min(num_before, 1)


def find_density(found: int, seen: int) -> int:
    """0 to 3: no or few (< 1/32), some (< 1/8), more (< 3/8), many of those seen."""
    if 32 * found < seen:
        return 0
    if 8 * found < seen:
        return 1
    return 2 if 8 * found < 3 * seen else 3


def count_around(marks: Cells, place: int, pitch: int) -> int:
    """0 to 7: the mark itself, and how many of its eight neighbours are marked (0, 1, 2, more)."""
    total = 0
    for line in range(place - pitch, place + 2 * pitch, pitch):
        total += marks[line - 1] + marks[line] + marks[line + 1]
    own = marks[place]
    return own * 4 + min(total - own, 3)
