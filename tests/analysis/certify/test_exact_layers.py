"""Every form of a layer against torch's dense float64 form, at the edges of what may occur."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from analysis.certify import exact_layers, exact_numbers
from analysis.certify.exact_evaluation import exact_arithmetic, exact_network
from analysis.certify.exact_layers import DenseLayer, SparseLayer, WindowLayer, exact_layer
from analysis.certify.exact_numbers import round_entries, round_weights
from training.kernels import backends
from training.networks.models import Network, build_network, network_from_state
from training.sparse.support import collect
from training.spec.architectures import NETWORKS, NetworkSpec

CPU = torch.device("cpu")
LARGEST, SMALLEST = torch.finfo(torch.float32).max, 2.0**-149


def make_spec(name: str, image_size: int = 6) -> NetworkSpec:
    width = {"hidden_units": 20} if name == "3-fc" else {"base_channels": 2}
    return NetworkSpec(name=name, image_size=image_size, num_classes=3, in_channels=2, **width)


def random_network(spec: NetworkSpec, seed: int, density: float, spread: float = 2.0) -> Network:
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, tensor in build_network(spec, folded=True).state_dict().items():
        values = torch.randn(tensor.shape, generator=generator)
        values *= torch.exp2(spread * torch.randn(tensor.shape, generator=generator))
        if name.endswith(".weight"):
            values[torch.rand(tensor.shape, generator=generator) >= density] = 0
        state[name] = values
    return network_from_state(spec, state).eval()


def random_images(spec: NetworkSpec, num: int, seed: int = 0) -> Tensor:
    shape = (num, spec.in_channels, spec.image_size, spec.image_size)
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).double()


def dense_network(network: Network) -> Network:
    """The evaluation by torch's own layers in float64 alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "analysis.certify.exact_evaluation.exact_layer",
            lambda module, layer, device: DenseLayer(module, device),
        )
        return exact_network(network)


def assert_same(network: Network, images: Tensor) -> None:
    exact, dense = exact_network(network), dense_network(network)
    with exact_arithmetic():
        found, expected = exact(images), dense(images)
    assert torch.equal(found.nan_to_num(math.inf), expected.nan_to_num(math.inf))


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("density", [1.0, 0.1])
def test_networks_have_the_logits_of_the_dense_evaluation(name: str, density: float) -> None:
    spec = make_spec(name)
    network = random_network(spec, seed=1, density=density)
    assert_same(network, random_images(spec, 21))
    kinds = {type(module) for module in exact_network(network).children()}
    is_convolutional = any(layer.kind == "conv" for layer in spec.layers)
    assert (WindowLayer in kinds) == is_convolutional
    assert (SparseLayer in kinds) == (density < 0.25)


@pytest.mark.parametrize("name", ["s-fc", "s-local", "d-conv", "tiny-conv", "tiny-separable"])
def test_without_numba_the_logits_are_the_same(name: str, monkeypatch) -> None:
    spec = make_spec(name)
    network, images = random_network(spec, seed=2, density=0.1), random_images(spec, 9)
    compiled = exact_network(network)
    with exact_arithmetic():
        expected = compiled(images)
    monkeypatch.setattr(backends, "can_compile", lambda: False)
    monkeypatch.setattr(exact_layers, "can_compile", lambda: False)
    plain = exact_network(network)
    with exact_arithmetic():
        assert torch.equal(plain(images), expected)


@given(
    name=st.sampled_from(NETWORKS),
    size=st.integers(1, 7),
    num=st.integers(1, 20),
    density=st.sampled_from([0.0, 0.01, 0.2, 0.6]),
    spread=st.sampled_from([0.0, 3.0, 12.0]),
    seed=st.integers(0, 2**32),
)
def test_random_sparse_networks(
    name: str, size: int, num: int, density: float, spread: float, *, seed: int
) -> None:
    spec = make_spec(name, size)
    assert_same(random_network(spec, seed, density, spread), random_images(spec, num, seed))


@pytest.mark.parametrize("name", ["s-fc", "s-local", "s-conv", "tiny-conv"])
@pytest.mark.parametrize(
    "weights", ["all largest", "all smallest", "none", "one", "one a row", "largest and smallest"]
)
def test_extreme_weights(name: str, weights: str) -> None:
    spec = make_spec(name)
    network = random_network(spec, seed=3, density=1.0, spread=0.0)
    for layer in spec.layers:
        weight = network.get_submodule(layer.name).weight.data
        signs = weight.sign()
        flat = weight.view(-1, weight.shape[-1] if layer.kind != "conv" else weight[0].numel())
        if weights in ("all largest", "largest and smallest"):
            weight.copy_(LARGEST * signs)
        if weights == "all smallest":
            weight.copy_(SMALLEST * signs)
        if weights == "largest and smallest":
            flat[:, ::2] = SMALLEST
        if weights == "none":
            weight.zero_()
        if weights == "one":
            weight.zero_()
            flat[-1, -1] = 0.3
        if weights == "one a row":
            weight.zero_()
            flat[:, flat.shape[1] // 2] = -0.7
    images = random_images(spec, 17)
    images[3:6] *= torch.tensor([2.0**399, 2.0**-1000, 0.0]).double().view(3, 1, 1, 1)
    assert_same(network, images)


@pytest.mark.parametrize("name", ["s-fc", "s-local", "s-conv"])
@pytest.mark.parametrize("bad", [2.0**400, math.inf, math.nan])
def test_an_image_without_a_class_has_none_where_no_weight_sees_it(name: str, bad: float) -> None:
    spec = make_spec(name)
    network = random_network(spec, seed=4, density=0.0)
    images = random_images(spec, 5)
    images[2, 0, 0, 0] = bad
    assert_same(network, images)
    exact = exact_network(network)
    with exact_arithmetic():
        logits = exact(images)
    assert logits[2].isnan().all()
    assert logits[[0, 1, 3, 4]].isfinite().all()


@given(seed=st.integers(0, 2**32), density=st.sampled_from([0.0, 0.05, 0.5, 1.0]))
def test_entries_are_rounded_as_dense_weights(seed: int, density: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(5, 40, generator=generator)
    weight *= torch.exp2(20 * torch.randn(5, 40, generator=generator))
    weight[torch.rand(5, 40, generator=generator) >= density] = 0
    support, entries = collect(weight)
    entries, dense = entries.double(), weight.double()
    assert round_entries(support.row_starts, entries) == round_weights(dense)
    assert torch.equal(entries, dense[weight != 0])


# --- every partial sum is exact, and with one bit more it is not ---


def full_layers(kind: str) -> tuple[Network, Tensor]:
    """Weights and values as large as they may be: a unit's sums of products come up to 2^53."""
    spec = make_spec({"sparse": "3-fc", "window": "s-conv"}[kind], 8)
    network = random_network(spec, seed=5, density=0.0)
    first = network.get_submodule(spec.layers[0].name)
    weight = first.weight.data.view(len(first.weight), -1)
    # Two in 2^20 units: 2^20 - 1 and 1, so that their sum leaves no bit unused.
    weight[:, 60:62] = torch.tensor([1 - 2.0**-20, 2.0**-20])
    generator = torch.Generator().manual_seed(0)
    return network, 1 - torch.rand(16, 2, 8, 8, generator=generator, dtype=torch.float64) / 16


@pytest.mark.parametrize("kind", ["sparse", "window"])
@pytest.mark.parametrize("extra", [0, 1])
def test_values_of_one_bit_more_would_not_have_exact_sums(
    kind: str, extra: int, monkeypatch
) -> None:
    network, images = full_layers(kind)
    bits = exact_numbers.FLOAT_BITS + extra
    monkeypatch.setattr(
        exact_numbers, "value_bits", lambda total: bits - max(0, (total - 1).bit_length())
    )
    layer = network.spec.layers[0]
    module = network.get_submodule(layer.name)
    weight = module.weight.detach().double().flatten(1)
    form = exact_layer(module, layer, CPU)
    assert isinstance(form, SparseLayer if kind == "sparse" else WindowLayer)
    found = form(images).flatten(2 if kind == "window" else 1)
    rounded = exact_numbers.round_to_bits(images, form.num_bits)
    assert is_exact(weight, rounded, found, layer) == (extra == 0)


def is_exact(weight: Tensor, values: Tensor, found: Tensor, layer) -> bool:
    """Whether sums are those of Python's integers, in units of 2^-100."""
    if layer.kind == "conv":
        values = torch.nn.functional.unfold(values, layer.kernel, 1, layer.padding, layer.stride)
        found = found.transpose(1, 2)
    else:
        values, found = values.flatten(1)[..., None], found[:, None]
    for image, sums in zip(values.transpose(1, 2), found, strict=True):
        for window, outputs in zip(image.tolist(), sums.tolist(), strict=True):
            for row, output in zip(weight.tolist(), outputs, strict=True):
                exact = sum(whole(w) * whole(v) for w, v in zip(row, window, strict=True))
                if exact != whole(output) << 100:
                    return False
    return True


def whole(value: float) -> int:
    numerator, denominator = value.as_integer_ratio()
    return numerator * (1 << 100) // denominator
