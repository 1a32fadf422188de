"""The networks against their tables: names, shapes, counts, dropout, types."""

import copy
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from tests.examples import examples
from training.checkpoint.checkpoint import (
    Checkpoint,
    load_checkpoint,
    restore_network,
    save_checkpoint,
)
from training.networks.models import (
    Network,
    TinyNetwork,
    build_model,
    build_network,
    fold_batch_norm,
    fold_state,
    halve,
    network_from_state,
)
from training.spec.architectures import NETWORKS, NetworkSpec
from training.spec.normalization import fixed_normalization

NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def spec_of(name, *, width=2, image_size=8, num_classes=5, in_channels=3):
    key = "hidden_units" if name == "3-fc" else "base_channels"
    return NetworkSpec(
        name=name,
        image_size=image_size,
        num_classes=num_classes,
        in_channels=in_channels,
        **{key: width},
    )


def shapes(network):
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def shapes_from_table(spec, *, folded):
    expected = {}
    for layer in spec.layers:
        expected[f"{layer.name}.weight"] = layer.weight_shape
        if not layer.normalized:
            expected[f"{layer.name}.bias"] = (layer.out_features,)
            continue
        for field in ("scale", "shift") if folded else NORM:
            size = () if field == "num_batches_tracked" else (layer.num_norm_features,)
            expected[f"{layer.name}_norm.{field}"] = size
    return expected


@pytest.mark.parametrize("folded", [False, True])
@pytest.mark.parametrize("name", NETWORKS)
def test_state_dict_has_the_tables_names_and_shapes(name, folded):
    spec = spec_of(name)
    network = build_network(spec, folded=folded)
    assert isinstance(network, Network)
    assert network.spec == spec
    assert shapes(network) == shapes_from_table(spec, folded=folded)


@pytest.mark.parametrize(
    ("width", "image_size", "num_classes", "in_channels"),
    [(15, 32, 10, 3), (150, 32, 10, 3), (7, 28, 100, 1), (3, 31, 2, 4), (64, 16, 10, 3)],
)
@pytest.mark.parametrize("name", NETWORKS)
def test_counts_on_the_meta_device(name, width, image_size, num_classes, in_channels):
    spec = spec_of(
        name, width=width, image_size=image_size, num_classes=num_classes, in_channels=in_channels
    )
    with torch.device("meta"):
        network = build_network(spec)
    state = network.state_dict()
    for layer in spec.layers:
        assert state[f"{layer.name}.weight"].numel() == layer.num_weights
    parameters = sum(parameter.numel() for parameter in network.parameters())
    norms = 2 * sum(layer.num_norm_features for layer in spec.layers)
    assert parameters == spec.num_weights + norms + num_classes


def test_resnet18_has_the_known_number_of_parameters():
    """11,689,512 with a 7x7 stem and 1000 classes; 3x3 stem and 10 classes take its place here."""
    with torch.device("meta"):
        network = build_model("resnet18", base_channels=64, image_size=32, num_classes=10)
    stem, last = 3 * 64 * (49 - 9), (512 + 1) * (1000 - 10)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    assert parameters == 11_689_512 - stem - last == 11_173_962


@pytest.mark.sample(3)
@pytest.mark.parametrize("in_channels", [1, 3])
@pytest.mark.parametrize("image_size", [1, 5, 13, 28])
@pytest.mark.parametrize("name", NETWORKS)
def test_forward_and_backward_at_any_size(name, image_size, in_channels):
    torch.manual_seed(0)
    network = build_network(spec_of(name, image_size=image_size, in_channels=in_channels))
    logits = network(torch.randn(4, in_channels, image_size, image_size))
    assert logits.shape == (4, 5)
    assert logits.isfinite().all()
    logits.square().sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


@pytest.mark.sample(3)
@pytest.mark.parametrize("name", NETWORKS)
def test_forward_on_the_meta_device_and_in_float64(name):
    with torch.device("meta"):
        assert build_network(spec_of(name))(torch.empty(2, 3, 8, 8)).shape == (2, 5)
    network = build_network(spec_of(name)).double()
    assert network(torch.randn(2, 3, 8, 8, dtype=torch.float64)).dtype == torch.float64


def test_layered_networks_are_layer_norm_relu_in_a_row():
    torch.manual_seed(0)
    conv = build_model("d-conv", base_channels=1, image_size=11, num_classes=4).double()
    values = images = torch.randn(6, 3, 11, 11, dtype=torch.float64)
    for (_, side), index in zip(
        [(0, 11), (0, 6), (0, 6), (0, 3), (0, 3), (0, 2), (0, 2), (0, 1)], range(1, 9), strict=True
    ):
        layer, norm = conv.get_submodule(f"conv{index}"), conv.get_submodule(f"conv{index}_norm")
        values = torch.relu(nn.functional.batch_norm(layer(values), None, None, training=True))
        assert values.shape[2:] == (side, side)
        assert isinstance(norm, nn.BatchNorm2d)
    hidden = conv.fc1(values.flatten(1))
    hidden = torch.relu(nn.functional.batch_norm(hidden, None, None, training=True))
    torch.testing.assert_close(conv(images), conv.fc2(hidden))


def test_resnet18_is_made_of_original_basic_blocks():
    """Written out with modules in a row, in another way than the network's own loop."""
    torch.manual_seed(0)
    network = build_model("resnet18", base_channels=2, image_size=9, num_classes=4).double()
    images = torch.randn(6, 3, 9, 9, dtype=torch.float64)

    def conv_norm(name):
        norm = copy.deepcopy(network.get_submodule(f"{name}_norm"))
        return nn.Sequential(network.get_submodule(name), norm)

    values = conv_norm("conv1")(images).relu()
    sides = []
    for stage in (1, 2, 3, 4):
        for block in (1, 2):
            prefix = f"stage{stage}_block{block}"
            residual = conv_norm(f"{prefix}_conv2")(conv_norm(f"{prefix}_conv1")(values).relu())
            projected = stage > 1 and block == 1
            values = (conv_norm(f"{prefix}_shortcut")(values) if projected else values) + residual
            values = values.relu()
        sides.append(values.shape[-1])
    assert sides == [9, 5, 3, 2]
    expected = network.fc(nn.functional.adaptive_avg_pool2d(values, 1).flatten(1))
    torch.testing.assert_close(network(images), expected)


@pytest.mark.parametrize(
    ("name", "dropped"),
    [
        ("d-conv", {"fc1", "fc2"}),
        ("d-fc", {"fc1", "fc2"}),
        ("s-conv", {"fc1", "fc2"}),
        ("s-local", {"fc1", "fc2"}),
        ("s-fc", {"fc1", "fc2"}),
        ("3-fc", {"fc2", "fc3"}),
        ("resnet18", {"fc"}),
    ],
)
def test_dropout_acts_on_the_inputs_of_the_last_two_fc_layers(name, dropped):
    torch.manual_seed(0)
    network = build_network(spec_of(name, width=16), dropout=0.25)
    for module in network.modules():  # every unit gives 1, so that a zero is a dropped one
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.zeros_(module.weight)
            nn.init.ones_(module.bias)
    zeros = {}
    for layer in network.spec.layers:
        network.get_submodule(layer.name).register_forward_pre_hook(
            lambda _, inputs, key=layer.name: zeros.update({key: inputs[0].eq(0).float().mean()})
        )
    images = torch.rand(64, 3, 8, 8) + 1
    network(images)
    assert {key for key, share in zeros.items() if share > 0} == dropped
    assert all(zeros[key].item() == pytest.approx(0.25, abs=0.05) for key in dropped)
    network.eval()
    network(images)
    assert not any(zeros.values())
    assert torch.equal(network(images), network(images))


@pytest.mark.parametrize("folded", [False, True])
@pytest.mark.parametrize("name", NETWORKS)
def test_bf16_autocast_with_normalisation_in_float32(name, folded):
    torch.manual_seed(0)
    network = build_network(spec_of(name), folded=folded)
    images = torch.randn(8, 3, 8, 8)
    seen = []
    for key, module in network.named_modules():
        if key.endswith("_norm"):
            module.register_forward_hook(
                lambda _, inputs, output: seen.append((inputs[0].dtype, output.dtype))
            )
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = network(images)
        network.eval()(images)  # in training the norms may be fused: tests of fused_norm
        network.train()
    assert logits.dtype == torch.bfloat16
    assert set(seen) == {(torch.float32, torch.float32)}
    logits.float().logsumexp(1).sum().backward()
    floats = [tensor for tensor in network.state_dict().values() if tensor.is_floating_point()]
    gradients = [parameter.grad for parameter in network.parameters()]
    assert {tensor.dtype for tensor in floats + gradients} == {torch.float32}


@pytest.mark.parametrize("name", NETWORKS)
def test_initialisation(name):
    torch.manual_seed(0)
    spec = spec_of(name, width=6)
    state = build_network(spec).state_dict()
    for layer in spec.layers:
        weight, bound = state[f"{layer.name}.weight"], layer.fan_in**-0.5
        assert weight.abs().max() <= bound
        error = 4 / weight.numel() ** 0.5
        assert weight.std().item() == pytest.approx(bound / 3**0.5, rel=max(error, 0.02))
        if not layer.normalized:
            assert 0 < state[f"{layer.name}.bias"].abs().max() <= bound
            continue
        norm = {field: state[f"{layer.name}_norm.{field}"] for field in NORM}
        assert norm["weight"].eq(1).all()
        assert norm["running_var"].eq(1).all()
        assert not any(norm[field].any() for field in NORM if "mean" in field or field == "bias")


@pytest.mark.parametrize("shape", [(2, 3, 8, 9), (2, 1, 8, 8), (3, 8, 8), (2, 192), (2, 3, 16, 16)])
def test_images_of_another_shape_are_refused(shape):
    network = build_network(spec_of("s-fc"))
    with pytest.raises(ValueError, match=r"images must have shape \(N, 3, 8, 8\) for this s-fc"):
        network(torch.randn(shape))


def test_other_mistakes_are_refused_with_the_reason():
    network = build_network(spec_of("s-conv"))
    with pytest.raises(ValueError, match=r"normalised floating point, not torch\.uint8"):
        network(torch.zeros(2, 3, 8, 8, dtype=torch.uint8))
    for dropout in (1.0, -0.1, float("nan")):
        with pytest.raises(ValueError, match=r"dropout must lie in \[0, 1\)"):
            build_network(spec_of("s-conv"), dropout=dropout)
    with pytest.raises(ValueError, match="s-conv needs base_channels"):
        build_model("s-conv", image_size=8, num_classes=5)
    with pytest.raises(ValueError, match="s-conv takes no kernel_size"):
        build_model("s-conv", base_channels=1, kernel_size=3, image_size=8, num_classes=5)


@pytest.mark.parametrize("folded", [False, True])
@pytest.mark.parametrize("name", NETWORKS)
def test_network_from_state_takes_the_tensors_as_they_are(name, folded):
    torch.manual_seed(0)
    network = build_network(spec_of(name), folded=folded).double().eval()
    state = network.state_dict()
    restored = network_from_state(network.spec, state, dropout=0.5).eval()
    assert restored.folded == folded
    assert restored.dropout == 0.5
    images = torch.randn(3, 3, 8, 8, dtype=torch.float64)
    assert torch.equal(restored(images), network(images))
    assert all(parameter.requires_grad for parameter in restored.parameters())
    for key, tensor in restored.state_dict().items():
        assert tensor.data_ptr() == state[key].data_ptr()


def test_a_state_that_does_not_fit_is_refused():
    network = build_network(spec_of("s-fc"))
    state = network.state_dict()
    del state["fc1.weight"]
    with pytest.raises(ValueError, match=r"does not fit s-fc: .*fc1\.weight"):
        network_from_state(network.spec, state)
    with pytest.raises(ValueError, match=r"does not fit s-conv: .*conv1\.weight"):
        network_from_state(spec_of("s-conv"), network.state_dict())


@pytest.mark.cuda
@pytest.mark.parametrize("name", NETWORKS)
def test_cuda_gives_the_same_logits_and_autocasts(name):
    torch.manual_seed(0)
    network = build_network(spec_of(name, image_size=13)).double().eval()
    images = torch.randn(4, 3, 13, 13, dtype=torch.float64)
    expected = network(images)
    network, images = network.cuda(), images.cuda()
    torch.testing.assert_close(network(images).cpu(), expected, rtol=0, atol=1e-10)
    network, images = network.float().train(), images.float()
    for dtype in (torch.bfloat16, torch.float16):
        with torch.autocast("cuda", dtype=dtype):
            logits = network(images)
        assert logits.dtype == dtype
        logits.float().sum().backward()


def tiny_spec(
    image_size: int, *, in_channels: int = 3, kernels: int = 2, name: str = "tiny-conv"
) -> NetworkSpec:
    return NetworkSpec(
        name=name,
        image_size=image_size,
        num_classes=10,
        in_channels=in_channels,
        base_channels=kernels,
    )


def trained_like(spec: NetworkSpec) -> Network:
    torch.manual_seed(0)
    network = build_network(spec)
    shape = (32, spec.in_channels, spec.image_size, spec.image_size)
    for _ in range(3):
        network(torch.randn(shape))
    for name, tensor in network.state_dict().items():
        if name.endswith(("norm.weight", "norm.bias")):
            tensor.normal_()
    return network.eval()


# (image side, sides behind the four convolutions, side of the dense layer's input)
SIZES = [(28, [14, 7, 7, 4], 2), (32, [16, 8, 8, 4], 2), (8, [4, 2, 2, 1], 1), (1, [1] * 4, 1)]


@pytest.mark.parametrize(("size", "sides", "last"), SIZES)
@pytest.mark.parametrize("folded", [False, True])
def test_sizes_from_layer_to_layer(size: int, sides: list[int], last: int, folded: bool) -> None:
    spec = tiny_spec(size)
    network = build_network(spec, folded=folded)
    assert isinstance(network, TinyNetwork)
    seen = {}
    for name in ("conv1", "conv2", "conv3", "conv4"):
        network.get_submodule(name).register_forward_hook(
            lambda _module, _args, output, name=name: seen.__setitem__(name, tuple(output.shape))
        )
    assert network(torch.randn(5, 3, size, size)).shape == (5, 10)
    assert list(seen.values()) == [(5, 16, side, side) for side in sides]
    assert [layer.out_size for layer in spec.layers] == [*sides, 1]
    assert spec.layers[-1].in_size == last


@pytest.mark.parametrize(
    ("size", "in_channels", "kernels", "weights"),
    [
        # 25 c b + 3 · 9 · 8b · b + 10 · 8b · side²
        (28, 1, 2, 50 + 864 + 640),
        (32, 3, 3, 225 + 1944 + 960),
        (8, 3, 1, 75 + 216 + 80),
    ],
)
def test_weights_are_those_of_the_table(
    size: int, in_channels: int, kernels: int, weights: int
) -> None:
    spec = tiny_spec(size, in_channels=in_channels, kernels=kernels)
    assert spec.num_weights == weights
    parameters = dict(build_network(spec).named_parameters())
    counted = sum(tensor.numel() for tensor in parameters.values() if tensor.dim() > 1)
    assert counted == weights
    assert all(len(parameters[f"conv{index}_norm.weight"]) == kernels for index in (1, 2, 3, 4))
    for layer in spec.layers:
        assert tuple(parameters[f"{layer.name}.weight"].shape) == layer.weight_shape


@pytest.mark.parametrize(
    ("size", "sides"), [(32, [16, 8, 4, 2]), (28, [14, 7, 4, 2]), (1, [1] * 4)]
)
def test_the_separable_network_looks_at_one_channel_or_one_pixel_by_turns(
    size: int, sides: list[int]
) -> None:
    spec = tiny_spec(size, in_channels=1, kernels=3, name="tiny-separable")
    first, *pairs, last = spec.layers
    assert (first.out_size, last.in_size) == (sides[0], sides[-1])
    kernels = [3, 6, 9, 4]
    for index, side in enumerate(sides[:3]):
        depthwise, pointwise = pairs[2 * index : 2 * index + 2]
        assert [depthwise.in_size, pointwise.in_size] == [side, side]
        assert depthwise.weight_shape == (kernels[index], 1, 3, 3)
        assert pointwise.weight_shape == (kernels[index + 1], 8 * kernels[index], 1, 1)
    num_pairs = 9 * (3 + 6 + 9) + 8 * (3 * 6 + 6 * 9 + 9 * 4)
    assert spec.num_weights == 75 + num_pairs + 10 * 32 * sides[-1] ** 2
    network = build_network(spec)
    assert network(torch.randn(2, 1, size, size)).shape == (2, 10)
    for layer in spec.layers:
        assert tuple(network.get_submodule(layer.name).weight.shape) == layer.weight_shape


@given(size=st.integers(1, 9), channels=st.integers(1, 3), seed=st.integers(0, 1000))
@examples(0.3)
def test_pooling_is_that_of_torch(size: int, channels: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(2, channels, size, size, generator=generator).relu()
    assert torch.equal(halve(values), F.max_pool2d(values, 2, ceil_mode=True))


@pytest.mark.parametrize("size", [8, 28])
def test_folding_keeps_the_outputs(size: int) -> None:
    network = trained_like(tiny_spec(size)).double()
    images = torch.randn(6, 3, size, size, dtype=torch.float64)
    folded = fold_batch_norm(network)
    assert len(folded.state_dict()["conv2_norm.scale"]) == 2
    torch.testing.assert_close(folded(images), network(images), rtol=0, atol=1e-10)


@pytest.mark.parametrize("folded", [False, True])
def test_a_file_gives_the_same_network(folded: bool, tmp_path: Path) -> None:
    network = trained_like(tiny_spec(9))
    network = fold_batch_norm(network) if folded else network
    checkpoint = Checkpoint(
        network=network.spec, state=network.state_dict(), normalization=fixed_normalization(3)
    )
    save_checkpoint(checkpoint, tmp_path / "tiny.pt")
    found = load_checkpoint(tmp_path / "tiny.pt")
    assert found.network == network.spec
    assert found.state.keys() == network.state_dict().keys()
    assert all(torch.equal(found.state[name], each) for name, each in network.state_dict().items())
    images = torch.randn(4, 3, 9, 9)
    assert torch.equal(restore_network(found)(images), network(images))


def test_codes_number_networks_by_their_place() -> None:
    """New networks come last, or old descriptions would stand for others."""
    assert NETWORKS[:8] == (
        "d-conv",
        "d-local",
        "d-fc",
        "s-conv",
        "s-local",
        "s-fc",
        "3-fc",
        "resnet18",
    )
    assert NETWORKS[8:] == ("tiny-conv", "tiny-separable")
    with pytest.raises(ValueError, match="no conv, local and fc twins"):
        tiny_spec(8).twin("fc")


def with_statistics(name, *, image_size=9, in_channels=3, seed=0):
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
    network = with_statistics(name)
    folded = fold_batch_norm(network)
    images = torch.randn(6, 3, 9, 9, dtype=torch.float64)
    torch.testing.assert_close(folded(images), network(images), rtol=0, atol=1e-10)
    assert folded.folded
    assert not folded.training
    assert not any("running" in key for key in folded.state_dict())


def test_by_hand():
    """γ = 3, β = 1, μ = 2, σ² = 4 - ε: the scale is 3 / 2 and the shift 1 - 2 · 3 / 2."""
    network = with_statistics("s-conv")
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
    network = with_statistics("s-fc")
    exact = fold_batch_norm(network).state_dict()
    rounded = fold_batch_norm(network.float()).state_dict()
    for key, tensor in rounded.items():
        assert tensor.dtype == torch.float32
        torch.testing.assert_close(tensor.double(), exact[key], rtol=1e-6, atol=1e-6)


def test_the_original_is_left_alone():
    network = with_statistics("s-local")
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    folded = fold_batch_norm(network.train())
    with torch.no_grad():
        for parameter in folded.parameters():
            parameter.zero_()
    assert network.training
    assert all(torch.equal(before[key], tensor) for key, tensor in network.state_dict().items())


def test_folding_again_gives_a_copy():
    folded = fold_batch_norm(with_statistics("s-fc"))
    again = fold_batch_norm(folded)
    assert again is not folded
    for key, tensor in again.state_dict().items():
        assert torch.equal(tensor, folded.state_dict()[key])
        assert tensor.data_ptr() != folded.state_dict()[key].data_ptr()


def test_a_missing_tensor_is_named():
    network = with_statistics("s-fc")
    state = network.state_dict()
    del state["fc1_norm.running_var"]
    with pytest.raises(ValueError, match=r"lacks fc1_norm\.running_var"):
        fold_state(network.spec, state)
