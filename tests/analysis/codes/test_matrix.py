"""Bit patterns of every format against layouts and numpy; sparse matrices against scipy's."""

import math

import numpy as np
import pytest
import scipy.sparse
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from analysis.codes import matrix
from analysis.codes.arithmetic_coder import CodecError
from analysis.codes.matrix import check_memory, make_values, read_patterns, to_matrix, to_tensor
from analysis.quantize.formats import FORMATS, find_format
from tests.examples import examples
from training.errors import OutOfMemoryError

# name: (exponent bits, fraction bits, bias, has infinities)
LAYOUTS = {
    "float32": (8, 23, 127, True),
    "bfloat16": (8, 7, 127, True),
    "float16": (5, 10, 15, True),
    "e4m3fn": (4, 3, 7, False),
    "e5m2": (5, 2, 15, True),
}


def number_of(pattern: int, name: str) -> float:
    """What a pattern stands for, from the format's layout alone."""
    exponent_bits, fraction_bits, bias, has_infinities = LAYOUTS[name]
    fraction = pattern & ((1 << fraction_bits) - 1)
    exponent = pattern >> fraction_bits & ((1 << exponent_bits) - 1)
    sign = -1.0 if pattern >> (exponent_bits + fraction_bits) else 1.0
    if exponent == (1 << exponent_bits) - 1:
        if has_infinities:
            return sign * math.inf if fraction == 0 else math.nan
        if fraction == (1 << fraction_bits) - 1:
            return math.nan
    lead, power = (1, exponent - bias) if exponent else (0, 1 - bias)
    return sign * math.ldexp(lead + fraction / 2**fraction_bits, power)


def patterns_of(name: str) -> NDArray[np.int64]:
    """All patterns of a format, or very many and the outermost of float32."""
    bits = FORMATS[name].bits_per_weight
    if bits <= 16:
        return np.arange(1 << bits, dtype=np.int64)
    rng = np.random.default_rng(0)
    edges = [exponent << 23 | low for exponent in range(512) for low in (0, 1, (1 << 23) - 1)]
    return np.unique(np.concatenate([rng.integers(0, 1 << bits, 20_000), edges]))


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_pattern(name: str) -> None:
    number_format = FORMATS[name]
    patterns = patterns_of(name)
    numbers = np.array([number_of(int(pattern), name) for pattern in patterns])
    negative_zero = (numbers == 0) & np.signbit(numbers)
    good = np.isfinite(numbers) & ~negative_zero
    values = make_values(patterns[good], number_format)
    assert values.dtype == torch.float32
    assert (values.double().numpy() == numbers[good]).all()
    assert (read_patterns(values, number_format) == patterns[good]).all()
    assert negative_zero.sum() == 1
    for pattern in patterns[~good][:: max(1, (~good).sum() // 50)]:
        with pytest.raises(CodecError, match="damaged: a n"):
            make_values(np.array([0, pattern]), number_format)


@pytest.mark.parametrize("name", FORMATS)
def test_minus_zero_is_zero(name: str) -> None:
    values = torch.tensor([-0.0, 1.0, 0.0, -1.0])
    patterns = read_patterns(values, FORMATS[name])
    assert (patterns == 0).tolist() == [True, False, True, False]
    matrix = to_matrix(values, FORMATS[name], 2)
    assert matrix.columns.tolist() == [1, 1]
    assert not torch.signbit(to_tensor(matrix, FORMATS[name], (4,))[0])
    with pytest.raises(CodecError, match="negative zero"):
        make_values(np.array([1 << (FORMATS[name].bits_per_weight - 1)]), FORMATS[name])


@pytest.mark.parametrize("bad", [math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("name", FORMATS)
def test_refuses_what_is_not_finite(name: str, bad: float) -> None:
    with pytest.raises(ValueError, match=f"finite numbers of {name}"):
        read_patterns(torch.tensor([1.0, bad]), FORMATS[name])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("e4m3fn", 0.3),
        ("e4m3fn", 449.0),
        ("e4m3fn", 2.0**-10),
        ("e5m2", 1.125),
        ("float16", 65_520.0),
        ("float16", 2.0**-25),
        ("bfloat16", 1 + 2.0**-8),
    ],
)
def test_refuses_numbers_between_those_of_the_format(name: str, value: float) -> None:
    with pytest.raises(ValueError, match="round them first"):
        read_patterns(torch.tensor([0.0, value]), FORMATS[name])


def test_float64_numbers_that_float32_has_not_are_refused() -> None:
    with pytest.raises(ValueError, match="numbers of float32"):
        read_patterns(torch.tensor([0.1], dtype=torch.float64), FORMATS["float32"])
    assert read_patterns(torch.tensor([0.5], dtype=torch.float64), FORMATS["float32"]) == [
        126 << 23
    ]


@pytest.mark.parametrize("pattern", [-1, 256])
def test_refuses_patterns_of_too_many_bits(pattern: int) -> None:
    with pytest.raises(CodecError, match="more than 8 bits"):
        make_values(np.array([pattern]), FORMATS["e4m3fn"])


@given(
    st.integers(1, 8),
    st.integers(1, 40),
    st.floats(0, 1),
    st.sampled_from(list(FORMATS)),
    st.integers(0, 2**32),
)
@examples(0.5)
def test_matrices_are_scipys(
    num_rows: int, num_columns: int, density: float, name: str, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    dense = rng.normal(size=(num_rows, num_columns)) * (
        rng.random((num_rows, num_columns)) < density
    )
    tensor = FORMATS[name].round(torch.from_numpy(dense))
    matrix = to_matrix(tensor, FORMATS[name], num_rows)
    theirs = scipy.sparse.csr_matrix(tensor.numpy())
    assert (matrix.row_starts == theirs.indptr).all()
    assert (matrix.columns == theirs.indices).all()
    assert matrix.num_nonzeros == theirs.nnz
    assert matrix.is_full == (theirs.nnz == dense.size)
    assert torch.equal(to_tensor(matrix, FORMATS[name], tuple(tensor.shape)), tensor)
    rows = rng.integers(0, num_rows, rng.integers(0, 6))
    some = matrix.select_rows(rows)
    picked = tensor[torch.from_numpy(rows)]
    assert some.num_rows == len(rows)
    assert torch.equal(to_tensor(some, FORMATS[name], tuple(picked.shape)), picked)


def test_large_tensors_are_read_piece_by_piece() -> None:
    number_format = find_format(name="e4m3fn")
    tensor = torch.zeros(3, (1 << 23) // 2 + 5)
    tensor[0, 7], tensor[2, -1], tensor[1, 3] = 1.0, -2.0, 448.0
    matrix = to_matrix(tensor, number_format, 3)
    assert matrix.row_starts.tolist() == [0, 1, 2, 3]
    assert matrix.columns.tolist() == [7, 3, tensor.shape[1] - 1]
    assert matrix.patterns.tolist() == [0x38, 0x7E, 0xC0]


def test_refuses_more_than_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.system.memory.available_memory", lambda: 2_000_000_000)
    check_memory(2_000_000_000)
    with pytest.raises(OutOfMemoryError, match=r"needs about 3\.5 GB of memory, and 2\.0 GB is"):
        check_memory(3_500_000_000)


@given(st.data())
def test_chunks_of_nonzeros_are_put_where_the_whole_would_be(data: st.DataObject) -> None:
    rows, columns = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 9))
    numbers = data.draw(st.lists(st.sampled_from([0.0, 0.0, 1.0, -2.0]), min_size=rows * columns))
    tensor = torch.tensor(numbers[: rows * columns]).view(rows, columns)
    found = to_matrix(tensor, FORMATS["e4m3fn"], rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(matrix, "_CHUNK", data.draw(st.integers(1, 7)))
        assert torch.equal(to_tensor(found, FORMATS["e4m3fn"], (rows, columns)), tensor)
