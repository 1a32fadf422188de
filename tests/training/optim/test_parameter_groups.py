"""Every parameter in its group, once."""

import pytest
import torch
from torch import nn

from training.networks.layers import LocallyConnected2d
from training.networks.models import build_model
from training.optim.beta_lasso import beta_lasso_groups
from training.spec.architectures import NETWORKS


def group_names(model: nn.Module, **values: float) -> dict[str, str]:
    """Group of every parameter by its name; each must be in one group, once."""
    values = {"l1_conv": 2e-5, "l1_fc": 1e-5, "beta": 50.0, **values}
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    found: dict[str, str] = {}
    for group in beta_lasso_groups(model, **values):
        assert group["params"]
        for parameter in group["params"]:
            name = names[id(parameter)]
            assert name not in found
            found[name] = group["name"]
    return found


def small_model(name: str) -> nn.Module:
    width = {"hidden_units": 2} if name == "3-fc" else {"base_channels": 1}
    return build_model(name, image_size=8, num_classes=3, **width)


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_are_grouped_by_their_table_of_layers(name: str) -> None:
    model = small_model(name)
    found = group_names(model)
    assert found.keys() == dict(model.named_parameters()).keys()
    expected = {f"{layer.name}.weight": layer.group for layer in model.spec.layers}  # type: ignore[union-attr]
    assert found == {key: expected.get(key, "rest") for key in found}
    assert ("conv" in found.values()) == (name != "3-fc")


def test_values_of_the_groups() -> None:
    groups = beta_lasso_groups(small_model("s-fc"), l1_conv=2e-5, l1_fc=1e-5, beta=50.0)
    values = [(group["name"], group["l1_coef"], group["beta"]) for group in groups]
    assert values == [("conv", 2e-5, 50.0), ("fc", 1e-5, 50.0), ("rest", 0.0, 0.0)]


def test_other_models_are_grouped_by_the_types_of_their_layers() -> None:
    model = nn.ModuleDict(
        {
            "conv": nn.Conv1d(1, 2, 3),
            "up": nn.ConvTranspose3d(1, 2, 3),
            "local": LocallyConnected2d(1, 2, 4, 3),
            "linear": nn.Linear(2, 2),
            "embedding": nn.Embedding(2, 2),
            "norm": nn.LayerNorm(2),
            "inner": nn.Sequential(small_model("s-fc")),
        }
    )
    found = group_names(model)
    assert {name for name, group in found.items() if group == "conv"} == {
        "conv.weight",
        "up.weight",
        "local.weight",
        "inner.0.conv1.weight",
    }
    assert {name for name, group in found.items() if group == "fc"} == {
        "linear.weight",
        "inner.0.fc1.weight",
        "inner.0.fc2.weight",
    }
    assert found.keys() == dict(model.named_parameters()).keys()


def test_a_shared_weight_is_there_once() -> None:
    first, second = nn.Linear(3, 3), nn.Linear(3, 3)
    second.weight = first.weight
    assert group_names(nn.Sequential(first, second)) == {
        "0.weight": "fc",
        "0.bias": "rest",
        "1.bias": "rest",
    }


def test_frozen_parameters_and_empty_groups_are_left_out() -> None:
    model = nn.Sequential(nn.Conv2d(1, 1, 1), nn.Linear(2, 2, bias=False))
    model[0].requires_grad_(False)
    assert group_names(model) == {"1.weight": "fc"}
    model.requires_grad_(False)
    with pytest.raises(ValueError, match="Sequential has no parameter that asks for a gradient"):
        group_names(model)


def test_parametrised_weights_are_left_to_the_rest() -> None:
    layer = nn.utils.parametrizations.weight_norm(nn.Linear(2, 2))
    assert set(group_names(layer).values()) == {"rest"}


def test_wrapped_networks_are_looked_through() -> None:
    network = small_model("s-fc")
    wrapped = torch.compile(network, backend="eager")
    found = group_names(wrapped)  # type: ignore[arg-type]
    assert found == {f"_orig_mod.{name}": group for name, group in group_names(network).items()}


@pytest.mark.parametrize("name", ["l1_conv", "l1_fc", "beta"])
@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
def test_refuses_values_outside_their_range(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"^{name} must be a finite number >= 0"):
        group_names(nn.Linear(2, 2), **{name: value})
