"""The head: its length by the δ formula, and the round trip of everything that it can say."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.codes import CODES
from analysis.codes.arithmetic_coder import ArithmeticCoder, CodecError
from analysis.codes.header import Header, code_header, round_normalization
from analysis.codes.message import TensorListSpec
from analysis.quantize.formats import FORMATS
from tests.examples import examples
from training.data.input_map import InputMap
from training.spec.architectures import NETWORKS, NetworkSpec
from training.spec.normalization import Normalization, fixed_normalization

NUMBERS = st.one_of(st.integers(1, 300), st.integers(1, 10**12))


def delta_length(value: int) -> int:
    length = value.bit_length()
    return length - 1 + 2 * (length.bit_length() - 1) + 1


@st.composite
def network_specs(draw: st.DrawFn) -> NetworkSpec:
    name = draw(st.sampled_from(NETWORKS))
    fields = {"hidden_units" if name == "3-fc" else "base_channels": draw(NUMBERS)}
    if name == "resnet18":
        fields["kernel_size"] = 2 * draw(st.integers(0, 50)) + 1
    return NetworkSpec(
        name=name,
        image_size=draw(NUMBERS),
        num_classes=1 + draw(NUMBERS),
        in_channels=draw(st.integers(1, 20)),
        **fields,
    )


def make(spec, **fields) -> Header:
    values = {"spec": spec, "number_format": FORMATS["bfloat16"], "code": "context", "inputs": None}
    if isinstance(spec, NetworkSpec):
        values["inputs"] = InputMap(fixed_normalization(spec.in_channels))
    return Header(**{**values, **fields})


def permuted(spec: NetworkSpec, seed: int | None) -> InputMap:
    return InputMap(fixed_normalization(spec.in_channels), seed)


def written(header: Header) -> tuple[bytes, int]:
    coder = ArithmeticCoder(compiled=False)
    assert code_header(coder, header) == header
    return coder.finish()


def read(data: bytes) -> Header:
    return code_header(ArithmeticCoder(data, compiled=False), None)


@given(
    network_specs(),
    st.sampled_from(list(FORMATS)),
    st.sampled_from(CODES),
    st.one_of(st.none(), st.integers(0, 2**63)),
    st.binary(max_size=4),
)
def test_networks(spec: NetworkSpec, name: str, code: str, seed: int | None, behind: bytes) -> None:
    header = make(spec, number_format=FORMATS[name], code=code, inputs=permuted(spec, seed))
    data, num_bits = written(header)
    assert read(data + behind) == header
    width = spec.hidden_units if spec.name == "3-fc" else spec.base_channels
    fields = [spec.image_size, spec.num_classes, spec.in_channels, width]
    fields += [spec.kernel_size] if spec.name == "resnet18" else []
    choices = [list(FORMATS).index(name) + 1, CODES.index(code) + 1, NETWORKS.index(spec.name) + 2]
    numbers = [1, *choices, *fields, *([] if seed is None else [seed + 1])]
    assert num_bits == sum(map(delta_length, numbers)) + 2  # two flags


@pytest.mark.parametrize("seed", [None, 0, 1, 12345, 2**64, 2**127 - 2])
def test_permutation_seeds(seed: int | None) -> None:
    spec = NetworkSpec(name="s-fc", image_size=8, num_classes=2, base_channels=1)
    header = make(spec, inputs=permuted(spec, seed))
    assert read(written(header)[0]).inputs == permuted(spec, seed)


FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)


@given(st.lists(st.tuples(FLOATS, FLOATS.filter(lambda x: x > 0)), min_size=1, max_size=5))
@examples(0.5)
def test_constants_from_data_take_32_bits_each(constants: list[tuple[float, float]]) -> None:
    mean, std = zip(*constants, strict=True)
    spec = NetworkSpec(
        name="s-fc", image_size=8, num_classes=2, base_channels=1, in_channels=len(mean)
    )
    own = Normalization(mean=mean, std=std, source="data")
    assert round_normalization(own) == own
    data, num_bits = written(make(spec, inputs=InputMap(own)))
    assert read(data).inputs == InputMap(own)
    assert num_bits == written(make(spec))[1] + 64 * len(mean)


def test_constants_are_rounded_to_float32() -> None:
    own = Normalization(mean=(0.1, 1 / 3), std=(0.2, math.pi), source="data")
    rounded = round_normalization(own)
    assert rounded.mean == tuple(float(np.float32(x)) for x in own.mean) != own.mean
    assert rounded.std == tuple(float(np.float32(x)) for x in own.std)


def test_fixed_constants_are_free_wherever_they_came_from() -> None:
    same = Normalization(mean=(0.5, 0.5), std=(0.25, 0.25), source="data")
    assert round_normalization(same) == fixed_normalization(2)


NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
SHAPES = st.lists(st.integers(1, 10**10), max_size=6).map(tuple)


@given(st.dictionaries(NAMES, SHAPES, min_size=1, max_size=6), st.binary(max_size=4))
def test_lists_of_tensors(shapes: dict[str, tuple[int, ...]], behind: bytes) -> None:
    header = make(TensorListSpec(tuple(shapes.items())))
    data, num_bits = written(header)
    assert read(data + behind) == header
    expected = sum(map(delta_length, (1, 2, 4, 1, len(shapes))))
    for name, shape in shapes.items():
        text = name.encode()
        expected += delta_length(len(text) + 1) + 8 * len(text)
        expected += delta_length(len(shape) + 1) + sum(map(delta_length, shape))
    assert num_bits == expected


@pytest.mark.parametrize("name", ["", "слой.вес", "層/重み", "🦊" * 1000, "\0\n", "x" * 4095])
def test_names_in_any_script(name: str) -> None:
    header = make(TensorListSpec(((name, ()), ("other", (2, 3)))))
    assert read(written(header)[0]) == header


def test_a_name_too_long_is_refused() -> None:
    with pytest.raises(ValueError, match="4097 bytes of a name are more than 4096"):
        written(make(TensorListSpec((("x" * 4096, (1,)),))))


def forge(*numbers: int, behind: bytes = bytes(40)) -> bytes:
    coder = ArithmeticCoder()
    for number in numbers:
        coder.integer(number)
    return coder.finish()[0] + behind


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ((3,), "format version 3; this mdl reads versions up to 2"),
        ((2**100,), "format version"),
        ((1, 6), "a choice that is none of float32"),
        ((1, 1, 7), "a choice that is none of plain"),
        ((1, 1, 1, len(NETWORKS) + 2), "newer mdl"),
        ((1, 1, 1, 2, 5, 1, 3, 3), "num_classes must be"),
        ((1, 1, 1, 9, 5, 2, 3, 3, 4), "kernel_size must be odd"),
        ((1, 1, 1, 2, 5, 2, 10**12, 3), "input channels"),
        ((1, 1, 1, 1, 2**20 + 1), "1048577 tensors are more"),
        ((1, 1, 1, 1, 2**100), "tensors are more"),
        ((1, 1, 1, 1, 1, 2**30), "bytes of a name are more"),
        ((1, 1, 1, 1, 1, 1, 18), "dimensions are more than 16"),
        ((1, 1, 1, 1, 2, 1, 1, 1, 1), "each tensor once"),
    ],
)
def test_refuses_heads_that_no_encoder_writes(numbers: tuple[int, ...], message: str) -> None:
    # Behind the numbers come ones: flags are set, and fields are large.
    filler = b"\xff" * 40 if "channels" not in message else bytes(40)
    with pytest.raises(CodecError, match=message):
        read(forge(*numbers, behind=filler))


def test_refuses_names_that_are_not_utf_8() -> None:
    coder = ArithmeticCoder()
    for number in (1, 1, 1, 1, 1, 2):
        coder.integer(number)
    coder.uniform(0xFF, 256)
    coder.integer(1)
    with pytest.raises(CodecError, match=r"damaged: .*utf-8"):
        read(coder.finish()[0])


@pytest.mark.parametrize("number", [math.inf, math.nan])
def test_refuses_constants_that_are_no_numbers(number: float) -> None:
    coder = ArithmeticCoder()
    for field in (1, 1, 1, 2, 5, 2, 1, 1):
        coder.integer(field)
    coder.uniform(1, 2)
    coder.bits(int(np.float32(number).view(np.uint32)), 32)
    with pytest.raises(CodecError, match="not a number"):
        read(coder.finish()[0] + bytes(20))


def test_refuses_a_deviation_of_zero() -> None:
    coder = ArithmeticCoder()
    for field in (1, 1, 1, 2, 5, 2, 1, 1):
        coder.integer(field)
    coder.uniform(1, 2)
    coder.bits(0, 64)
    with pytest.raises(CodecError, match="std must be > 0"):
        read(coder.finish()[0] + bytes(20))
