"""Numbers that the kernels of the codes share: fields of a grid, features, sizes of tables."""

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
GRID_SIZE = 10

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

OVERRUN = -1
"""Returned when the decoder has read far past the end of its data."""
