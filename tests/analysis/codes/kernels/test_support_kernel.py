"""Every scheme of contexts against a slow model that keeps its contexts by name."""

import math
from collections import defaultdict
from collections.abc import Hashable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from analysis.codes.arithmetic_coder import ArithmeticCoder
from analysis.codes.grid import Grid, plain_grid
from analysis.codes.kernels.support_kernel import FIXED_CENTRE, NO_CENTRE, UNIT_CENTRE

Mask = NDArray[np.bool_]
ALL_FEATURES = ("lines", "density", "neighbours", "planes", "zones", "columns")


class NamedContexts:
    """The ideal length of a support: Krichevsky-Trofimov estimates in a dictionary."""

    def __init__(self, grid: Grid, features: int) -> None:
        self.grid = grid
        self.features = {name for bit, name in enumerate(ALL_FEATURES) if features >> bit & 1}
        self.counts: dict[Hashable, list[int]] = defaultdict(lambda: [0, 0])
        self.bits = 0.0

    def decide(self, context: Hashable, bit: bool) -> None:
        counts = self.counts[context]
        self.bits -= math.log2((counts[bit] + 0.5) / (sum(counts) + 1))
        counts[bit] += 1

    def code(self, mask: Mask) -> float:
        self.mask = mask
        for row in range(len(mask)):
            before = row == 0 or bool(mask[row - 1].any())
            self.decide(("row", before), bool(mask[row].any()))
            if mask[row].any():
                self.code_row(row)
        return self.bits

    def code_row(self, row: int) -> None:
        grid = self.grid
        self.row = row
        places = np.zeros(grid.num_planes * grid.num_lines * grid.width, dtype=bool)
        places[: grid.num_columns] = self.mask[row]
        self.here = places.reshape(grid.num_planes, grid.num_lines, grid.width)
        self.centre = (grid.middle, grid.middle)
        if grid.centre == UNIT_CENTRE:
            unit = row % grid.side**2
            self.centre = (unit // grid.side * grid.stride, unit % grid.side * grid.stride)
        for plane in range(grid.num_planes):
            for line in range(grid.num_lines):
                left_over = grid.num_columns - (plane * grid.num_lines + line) * grid.width
                if left_over > 0:
                    self.code_line(plane, line, min(grid.width, left_over))

    def code_line(self, plane: int, line: int, length: int) -> None:
        values = self.here[plane, line, :length]
        if "lines" not in self.features:
            for across in range(length):
                self.code_position(plane, line, across, "any")
            return
        above = line > 0 and bool(self.here[plane, line - 1].any())
        before = plane > 0 and bool(self.here[plane - 1, line].any())
        zone = self.zone(abs(line - self.centre[0]))
        self.decide(("line", above, before, zone), bool(values.any()))
        if not values.any():
            return
        if self.grid.width <= 16:
            self.code_piece(plane, line, 0, length)
            return
        for start in range(0, length, 8):
            end = min(start + 8, length)
            found = bool(values[:start].any())
            if end == length and not found:  # it can only be here
                self.code_piece(plane, line, start, end)
                continue
            above = [self.at(plane, line - 1, across) for across in range(start - 1, end + 1)]
            before = [self.at(plane - 1, line, across) for across in range(start, end)]
            middle = abs((start + end) // 2 - self.centre[1])
            zone = self.zone(max(abs(line - self.centre[0]), middle))
            context = ("chunk", min(sum(above), 2), any(before), found, zone)
            self.decide(context, bool(values[start:end].any()))
            if values[start:end].any():
                self.code_piece(plane, line, start, end)

    def code_piece(self, plane: int, line: int, start: int, end: int) -> None:
        """Positions of a line or a chunk in which at least one is nonzero."""
        values = self.here[plane, line]
        for across in range(start, end):
            left = end - across
            if values[start:across].any():
                self.code_position(plane, line, across, "found")
            elif left > 1:
                self.code_position(plane, line, across, f"{(left > 2) + (left > 4)}")
            else:
                assert values[across]

    def code_position(self, plane: int, line: int, across: int, what: str) -> None:
        grid, features, row = self.grid, self.features, self.row
        column = (plane * grid.num_lines + line) * grid.width + across
        context: list[Hashable] = [what]
        if "density" in features:
            context.append(share(self.mask[row, :column].sum(), column + 1))
        if "neighbours" in features:
            left = across > 0 and self.at(plane, line, across - 1)
            corners = self.at(plane, line - 1, across - 1) + self.at(plane, line - 1, across + 1)
            context.append((bool(left), self.at(plane, line - 1, across), corners))
        if "planes" in features:
            around = [
                self.at(plane - 1, line + down, across + right)
                for down in (-1, 0, 1)
                for right in (-1, 0, 1)
            ]
            own = around.pop(4)
            context.append((own, min(sum(around), 3)))
        if "zones" in features:
            distance = max(abs(line - self.centre[0]), abs(across - self.centre[1]))
            context.append(self.zone(distance))
        if "columns" in features:
            context.append(share(self.mask[:row, column].sum(), row))
        self.decide(tuple(context), bool(self.here[plane, line, across]))

    def at(self, plane: int, line: int, across: int) -> bool:
        """The weight at a place, False outside."""
        planes, lines, width = self.here.shape
        inside = 0 <= plane < planes and 0 <= line < lines and 0 <= across < width
        return bool(inside and self.here[plane, line, across])

    def zone(self, distance: int) -> int | None:
        if "zones" not in self.features or self.grid.centre == NO_CENTRE:
            return None
        return sum(distance > factor * self.grid.radius for factor in (1, 2, 4))


def share(found: int, seen: int) -> int:
    return sum(found * 32 >= edge * seen for edge in (1, 4, 12))


def random_mask(grid: Grid, seed: int) -> Mask:
    """Rows, lines and places that are dead, full or anything between."""
    rng = np.random.default_rng(seed)
    rows, columns = grid.num_rows, grid.num_columns
    shares = rng.choice([0.02, 0.3, 0.9, 1.0], 3)
    lines = rng.random((rows, grid.num_planes * grid.num_lines)) < shares[0]
    mask = np.repeat(lines, grid.width, axis=1)[:, :columns]
    mask &= rng.random((rows, 1)) < shares[1]
    return mask & (rng.random((rows, columns)) < shares[2])


@st.composite
def grids(draw: st.DrawFn) -> Grid:
    if draw(st.booleans()):
        return plain_grid(draw(st.integers(1, 9)), draw(st.integers(1, 100)))
    planes, lines, width = (
        draw(st.integers(1, 3)),
        draw(st.integers(1, 5)),
        draw(st.integers(1, 27)),
    )
    centre = draw(st.sampled_from([NO_CENTRE, FIXED_CENTRE, UNIT_CENTRE]))
    side = draw(st.integers(1, 3)) if centre == UNIT_CENTRE else 1
    return Grid(
        num_rows=side**2 * draw(st.integers(1, 3)),
        num_columns=planes * lines * width,
        num_planes=planes,
        num_lines=lines,
        width=width,
        centre=centre,
        side=side,
        stride=draw(st.integers(1, 2)),
        middle=draw(st.integers(0, 4)),
        radius=draw(st.integers(1, 2)),
    )


@given(grids(), st.integers(0, 63), st.integers(0, 2**32))
def test_length_is_that_of_named_contexts(code_rows, grid: Grid, features: int, seed: int) -> None:
    mask = random_mask(grid, seed)
    coder = ArithmeticCoder()
    code_rows(coder, grid, features, mask)
    expected = NamedContexts(grid, features).code(mask)
    assert coder.information == pytest.approx(expected, abs=1e-6)


@pytest.mark.sample(3)
@pytest.mark.parametrize("features", range(64))
def test_every_scheme_on_one_rich_tensor(code_rows, features: int) -> None:
    """21 wide: chunks; 2 x 2 units of 2 channels; 3 colours."""
    # fmt: off
    grid = Grid(
        num_rows=8, num_columns=3 * 4 * 21, num_planes=3, num_lines=4, width=21,
        centre=UNIT_CENTRE, side=2, stride=2, radius=1,
    )
    # fmt: on
    rng = np.random.default_rng(features)
    mask = rng.random((8, 3, 4, 21)) < rng.choice([0, 0.1, 0.5], (8, 3, 4, 1))
    mask = mask.reshape(8, -1)
    mask[5] = False
    plain, compiled = ArithmeticCoder(compiled=False), ArithmeticCoder()
    code_rows(plain, grid, features, mask)
    code_rows(compiled, grid, features, mask)
    assert plain.finish() == compiled.finish()
    expected = NamedContexts(grid, features).code(mask)
    assert plain.information == pytest.approx(expected, abs=1e-6)
    reader = ArithmeticCoder(plain.finish()[0])
    assert (code_rows(reader, grid, features, None) == mask).all()


def test_plain_python_stays_within_64_bits_over_thousands_of_decisions(code_rows) -> None:
    """It would warn of an overflow, and a warning is an error here."""
    mask = np.random.default_rng(0).random((300, 40)) < 0.3
    plain, compiled = ArithmeticCoder(compiled=False), ArithmeticCoder()
    code_rows(plain, plain_grid(300, 40), 0, mask)
    code_rows(compiled, plain_grid(300, 40), 0, mask)
    assert plain.finish() == compiled.finish()


def test_dead_rows_and_empty_lines_cost_next_to_nothing(code_rows) -> None:
    grid = plain_grid(10_000, 3072)
    mask = np.zeros((10_000, 3072), dtype=bool)
    coder = ArithmeticCoder()
    code_rows(coder, grid, 1, mask)
    assert coder.information < 10
    mask[4321, 17] = True
    coder = ArithmeticCoder()
    code_rows(coder, grid, 1, mask)
    assert coder.information < 2 * math.log2(mask.size)
