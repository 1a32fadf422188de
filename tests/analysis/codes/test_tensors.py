"""Tensors one after another: round trips of anything sparse, and the forms that vectors take."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from analysis.codes.arithmetic_coder import ArithmeticCoder, CodecError
from analysis.codes.grid import plain_grid, shape_grid
from analysis.codes.matrix import to_tensor
from analysis.codes.tensors import TensorCoder
from analysis.codes.values import ValueCoder
from analysis.quantize.formats import FORMATS, NumberFormat
from training.errors import OutOfMemoryError

SHAPES = st.one_of(
    st.tuples(st.integers(1, 20)),
    st.tuples(st.integers(1, 12), st.integers(1, 80)),
    st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(1, 5), st.integers(1, 19)),
)


def code(
    coder: ArithmeticCoder, number_format: NumberFormat, shapes, tensors: list[Tensor] | None
) -> tuple[list[Tensor], dict[str, float]]:
    """All tensors, written or read, and the bits of each kind of part."""
    writer, found, bits = TensorCoder(coder, number_format), [], {}

    def record(part: str, num_bits: float) -> None:
        bits[part] = bits.get(part, 0) + num_bits

    for index, shape in enumerate(shapes):
        own = None if tensors is None else tensors[index]
        if len(shape) == 1:
            found.append(writer.code_vector(shape[0], own, record))
        else:
            matrix = writer.code_weights(shape_grid(shape), own, record)
            found.append(to_tensor(matrix, number_format, shape))
    return found, bits


def random_tensor(shape: tuple[int, ...], number_format: NumberFormat, seed: int) -> Tensor:
    rng = np.random.default_rng(seed)
    values = rng.choice([rng.normal(size=shape), rng.integers(-2, 3, shape), np.ones(shape)])
    values = np.where(rng.random(shape) < rng.choice([0.05, 0.5, 1]), values, 0)
    if len(shape) > 1:
        dead = rng.random((shape[0],) + (1,) * (len(shape) - 1)) < rng.choice([0, 0.5, 1])
        values = np.where(dead, 0, values)
    elif rng.random() < 0.5:
        values = np.sort(np.abs(values))
    return number_format.round(torch.from_numpy(values))


@given(
    st.lists(SHAPES, min_size=1, max_size=4),
    st.sampled_from(list(FORMATS)),
    st.integers(0, 2**31),
    st.booleans(),
)
def test_round_trip(shapes, name: str, seed: int, compiled: bool) -> None:
    number_format = FORMATS[name]
    tensors = [
        random_tensor(shape, number_format, seed + index) for index, shape in enumerate(shapes)
    ]
    coder = ArithmeticCoder(compiled=compiled)
    _, bits = code(coder, number_format, shapes, tensors)
    assert sum(bits.values()) == pytest.approx(coder.information, abs=1e-6)
    data, num_bits = coder.finish()
    reader = ArithmeticCoder(data + b"\x01\xfe", compiled=not compiled)
    found, read_bits = code(reader, number_format, shapes, None)
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(found, tensors, strict=True))
    assert read_bits == bits
    assert reader.finish() == (data, num_bits)


def vector_part(values: list[float], name: str = "e4m3fn") -> tuple[str, float]:
    coder = ArithmeticCoder()
    tensor = torch.tensor(values)
    found, bits = code(coder, FORMATS[name], [tensor.shape], [tensor])
    assert torch.equal(found[0], tensor)
    (read,), _ = code(ArithmeticCoder(coder.finish()[0]), FORMATS[name], [tensor.shape], None)
    assert torch.equal(read, tensor)
    return next(iter(bits)), coder.information


@pytest.mark.parametrize("name", FORMATS)
def test_a_constant_vector_takes_one_value(name: str) -> None:
    for value in (0.0, 1.0, -2.0):
        part, bits = vector_part([value] * 50, name)
        assert part == "one value"
        assert bits == pytest.approx(FORMATS[name].bits_per_weight + math.log2(3))


def test_an_ascending_vector_wins_back_the_bits_of_its_order() -> None:
    rng = np.random.default_rng(0)
    numbers = FORMATS["e4m3fn"].round(torch.from_numpy(rng.gamma(2, size=64)))
    part, ascending = vector_part(numbers.sort().values.tolist())
    assert part == "values, in the order of units"
    part, shuffled = vector_part(numbers.tolist())
    assert part == "kind"
    _, counts = numbers.unique(return_counts=True)
    order = math.lgamma(65) - sum(math.lgamma(int(count) + 1) for count in counts)
    assert shuffled - ascending > 0.8 * order / math.log(2)


def test_vectors_in_order_may_use_a_codebook_that_is_there() -> None:
    """Two values that the weights before have: cheaper in order than as a multiset."""
    coder = ArithmeticCoder()
    weights = torch.tensor([[1.0, -1.0, 1.0, 1.0]] * 5)
    vector = torch.tensor([1.0, -1.0] * 8)
    shapes = [(5, 4), (16,)]
    code(coder, FORMATS["float32"], shapes, [weights, vector])
    found, _ = code(ArithmeticCoder(coder.finish()[0]), FORMATS["float32"], shapes, None)
    assert torch.equal(found[1], vector)


@pytest.mark.parametrize(
    ("values", "part", "most"),
    [(torch.zeros(7, 9), "support: all zeros", 1.6), (torch.ones(7, 9), "support: no zeros", 1.6)],
)
def test_empty_and_full_tensors_have_a_support_of_one_word(
    values: Tensor, part: str, most: float
) -> None:
    coder = ArithmeticCoder()
    _, bits = code(coder, FORMATS["e4m3fn"], [(7, 9)], [values])
    assert bits[part] < most


def test_one_nonzero_among_many() -> None:
    tensor = torch.zeros(300, 1000)
    tensor[123, 456] = -448.0
    coder = ArithmeticCoder()
    code(coder, FORMATS["e4m3fn"], [(300, 1000)], [tensor])
    (found,), _ = code(ArithmeticCoder(coder.finish()[0]), FORMATS["e4m3fn"], [(300, 1000)], None)
    assert torch.equal(found, tensor)
    assert coder.information < 60


def test_a_nonzero_whose_value_is_zero_is_refused() -> None:
    coder = ArithmeticCoder()
    grid = plain_grid(2, 2)
    coder.uniform(2, 3)  # no zeros
    starts, columns = np.array([0, 2, 4]), np.array([0, 1, 0, 1])
    ValueCoder(coder, FORMATS["e4m3fn"]).code((grid, starts, columns), np.array([1, 0, 1, 2]))
    reader = ArithmeticCoder(coder.finish()[0])
    with pytest.raises(CodecError, match="whose value is zero"):
        TensorCoder(reader, FORMATS["e4m3fn"]).code_weights(grid, None, lambda part, bits: None)


def test_tensors_too_large_for_memory_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.system.memory.available_memory", lambda: 1 << 20)
    for kind in range(3):
        coder = ArithmeticCoder()
        coder.uniform(kind, 3)
        data = coder.finish()[0] + bytes(40)
        for shape in ((1 << 20, 1), (1 << 20,)):
            with pytest.raises(OutOfMemoryError, match="is available"):
                code(ArithmeticCoder(data), FORMATS["e4m3fn"], [shape], None)
    with pytest.raises(OutOfMemoryError, match="is available"):  # no zeros: `kind` is the last one
        code(ArithmeticCoder(data), FORMATS["e4m3fn"], [(1 << 10, 1 << 10)], None)
