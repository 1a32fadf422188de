"""Which surroundings a weight's support may be coded in; the encoder takes the scheme that pays.

A scheme is six flags, and six bits of the description name it:

- lines: empty lines and chunks of lines are one decision each (fast where little is nonzero);
- density: how many of the row's weights so far are nonzero;
- neighbours: the weights to the left, above, and above to both sides;
- planes: the same place and its neighbours in the input channel before (the other colours);
- zones: the distance from the unit's own place in the image;
- columns: how many of the column's weights, in the rows before, are nonzero.
"""

from dataclasses import dataclass

from analysis.codes.grid import Grid
from analysis.codes.kernels.grid_fields import COLUMNS, DENSITY, LINES, NEIGHBOURS, PLANES, ZONES

NAMES = {
    LINES: "lines",
    DENSITY: "density",
    NEIGHBOURS: "neighbours",
    PLANES: "planes",
    ZONES: "zones",
    COLUMNS: "columns",
}
NUM_SCHEMES = 1 << len(NAMES)
_SMALL = 1 << 15
_MIXES = (
    0,
    DENSITY,
    NEIGHBOURS,
    COLUMNS,
    ZONES,
    NEIGHBOURS | PLANES,
    NEIGHBOURS | ZONES,
    DENSITY | COLUMNS,
    NEIGHBOURS | COLUMNS,
    NEIGHBOURS | PLANES | ZONES,
    NEIGHBOURS | PLANES | COLUMNS,
    NEIGHBOURS | ZONES | COLUMNS,
    NEIGHBOURS | PLANES | ZONES | COLUMNS,
    DENSITY | NEIGHBOURS | PLANES | ZONES,
    DENSITY | NEIGHBOURS | PLANES | ZONES | COLUMNS,
)


@dataclass(frozen=True)
class Scheme:
    """A sum of the features of `analysis.codes.kernels.grid_fields`, 0..63."""

    features: int

    def __str__(self) -> str:
        """The flags by name.

        >>> str(Scheme(LINES | ZONES)), str(Scheme(0))
        ('lines, zones', 'one context')
        """
        names = [name for flag, name in NAMES.items() if self.features & flag]
        return ", ".join(names) or "one context"


def candidates(grid: Grid) -> tuple[Scheme, ...]:
    """The schemes that the encoder tries on a tensor.

    Large tensors always get lines, which make them fast.
    """
    useful = DENSITY | COLUMNS | LINES
    if grid.has_image:
        useful |= NEIGHBOURS
        if grid.num_planes > 1:
            useful |= PLANES
        if grid.centre:
            useful |= ZONES
    is_small = grid.num_rows * grid.num_columns <= _SMALL
    mixes = {mix & useful for mix in _MIXES}
    if is_small:
        mixes |= {mix | LINES for mix in mixes}
    else:
        mixes = {mix | LINES for mix in mixes}
    return tuple(Scheme(mix) for mix in sorted(mixes))
