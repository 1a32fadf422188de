"""Which schemes the encoder tries."""

import pytest

from analysis.codes.context_schemes import NUM_SCHEMES, Scheme, candidates
from analysis.codes.grid import Grid, plain_grid, shape_grid
from analysis.codes.kernels.grid_fields import (
    COLUMNS,
    DENSITY,
    LINES,
    NEIGHBOURS,
    PLANES,
    UNIT_CENTRE,
    ZONES,
)

IMAGE = NEIGHBOURS | PLANES | ZONES


def seeing(**fields: int) -> Grid:
    return Grid(num_rows=8, num_columns=3 * 64, num_planes=3, num_lines=8, width=8, **fields)


def test_six_flags_name_a_scheme() -> None:
    flags = (LINES, DENSITY, NEIGHBOURS, PLANES, ZONES, COLUMNS)
    assert sorted(flags) == [1, 2, 4, 8, 16, 32]
    assert NUM_SCHEMES == 64
    names = {str(Scheme(features)) for features in range(NUM_SCHEMES)}
    assert len(names) == NUM_SCHEMES


@pytest.mark.parametrize("grid", [plain_grid(4, 90), shape_grid((4, 3, 3, 3)), seeing(centre=1)])
def test_are_distinct_and_named_by_six_bits(grid: Grid) -> None:
    features = [scheme.features for scheme in candidates(grid)]
    assert len(set(features)) == len(features)
    assert all(0 <= each < NUM_SCHEMES for each in features)
    assert 0 in features
    assert LINES in features


def test_only_what_the_layout_has() -> None:
    def used(grid: Grid) -> int:
        return sum(
            {1 << bit for bit in range(6) for s in candidates(grid) if s.features >> bit & 1}
        )

    assert used(plain_grid(4, 90)) & IMAGE == 0
    assert used(shape_grid((4, 3, 3, 3))) & IMAGE == NEIGHBOURS | PLANES
    assert used(shape_grid((4, 1, 3, 3))) & IMAGE == NEIGHBOURS
    assert used(seeing(centre=UNIT_CENTRE, side=2)) & IMAGE == IMAGE


def test_large_tensors_always_skip_empty_lines() -> None:
    assert all(scheme.features & LINES for scheme in candidates(plain_grid(1 << 10, 1 << 10)))
