"""The stated evaluation against the same rules in integers and rational arithmetic."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from analysis.certify import exact_evaluation
from analysis.certify.exact_evaluation import (
    exact_arithmetic,
    exact_mean,
    exact_network,
    image_bytes,
)
from analysis.certify.exact_numbers import round_to_bits, round_weights
from training.networks.models import Network, build_network, network_from_state
from training.spec.architectures import NETWORKS, LayerSpec, NetworkSpec


def small_spec(name: str, image_size: int = 5) -> NetworkSpec:
    width = {"hidden_units": 5} if name == "3-fc" else {"base_channels": 1}
    return NetworkSpec(name=name, image_size=image_size, num_classes=3, in_channels=2, **width)


def random_network(spec: NetworkSpec, seed: int, spread: float = 1.0) -> Network:
    """Folded, with values whose exponents spread; some are zero."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, tensor in build_network(spec, folded=True).state_dict().items():
        values = torch.randn(tensor.shape, generator=generator)
        values *= torch.exp2(spread * torch.randn(tensor.shape, generator=generator))
        values[torch.rand(tensor.shape, generator=generator) < 0.3] = 0
        state[name] = values
    return network_from_state(spec, state).eval()


# --- the reference: one image, Python's integers and fractions, loops ---


def exponent_above(values: list[float]) -> int:
    return math.frexp(max(map(abs, values)))[1]


def round_half_even(value: float, unit: Fraction) -> Fraction:
    return round(Fraction(value) / unit) * unit


def round_values(values: np.ndarray, total: int) -> np.ndarray:
    log_total = 0
    while 2**log_total < total:
        log_total += 1
    flat = values.ravel().tolist()
    unit = Fraction(2) ** (max(-400, exponent_above(flat)) - min(50, 53 - log_total))
    return np.array([round_half_even(v, unit) for v in flat], dtype=object).reshape(values.shape)


def turn(plane: np.ndarray, element: int) -> np.ndarray:
    """A symmetry of the square: r + 4f mirrors if f = 1, then turns r times."""
    return np.rot90(plane[..., ::-1] if element >= 4 else plane, element % 4, (-2, -1))


def turned_kernel(layer: LayerSpec, weight: np.ndarray, channel: int) -> np.ndarray:
    """The kernel of an output channel; input channels are found by what turning does to a plane."""
    kernel, element = weight[channel // layer.symmetries], channel % layer.symmetries
    if layer.depthwise:
        own = turn(kernel[0], element)
        return np.stack([own * (plane == channel) for plane in range(layer.in_channels)])
    probe = np.arange(9).reshape(3, 3)
    planes = []
    for plane in range(layer.in_channels):
        group, wanted = divmod(plane, layer.input_symmetries)
        source = plane
        if layer.input_symmetries > 1:
            source = layer.input_symmetries * group + next(
                other
                for other in range(layer.input_symmetries)
                if (turn(turn(probe, other), element) == turn(probe, wanted)).all()
            )
        planes.append(turn(kernel[source], element))
    return np.stack(planes)


def unit_weights(layer: LayerSpec, weight: np.ndarray, channel: int, row: int, col: int):
    """One unit's weights by (input channel, row, column), or None for a weight on padding."""
    if layer.kind == "dense" or layer.kernel is None:
        size = layer.in_size
        for index, value in enumerate(
            weight[(channel * layer.out_size + row) * layer.out_size + col]
        ):
            yield (index // size**2, index // size % size, index % size), value
        return
    kernel, position = layer.kernel, row * layer.out_size + col
    if layer.symmetries > 1:
        own = turned_kernel(layer, weight, channel)
    else:
        own = weight[channel] if layer.kind == "conv" else weight[position, channel]
    for index, value in enumerate(own.ravel()):
        place = (
            index // kernel**2,
            row * layer.stride + index // kernel % kernel - layer.padding,
            col * layer.stride + index % kernel - layer.padding,
        )
        if layer.edge_padding:
            place = (place[0], *(min(max(p, 0), layer.in_size - 1) for p in place[1:]))
        inside = all(0 <= p < layer.in_size for p in place[1:])
        yield (place if inside else None), value


def reference_layer(layer: LayerSpec, state: dict, values: np.ndarray) -> np.ndarray:
    values = values.reshape(layer.in_channels, layer.in_size, layer.in_size)
    weight = state[f"{layer.name}.weight"].double().numpy()
    units = {}
    for channel, row, col in np.ndindex(layer.out_channels, layer.out_size, layer.out_size):
        pairs = list(unit_weights(layer, weight, channel, row, col))
        unit = Fraction(2) ** (exponent_above([value for _, value in pairs]) - 20)
        units[channel, row, col] = [
            (place, round_half_even(value, unit), unit) for place, value in pairs
        ]
    total = max(sum(abs(w / unit) for _, w, unit in pairs) for pairs in units.values())
    rounded = round_values(values, int(total))
    out = np.zeros((layer.out_channels, layer.out_size, layer.out_size))
    for place, pairs in units.items():
        exact = sum((w * rounded[p] for p, w, _ in pairs if p is not None), start=Fraction(0))
        out[place] = float(exact)
        assert Fraction(out[place]) == exact  # a float64 holds every sum
    if f"{layer.name}.bias" in state:
        return out + state[f"{layer.name}.bias"].double().numpy()[:, None, None]
    scale, shift = (
        state[f"{layer.name}_norm.{field}"].double().numpy() for field in ("scale", "shift")
    )
    scale, shift = np.repeat(scale, layer.symmetries), np.repeat(shift, layer.symmetries)
    shape = (-1, 1, 1) if layer.kind == "conv" else out.shape
    return out * scale.reshape(shape) + shift.reshape(shape)


def pool(values: np.ndarray, size: int) -> np.ndarray:
    """The largest value of each 2x2 block, where the next layer has fewer pixels."""
    if values.shape[-1] == size:
        return values
    out = np.zeros((len(values), size, size))
    for channel, row, col in np.ndindex(out.shape):
        out[channel, row, col] = values[channel, 2 * row : 2 * row + 2, 2 * col : 2 * col + 2].max()
    return out


def reference_logits(network: Network, image: np.ndarray) -> list[float]:
    state, values = network.state_dict(), image
    *hidden, last = network.spec.layers
    following = dict(zip([layer.name for layer in hidden], network.spec.layers[1:], strict=True))
    block_input = values
    for layer in hidden:
        if layer.name.endswith("_shortcut"):
            values = np.maximum(values + reference_layer(layer, state, block_input), 0)
            continue
        if layer.name.endswith("_conv1"):
            block_input = values
        values = reference_layer(layer, state, values)
        if layer.name.endswith("_conv2"):
            if f"{layer.name.removesuffix('_conv2')}_shortcut.weight" in state:
                continue  # its sum comes with the shortcut, which is next
            values = values + block_input
        values = np.maximum(values, 0)
        if layer.symmetries > 1:
            values = pool(values, following[layer.name].in_size)
    if network.spec.name == "resnet18":
        count = values.shape[1] * values.shape[2]
        sums = round_values(values, count).reshape(len(values), -1).sum(axis=1)
        values = np.array([float(total) for total in sums]) / count
        values = values[:, None, None]
    return reference_layer(last, state, values).ravel().tolist()


# --- tests ---


@pytest.mark.sample(3)
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.slow
def test_logits_are_those_of_rational_arithmetic_bit_by_bit(name: str, seed: int) -> None:
    size = 9 if name == "resnet18" else 5  # 9: its mean runs over four positions
    network = random_network(small_spec(name, size), seed, spread=4.0 * seed)
    images = torch.randn(2, 2, size, size, generator=torch.Generator().manual_seed(seed)).double()
    with exact_arithmetic():
        logits = exact_network(network)(images)
    for found, image in zip(logits.tolist(), images.numpy(), strict=True):
        assert found == reference_logits(network, image)


@given(
    values=st.lists(st.floats(-1e9, 1e9) | st.floats(-1e-9, 1e-9), min_size=1, max_size=8),
    num_bits=st.integers(1, 50),
)
def test_values_are_rounded_to_the_nearest_multiple(values: list[float], num_bits: int) -> None:
    found = round_to_bits(torch.tensor([values], dtype=torch.float64), num_bits)[0].tolist()
    exponent = max(-400, exponent_above(values))
    unit = Fraction(2) ** (exponent - num_bits)
    assert found == [float(round_half_even(value, unit)) for value in values]
    assert all(abs(Fraction(value) / unit) <= 2**num_bits for value in found)


def test_each_image_has_its_own_unit_and_overflow_has_no_number() -> None:
    values = torch.tensor([[1.0, 2.0**-30], [2.0**-9, 2.0**-30], [2.0**400, 1.0], [0.0, 0.0]])
    values = values.double()
    values[2, 0] = 2.0**400
    found = round_to_bits(values, 22)
    assert found[:2].tolist() == [[1.0, 0.0], [2.0**-9, 2.0**-30]]
    assert found[2].isnan().all()
    assert found[3].tolist() == [0.0, 0.0]
    for bad in (math.inf, math.nan):
        assert round_to_bits(torch.tensor([[1.0, bad]]).double(), 5).isnan().all()


def test_numbers_of_eight_bits_stay_as_they_are() -> None:
    patterns = torch.arange(256, dtype=torch.int16).to(torch.uint8).view(torch.float8_e4m3fn)
    numbers = patterns.to(torch.float64)
    weight = numbers[torch.isfinite(numbers)].view(1, -1)
    before = weight.clone()
    round_weights(weight)
    assert torch.equal(weight, before)


def test_every_partial_sum_is_within_53_bits() -> None:
    weight = torch.rand(7, 5000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    num_bits = round_weights(weight)
    largest = (weight * 2.0**20).sum(dim=1).max()
    assert largest * 2.0**num_bits <= 2.0**53 < largest * 2.0 ** (num_bits + 1)


def folded_conv(image_size: int = 9) -> Network:
    spec = NetworkSpec(name="s-conv", image_size=image_size, num_classes=4, base_channels=3)
    return random_network(spec, seed=3)


@pytest.mark.parametrize("name", NETWORKS)
def test_batches_and_threads_change_no_bit(name: str) -> None:
    network = random_network(small_spec(name, 8), seed=5)
    images = torch.randn(33, 2, 8, 8, generator=torch.Generator().manual_seed(1)).double()
    exact = exact_network(network)
    threads = torch.get_num_threads()
    with exact_arithmetic():
        logits = exact(images)
        try:
            torch.set_num_threads(3)
            pieces = torch.cat([exact(part) for part in images.split(5)])
        finally:
            torch.set_num_threads(threads)
    assert torch.equal(logits, pieces)


def test_order_of_units_and_powers_of_two_change_no_bit() -> None:
    network = folded_conv()
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    order = torch.randperm(72, generator=torch.Generator().manual_seed(0))
    for field in ("fc1.weight", "fc1_norm.scale", "fc1_norm.shift"):
        state[field] = state[field][order] * (1 if field == "fc1.weight" else 4)
    state["fc2.weight"] = state["fc2.weight"][:, order] / 4
    images = torch.randn(20, 3, 9, 9, generator=torch.Generator().manual_seed(1)).double()
    with exact_arithmetic():
        before = exact_network(network)(images)
        after = exact_network(network_from_state(network.spec, state))(images)
    assert torch.equal(before, after)


def test_it_is_close_to_the_function_of_real_numbers_and_leaves_the_network_alone() -> None:
    network = folded_conv()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    images = torch.randn(20, 3, 9, 9, generator=torch.Generator().manual_seed(1)).double()
    with exact_arithmetic():
        logits = exact_network(network)(images)
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name])
    plain = network.double()(images)
    assert (logits - plain).abs().max() < 1e-5 * plain.abs().max()


def test_what_is_not_folded_or_not_known_is_refused(monkeypatch) -> None:
    spec = small_spec("s-fc")
    with pytest.raises(ValueError, match="folded"):
        exact_network(build_network(spec))
    network = random_network(spec, 0)
    network.add_module("extra", torch.nn.Softmax(dim=1))
    monkeypatch.setattr(exact_evaluation, "network_from_state", lambda *_: network)
    with pytest.raises(ValueError, match="extra is a Softmax"):
        exact_network(network)


def test_a_mean_over_nine_positions_is_exact_until_its_division() -> None:
    values = torch.randn(4, 2, 3, 3, generator=torch.Generator().manual_seed(0)).double()
    found = exact_mean(values, (2, 3))
    for image, means in zip(values.numpy(), found.tolist(), strict=True):
        rounded = round_values(image, 9)
        assert means == [float(channel.sum()) / 9 for channel in rounded]


@pytest.mark.parametrize(
    "compute",
    [
        lambda values: values.sum(dim=(2, 3)),
        lambda values: values @ values,
        lambda values: torch.nn.functional.avg_pool2d(values, 2),
        lambda values: torch.nn.functional.adaptive_avg_pool2d(values, 1),
    ],
)
def test_sums_that_depend_on_their_order_are_refused(compute) -> None:
    with exact_arithmetic(), pytest.raises(ValueError, match="no exact evaluation"):
        compute(torch.ones(1, 1, 4, 4, dtype=torch.float64))


def test_memory_of_an_image_counts_its_patches() -> None:
    layers = small_spec("s-conv").layers
    assert image_bytes(layers) >= 8 * 9 * 9 * 2 * 9
