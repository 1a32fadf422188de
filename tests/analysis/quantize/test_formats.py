"""Rounding against the definition of each format: the nearest member of an enumerated set."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from analysis.quantize.formats import FORMATS, find_format, quantize_network, quantize_tensors
from training.networks.models import build_model, fold_batch_norm

# name: (exponent bits, fraction bits, bias, largest finite number)
LAYOUTS = {
    "bfloat16": (8, 7, 127, (2 - 2**-7) * 2.0**127),
    "float16": (5, 10, 15, 65504.0),
    "e4m3fn": (4, 3, 7, 448.0),
    "e5m2": (5, 2, 15, 57344.0),
}


def members(name: str) -> list[float]:
    """All non-negative numbers of the format, from its layout, in order of their patterns."""
    exponent_bits, fraction_bits, bias, largest = LAYOUTS[name]
    numbers = []
    for exponent in range(2**exponent_bits):
        for fraction in range(2**fraction_bits):
            lead, power = (1, exponent - bias) if exponent else (0, 1 - bias)
            number = math.ldexp(lead + fraction / 2**fraction_bits, power)
            if number <= largest:
                numbers.append(number)
    return numbers


@pytest.mark.parametrize("name", LAYOUTS)
def test_rounds_to_the_nearest_member_ties_to_even(name: str) -> None:
    numbers = members(name)
    below = torch.tensor(numbers[:-1], dtype=torch.float64)
    above = torch.tensor(numbers[1:], dtype=torch.float64)
    middle = (below + above) / 2
    assert (middle.to(torch.float32).double() == middle).all()  # ties are exact in float32
    index = torch.arange(len(below))
    even = torch.where(index % 2 == 0, below, above)  # patterns count up, so evenness alternates
    number_format = FORMATS[name]
    for sign in (1, -1):
        for value, expected in (
            (below, below),
            (middle, even),
            (torch.nextafter(middle.float(), torch.tensor(-torch.inf)).double(), below),
            (torch.nextafter(middle.float(), torch.tensor(torch.inf)).double(), above),
        ):
            rounded = number_format.round((sign * value).float())
            assert (rounded.double() == sign * expected).all()
            assert not torch.signbit(rounded[rounded == 0]).any()


@pytest.mark.parametrize("name", LAYOUTS)
def test_saturates_at_the_largest_number(name: str) -> None:
    number_format, largest = FORMATS[name], LAYOUTS[name][3]
    assert number_format.largest == largest
    huge = torch.tensor([3.4e38, -3.4e38, largest, 3e38])
    rounded = number_format.round(huge)
    expected = torch.tensor([largest, -largest, largest, min(largest, rounded[3].item())])
    assert torch.isfinite(rounded).all()
    assert (rounded[:3] == expected[:3]).all()


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1))
def test_idempotent_and_exact_codes(values: list[float]) -> None:
    tensor = torch.tensor(values, dtype=torch.float32)
    for number_format in FORMATS.values():
        rounded = number_format.round(tensor)
        assert torch.equal(number_format.round(rounded), rounded)
        codes = number_format.codes(rounded)
        assert codes.element_size() * 8 == number_format.bits_per_weight
        assert torch.equal(codes.view(number_format.dtype).to(torch.float32), rounded)
        assert (number_format.codes(rounded[rounded == 0]) == 0).all()


def test_float32_keeps_every_value() -> None:
    tensor = torch.tensor([1e-45, -0.1, 3.4e38, -0.0])
    assert torch.equal(FORMATS["float32"].round(tensor), tensor)


def test_large_tensors_are_rounded_piece_by_piece() -> None:
    tensor = torch.linspace(-3, 3, 2_500_001, dtype=torch.float64).view(1, -1).expand(2, -1).t()
    rounded = quantize_tensors({"w": tensor}, FORMATS["bfloat16"])["w"]
    assert rounded.shape == tensor.shape
    assert torch.equal(rounded, tensor.float().bfloat16().float())


def test_network_is_folded_and_exactly_what_is_evaluated() -> None:
    torch.manual_seed(0)
    network = build_model("s-conv", base_channels=2, image_size=8, num_classes=3)
    folded = fold_batch_norm(network)
    original = {name: tensor.clone() for name, tensor in folded.state_dict().items()}
    number_format = find_format(8)
    quantised = quantize_network(folded, number_format)
    assert quantised.folded
    assert not quantised.training
    images = torch.randn(4, 3, 8, 8)
    for name, tensor in quantised.state_dict().items():
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, number_format.round(original[name]))
        assert torch.equal(folded.state_dict()[name], original[name])  # the source stays
    by_hand = fold_batch_norm(network)
    by_hand.load_state_dict({n: number_format.round(t) for n, t in original.items()})
    assert torch.equal(quantised(images), by_hand.eval()(images))


def test_refusals() -> None:
    network = build_model("s-conv", base_channels=1, image_size=8, num_classes=3)
    with pytest.raises(ValueError, match="network must be folded"):
        quantize_network(network, find_format(16))
    folded = fold_batch_norm(network)
    with torch.no_grad():
        folded.get_parameter("conv1.weight")[0, 0, 0, 0] = math.nan
    with pytest.raises(ValueError, match=r"conv1\.weight: values to quantise must be finite"):
        quantize_network(folded, find_format(16))
    with pytest.raises(ValueError, match=r"steps must hold floating-point"):
        quantize_tensors({"steps": torch.tensor([1])}, find_format(16))


@pytest.mark.parametrize(
    ("bits", "name", "rule"),
    [
        (4, None, "bits must be one of 8, 16, 32, not 4"),
        (None, "fp4", "format must be one of float32, bfloat16"),
        (16, "e5m2", "format e5m2 has 8 bits, not 16; formats of 16 bits: bfloat16, float16"),
    ],
)
def test_formats_are_named_in_refusals(bits: int | None, name: str | None, rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        find_format(bits, name)
