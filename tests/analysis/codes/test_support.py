"""Supports both ways: round trips in every scheme, closed forms, and the choice of a scheme."""

import itertools
import math
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import gammaln

from analysis.codes import support
from analysis.codes.arithmetic_coder import ArithmeticCoder, CodecError
from analysis.codes.grid import Grid, plain_grid, shape_grid
from analysis.codes.kernels.support_kernel import (
    COLUMNS,
    DENSITY,
    LINES,
    NEIGHBOURS,
    PLANES,
    UNIT_CENTRE,
    ZONES,
)
from analysis.codes.support import (
    NUM_SCHEMES,
    Scheme,
    candidates,
    choose_scheme,
    code_enumerative,
    code_support,
)
from training.errors import OutOfMemoryError

Mask = NDArray[np.bool_]
SHAPES = st.one_of(
    st.tuples(st.integers(1, 12), st.integers(1, 90)),
    st.tuples(st.integers(1, 5), st.integers(1, 3), st.integers(1, 4), st.integers(1, 20)),
)

IMAGE = NEIGHBOURS | PLANES | ZONES


def kt_bits(zeros: int, ones: int) -> float:
    """-log2 of the Krichevsky-Trofimov probability, by the Γ function."""
    log = gammaln(zeros + 0.5) + gammaln(ones + 0.5) - 2 * gammaln(0.5) - gammaln(zeros + ones + 1)
    return float(-log / math.log(2))


def encode(as_matrix, grid: Grid, mask: Mask, features: int, *, compiled: bool) -> ArithmeticCoder:
    coder = ArithmeticCoder(compiled=compiled)
    with patch.object(support, "choose_scheme", return_value=Scheme(features)):
        code_support(coder, grid, as_matrix(mask))
    return coder


@given(SHAPES, st.integers(0, 63), st.integers(0, 2**32), st.binary(max_size=3))
def test_round_trip(as_matrix, shape, features: int, seed: int, behind: bytes) -> None:
    rng = np.random.default_rng(seed)
    grid = shape_grid(shape)
    mask = rng.random((grid.num_rows, grid.num_columns)) < rng.choice([0, 0.02, 0.2, 0.8, 1])
    mask &= rng.random((grid.num_rows, 1)) < rng.choice([0.2, 1])
    coder = encode(as_matrix, grid, mask, features, compiled=False)
    data, num_bits = coder.finish()
    assert encode(as_matrix, grid, mask, features, compiled=True).finish() == (data, num_bits)
    matrix = as_matrix(mask)
    for compiled in (False, True):
        reader = ArithmeticCoder(data + behind, compiled=compiled)
        starts, columns, scheme = code_support(reader, grid, None)
        assert (starts == matrix.row_starts).all()
        assert (columns == matrix.columns).all()
        assert scheme == Scheme(features)
        assert reader.finish() == (data, num_bits)


@pytest.mark.parametrize("features", [0, 1, 2, 32, 35])
@pytest.mark.parametrize("shape", [(7, 33), (1, 200), (40, 1), (3, 64)])
def test_special_supports(as_matrix, shape: tuple[int, int], features: int) -> None:
    """Empty, full, one nonzero anywhere, one full row, one full column."""
    grid = plain_grid(*shape)
    masks = [np.zeros(shape, bool), np.ones(shape, bool)]
    for row, column in ((0, 0), (shape[0] - 1, shape[1] - 1), (shape[0] // 2, shape[1] // 2)):
        masks += [np.zeros(shape, bool) for _ in range(3)]
        masks[-3][row, column] = masks[-2][row] = masks[-1][:, column] = True
    for mask in masks:
        coder = encode(as_matrix, grid, mask, features, compiled=True)
        starts, columns, _ = code_support(ArithmeticCoder(coder.finish()[0]), grid, None)
        assert (np.diff(starts) == mask.sum(axis=1)).all()
        assert (columns == np.nonzero(mask)[1]).all()


@given(SHAPES, st.floats(0, 1), st.integers(0, 2**32))
def test_one_context_is_the_kt_formula(as_matrix, shape, density: float, seed: int) -> None:
    grid = shape_grid(shape)
    rng = np.random.default_rng(seed)
    mask = rng.random((grid.num_rows, grid.num_columns)) < density
    alive = mask.any(axis=1)
    after_dead = np.concatenate([[False], ~alive[:-1]])
    expected = 6.0
    for group in (alive[after_dead], alive[~after_dead]):
        expected += kt_bits(int((~group).sum()), int(group.sum()))
    expected += kt_bits(int((~mask[alive]).sum()), int(mask[alive].sum()))
    coder = encode(as_matrix, grid, mask, 0, compiled=True)
    assert coder.information == pytest.approx(expected, abs=1e-6)
    assert expected - 1e-6 <= coder.num_bits <= expected + 2


def test_the_scheme_of_the_fewest_bits_is_taken(as_matrix) -> None:
    rng = np.random.default_rng(1)
    for shape in ((6, 3, 5, 5), (9, 70)):
        grid = shape_grid(shape)
        matrix = as_matrix(rng.random((grid.num_rows, grid.num_columns)) < 0.2)
        costs = {}
        for scheme in candidates(grid):
            coder = ArithmeticCoder()
            with patch.object(support, "choose_scheme", return_value=scheme):
                code_support(coder, grid, matrix)
            costs[scheme] = coder.information
        assert costs[choose_scheme(grid, matrix, ArithmeticCoder())] == min(costs.values())


def test_a_large_tensors_scheme_is_chosen_by_a_sample(as_matrix) -> None:
    grid = plain_grid(3000, 1024)
    mask = np.zeros((3000, 1024), dtype=bool)
    mask[:, ::50] = True  # the same columns everywhere
    assert "columns" in str(choose_scheme(grid, as_matrix(mask), ArithmeticCoder()))


@given(st.integers(1, 400), st.floats(0, 1), st.integers(0, 2**32), st.booleans())
def test_enumerative(num_positions: int, density: float, seed: int, compiled: bool) -> None:
    mask = np.random.default_rng(seed).random(num_positions) < density
    places = np.flatnonzero(mask)
    coder = ArithmeticCoder(compiled=compiled)
    code_enumerative(coder, num_positions, places)
    ideal = math.log2(math.comb(num_positions, len(places))) + math.log2(num_positions + 1)
    data, num_bits = coder.finish()
    assert coder.information == pytest.approx(ideal, abs=1e-6)
    assert ideal - 1e-6 <= num_bits <= ideal + 2
    reader = ArithmeticCoder(data + b"\xa5", compiled=not compiled)
    assert (code_enumerative(reader, num_positions, None) == places).all()
    assert reader.finish() == (data, num_bits)


def test_enumerative_codewords_are_prefix_free(bit_string) -> None:
    words = []
    for mask in itertools.product((0, 1), repeat=8):
        coder = ArithmeticCoder(compiled=False)
        code_enumerative(coder, 8, np.flatnonzero(mask))
        words.append(bit_string(*coder.finish()))
    words.sort()
    assert all(not after.startswith(word) for word, after in itertools.pairwise(words))


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("features", [0, 1, 63])
def test_data_that_end_too_early_are_noticed(as_matrix, features: int, compiled: bool) -> None:
    grid = plain_grid(50, 40)
    mask = np.random.default_rng(0).random((50, 40)) < 0.5
    data, _ = encode(as_matrix, grid, mask, features, compiled=True).finish()
    for kept in (0, 1, 20, len(data) - 1):
        reader = ArithmeticCoder(data[:kept], compiled=compiled)
        with pytest.raises(CodecError, match="cut short"):
            code_support(reader, grid, None)
            reader.finish()


def test_memory_is_refused_before_it_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.system.memory.available_memory", lambda: 1 << 24)
    with pytest.raises(OutOfMemoryError, match="is available"):
        code_support(ArithmeticCoder(bytes(50)), plain_grid(1, 1 << 30), None)
    with pytest.raises(OutOfMemoryError, match="is available"):
        code_support(ArithmeticCoder(bytes(50)), shape_grid((1, 1, 1 << 20, 1)), None)
    with pytest.raises(OutOfMemoryError, match="is available"):
        code_support(ArithmeticCoder(bytes(50)), plain_grid(1 << 10, 1 << 12), None)
    with pytest.raises(OutOfMemoryError, match="is available"):
        code_enumerative(ArithmeticCoder(b"\xff\xff" + bytes(50)), 1 << 30, None)


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
