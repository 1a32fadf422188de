"""Folded networks compute what BatchNorm computes in eval mode."""

import pytest
import torch
from torch import nn

from training.networks.models import build_model
from training.networks.norm_folding import fold_batch_norm, fold_state
from training.spec.architectures import NETWORKS


def trained_like(name, *, image_size=9, in_channels=3, seed=0):
    """A network with random BatchNorm parameters and statistics, in eval mode and float64."""
    torch.manual_seed(seed)
    width = {"hidden_units": 7} if name == "3-fc" else {"base_channels": 2}
    network = build_model(
        name, image_size=image_size, num_classes=5, in_channels=in_channels, **width
    )
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.normal_(module.weight)
            nn.init.normal_(module.bias)
            module.running_mean.normal_()
            module.running_var.uniform_(0.0, 3.0)
    return network.double().eval()


@pytest.mark.parametrize("name", NETWORKS)
def test_same_logits_as_in_eval_mode(name):
    network = trained_like(name)
    folded = fold_batch_norm(network)
    images = torch.randn(6, 3, 9, 9, dtype=torch.float64)
    torch.testing.assert_close(folded(images), network(images), rtol=0, atol=1e-10)
    assert folded.folded
    assert not folded.training
    assert not any("running" in key for key in folded.state_dict())


def test_by_hand():
    """γ = 3, β = 1, μ = 2, σ² = 4 - ε: the scale is 3 / 2 and the shift 1 - 2 · 3 / 2."""
    network = trained_like("s-conv")
    norm = network.conv1_norm
    with torch.no_grad():
        norm.weight.fill_(3)
        norm.bias.fill_(1)
        norm.running_mean.fill_(2)
        norm.running_var.fill_(4 - 1e-5)
    state = fold_batch_norm(network).state_dict()
    torch.testing.assert_close(state["conv1_norm.scale"], torch.full((2,), 1.5).double())
    torch.testing.assert_close(state["conv1_norm.shift"], torch.full((2,), -2.0).double())


def test_computed_in_float64_and_given_in_the_networks_type():
    network = trained_like("s-fc")
    exact = fold_batch_norm(network).state_dict()
    rounded = fold_batch_norm(network.float()).state_dict()
    for key, tensor in rounded.items():
        assert tensor.dtype == torch.float32
        torch.testing.assert_close(tensor.double(), exact[key], rtol=1e-6, atol=1e-6)


def test_the_original_is_left_alone():
    network = trained_like("s-local")
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    folded = fold_batch_norm(network.train())
    with torch.no_grad():
        for parameter in folded.parameters():
            parameter.zero_()
    assert network.training
    assert all(torch.equal(before[key], tensor) for key, tensor in network.state_dict().items())


def test_folding_again_gives_a_copy():
    folded = fold_batch_norm(trained_like("s-fc"))
    again = fold_batch_norm(folded)
    assert again is not folded
    for key, tensor in again.state_dict().items():
        assert torch.equal(tensor, folded.state_dict()[key])
        assert tensor.data_ptr() != folded.state_dict()[key].data_ptr()


def test_a_missing_tensor_is_named():
    network = trained_like("s-fc")
    state = network.state_dict()
    del state["fc1_norm.running_var"]
    with pytest.raises(ValueError, match=r"lacks fc1_norm\.running_var"):
        fold_state(network.spec, state)
