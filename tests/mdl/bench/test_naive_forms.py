"""The baselines are right: the same steps, networks and operations as ours, only slow."""

import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from mdl.bench.naive import NAIVE_FORMS, NaiveLocal, NaiveStep, build_naive
from mdl.bench.settings import NETWORKS
from mdl.bench.step_lines import make_config, random_images
from mdl.timing.floors import step_flop
from training.networks.layers import LocallyConnected2d
from training.networks.models import build_network
from training.optim.beta_lasso import beta_lasso_reference_step
from training.spec.architectures import NetworkSpec

NUM_IMAGES = 4


def spec_of(name, width=2, size=16):
    widths = {"hidden_units" if name == "3-fc" else "base_channels": width}
    return NetworkSpec(name=name, image_size=size, num_classes=10, **widths)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.slow
def test_operations_are_those_that_torch_counts(name):
    spec = spec_of(name)
    network = build_naive(spec)
    images, labels = torch.randn(NUM_IMAGES, 3, 16, 16), torch.zeros(NUM_IMAGES, dtype=torch.int64)
    with FlopCounterMode(display=False) as counter:
        F.cross_entropy(network(images), labels).backward()
    assert counter.get_total_flops() == step_flop(spec, NUM_IMAGES)


@pytest.mark.parametrize("name", NETWORKS)
def test_naive_networks_have_the_tables_weights(name):
    spec = spec_of(name)
    weights = [weight for weight in build_naive(spec).parameters() if weight.dim() > 1]
    assert sum(weight.numel() for weight in weights) == spec.num_weights


@pytest.mark.parametrize("name", [name for name in NETWORKS if "local" not in name])
def test_naive_networks_compute_the_same(name):
    spec = spec_of(name)
    ours, naive = build_network(spec), build_naive(spec)
    weights = [weight for weight in naive.parameters() if weight.dim() > 1]
    layers = [layer.name for layer in spec.layers]
    with torch.no_grad():
        for weight, layer in zip(weights, layers, strict=True):
            weight.copy_(ours.get_parameter(f"{layer}.weight"))
        list(naive.parameters())[-1].copy_(ours.get_parameter(f"{layers[-1]}.bias"))
    images = torch.randn(NUM_IMAGES, 3, 16, 16)
    torch.testing.assert_close(naive(images), ours(images), rtol=1e-4, atol=1e-5)


def test_the_naive_local_layer_computes_the_same():
    """The layer alone: its BatchNorm goes by channel in public code, by unit in ours."""
    layer = spec_of("d-local").layers[1]
    naive = NaiveLocal(layer)
    ours = LocallyConnected2d(
        layer.in_channels, layer.out_channels, layer.in_size, layer.kernel, layer.stride
    )
    with torch.no_grad():
        ours.weight.copy_(naive.weight)
    images = torch.randn(NUM_IMAGES, layer.in_channels, layer.in_size, layer.in_size)
    torch.testing.assert_close(naive(images), ours(images), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("form", NAIVE_FORMS)
def test_naive_optimizers_take_the_reference_step(form):
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(1000, generator=generator) * 0.01
    weight[::2] = 0
    gradient = torch.randn(1000, generator=generator) * 1e-2
    expected = beta_lasso_reference_step(weight, gradient, lr=0.1, l1_coef=1e-5, beta=50.0)
    weight.grad = gradient
    NAIVE_FORMS[form]([weight], lr=0.1, l1_coef=1e-5, threshold=50.0 * 1e-5)
    torch.testing.assert_close(weight, expected, rtol=0, atol=1e-8)
    assert torch.equal(weight != 0, expected != 0)


@pytest.mark.parametrize(("name", "method"), [("s-fc", "beta-lasso"), ("s-conv", "sgd")])
def test_a_naive_step_trains(name, method):
    config = make_config(name, 1, NUM_IMAGES)
    assert config.method == method
    spec = config.network_spec(image_size=32, num_classes=10, in_channels=3)
    step = NaiveStep(spec, config, random_images(NUM_IMAGES, torch.device("cpu")), precision="fp32")
    before = [parameter.clone() for parameter in step.network.parameters()]
    step()
    after = list(step.network.parameters())
    assert all(torch.isfinite(parameter).all() for parameter in after)
    assert any(not torch.equal(old, new) for old, new in zip(before, after, strict=True))
