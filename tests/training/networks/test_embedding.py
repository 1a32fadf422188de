"""conv ⊂ local ⊂ fc: twins with the same logits, in float64 and with BatchNorm."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from tests.examples import examples
from training.networks.embedding import acting_entries, embed_network, embed_state
from training.networks.models import build_model, fold_batch_norm
from training.spec.architectures import NetworkSpec

PAIRS = [("conv", "local"), ("conv", "fc"), ("local", "fc")]


def trained_like(name, *, image_size, in_channels=3, alpha=2, seed=0, dropout=0.0):
    """A network with random BatchNorm parameters and statistics, in eval mode and float64."""
    torch.manual_seed(seed)
    network = build_model(
        name,
        base_channels=alpha,
        image_size=image_size,
        num_classes=5,
        in_channels=in_channels,
        dropout=dropout,
    )
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.normal_(module.weight)
            nn.init.normal_(module.bias)
            module.running_mean.normal_()
            module.running_var.uniform_(0.1, 3.0)
    return network.double().eval()


@examples(0.2)
@given(
    image_size=st.integers(1, 20),
    in_channels=st.sampled_from([1, 3]),
    alpha=st.integers(1, 3),
    seed=st.integers(0, 100),
)
@pytest.mark.parametrize(("source", "kind"), PAIRS)
@pytest.mark.parametrize("family", ["d", "s"])
def test_twins_give_the_same_logits(family, source, kind, **sizes):
    network = trained_like(f"{family}-{source}", **sizes)
    twin = embed_network(network, kind)
    side, channels = sizes["image_size"], sizes["in_channels"]
    images = torch.randn(4, channels, side, side, dtype=torch.float64)
    assert twin.spec.name == f"{family}-{kind}"
    torch.testing.assert_close(twin(images), network(images), rtol=0, atol=1e-10)


@pytest.mark.parametrize("image_size", [28, 32])
@pytest.mark.parametrize("family", ["d", "s"])
def test_the_papers_sizes_and_one_channel(family, image_size):
    network = trained_like(f"{family}-conv", image_size=image_size, in_channels=1, alpha=1)
    images = torch.randn(3, 1, image_size, image_size, dtype=torch.float64)
    logits = network(images)
    assert logits.std() > 0.01
    for kind in ("local", "fc"):
        torch.testing.assert_close(embed_network(network, kind)(images), logits, rtol=0, atol=1e-10)


@pytest.mark.parametrize("family", ["d", "s"])
def test_the_two_ways_to_fc_meet(family):
    network = trained_like(f"{family}-conv", image_size=9)
    direct = embed_network(network, "fc").state_dict()
    stepwise = embed_network(embed_network(network, "local"), "fc").state_dict()
    assert direct.keys() == stepwise.keys()
    assert all(torch.equal(direct[key], stepwise[key]) for key in direct)


@pytest.mark.parametrize("family", ["d", "s"])
def test_twins_stay_equal_through_a_training_step_of_the_local_one(family):
    """Local weights that are no convolution any more still embed."""
    network = trained_like(f"{family}-local", image_size=12).train()
    images = torch.randn(8, 3, 12, 12, dtype=torch.float64)
    network(images).square().sum().backward()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.sub_(0.01 * parameter.grad)
    twin = embed_network(network, "fc")
    assert twin.training
    torch.testing.assert_close(twin.eval()(images), network.eval()(images), rtol=0, atol=1e-10)


@pytest.mark.parametrize(("source", "kind"), PAIRS)
def test_folded_networks_embed_too(source, kind):
    network = trained_like(f"d-{source}", image_size=11)
    images = torch.randn(4, 3, 11, 11, dtype=torch.float64)
    twin = embed_network(fold_batch_norm(network), kind)
    assert twin.folded
    torch.testing.assert_close(twin(images), network(images), rtol=0, atol=1e-10)


@pytest.mark.parametrize(("source", "kind"), PAIRS)
def test_float32_mode_dropout_and_independence(source, kind):
    network = trained_like(f"s-{source}", image_size=8, dropout=0.25).float().train()
    twin = embed_network(network, kind)
    assert twin.training
    assert twin.dropout == 0.25
    assert {parameter.dtype for parameter in twin.parameters()} == {torch.float32}
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.fill_(7)
    assert all(torch.equal(before[key], tensor) for key, tensor in network.state_dict().items())


def test_nonzeros_of_twins_are_the_acting_connections():
    """Each kernel entry appears once for every pixel that it sees: 9·16 - 10 = 134 a side."""
    network = trained_like("s-conv", image_size=32, alpha=1)
    seen = 3 * sum(min(2 * i + 5, 32) - max(2 * i - 4, 0) for i in range(16)) ** 2
    assert seen == 3 * 134**2
    for kind in ("local", "fc"):
        state = embed_network(network, kind).state_dict()
        assert torch.count_nonzero(state["conv1.weight"]) == seen
        assert torch.equal(state["fc1.weight"], network.fc1.weight)


def padding_only(name, alpha):
    """Share of a network's locally connected weights that look only at padding, by counting."""
    spec = NetworkSpec(name=name, image_size=32, num_classes=10, base_channels=alpha)
    layers = [layer for layer in spec.layers if layer.kind == "local"]
    inert = sum(layer.out_channels * int((~acting_entries(layer)).sum()) for layer in layers)
    return inert / sum(layer.num_weights for layer in layers)


def test_share_of_weights_that_look_only_at_padding():
    assert padding_only("s-local", 150) == 1 - (134 / 144) ** 2
    assert round(padding_only("s-local", 150), 2) == 0.13
    assert round(padding_only("d-local", 15), 2) == 0.16


def test_weights_that_act_are_those_with_a_gradient():
    network = build_model("d-local", base_channels=1, image_size=10, num_classes=4).double()
    for layer in network.spec.layers[:8]:
        module = network.get_submodule(layer.name)
        shape = (1, layer.in_channels, layer.in_size, layer.in_size)
        module(torch.ones(shape, dtype=torch.float64)).sum().backward()
        acting = acting_entries(layer)[:, None, :].expand_as(module.weight)
        assert torch.equal(module.weight.grad != 0, acting)


@pytest.mark.parametrize(
    ("name", "kind", "reason"),
    [
        ("s-fc", "local", "s-fc does not embed as s-local: its units may look beyond"),
        ("s-fc", "conv", "s-fc does not embed as s-conv: its kernels need not be the same"),
        ("d-local", "conv", "d-local does not embed as d-conv"),
        ("d-local", "local", "this network is d-local already"),
        ("s-conv", "dense", "kind must be one of conv, local, fc"),
        ("resnet18", "fc", "resnet18 has no conv, local and fc twins"),
    ],
)
def test_what_does_not_embed_is_refused_with_the_reason(name, kind, reason):
    network = build_model(name, base_channels=1, image_size=4, num_classes=2)
    with pytest.raises(ValueError, match=reason):
        embed_network(network, kind)


def test_a_missing_weight_is_named():
    network = build_model("s-conv", base_channels=1, image_size=4, num_classes=2)
    state = network.state_dict()
    del state["conv1.weight"]
    with pytest.raises(ValueError, match=r"lacks conv1\.weight"):
        embed_state(network.spec, state, "fc")


def test_the_head_has_no_kernel():
    spec = NetworkSpec(name="s-conv", image_size=4, num_classes=2, base_channels=1)
    with pytest.raises(ValueError, match="fc1 is a dense layer of the head"):
        acting_entries(spec.layers[1])
