"""The contexts of a support's decisions: what lies around a line, a chunk or a weight.

Plain Python that numba compiles, as all kernels are.
"""

from analysis.codes.kernels.grid_fields import (
    CENTRE,
    COLUMNS,
    DENSITY,
    NEIGHBOURS,
    NUM_LINES,
    PLANES,
    RADIUS,
    WIDTH,
    ZONES,
)
from analysis.codes.kernels.range_kernel import Cells


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
