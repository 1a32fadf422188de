"""What counts as an error, and that nothing but network and images moves the count."""

import math

import pytest
import torch

from analysis.certify.errors import count_certified_errors, decide
from training.data.generators.glyphs import GLYPHS
from training.data.image_set import ImageSet
from training.data.input_map import InputMap
from training.networks.models import Network, build_network, fold_batch_norm, network_from_state
from training.run.evaluate import count_errors
from training.spec.architectures import NetworkSpec
from training.spec.normalization import Normalization, fixed_normalization

FIXED = InputMap(fixed_normalization(1))


def linear_network(weight: list[list[float]], bias: list[float]) -> Network:
    """Logits weight @ (the four inputs of a 2x2 image + 8) + bias: both ReLUs are open."""
    spec = NetworkSpec(name="3-fc", image_size=2, num_classes=2, in_channels=1, hidden_units=4)
    eye = torch.eye(4)
    state = {
        "fc1.weight": eye,
        "fc1_norm.scale": torch.ones(4),
        "fc1_norm.shift": torch.full((4,), 8.0),
        "fc2.weight": eye,
        "fc2_norm.scale": torch.ones(4),
        "fc2_norm.shift": torch.zeros(4),
        "fc3.weight": torch.tensor(weight),
        "fc3.bias": torch.tensor(bias),
    }
    return network_from_state(spec, state).eval()


def image_set(pixels: list[list[int]], labels: list[int]) -> ImageSet:
    images = torch.tensor(pixels, dtype=torch.uint8).view(-1, 1, 2, 2)
    return ImageSet(images, torch.tensor(labels, dtype=torch.int64))


COMPARE = linear_network([[1.0, 0, 0, 0], [0, 1.0, 0, 0]], [0.0, 0.0])


def test_ties_are_errors_and_one_step_of_a_pixel_decides() -> None:
    pixels = [[7, 7, 0, 9], [7, 8, 0, 9], [8, 7, 0, 9], [255, 254, 0, 9]]
    for label, num_errors in ((0, 2), (1, 3)):
        found = count_certified_errors(COMPARE, image_set(pixels, [label] * 4), FIXED)
        assert (found.num_errors, found.num_samples, found.num_ties) == (num_errors, 4, 1)
        assert found.error == num_errors / 4


def test_margins_just_above_and_just_below() -> None:
    step = 2.0**-18  # far below float16, a bias may have it
    images = image_set([[9, 9, 0, 0]] * 2, [0, 1])
    up = linear_network([[1.0, 0, 0, 0], [0, 1.0, 0, 0]], [step, 0.0])
    assert count_certified_errors(up, images, FIXED).num_errors == 1  # only the image of class 1
    assert decide(up, images.images, FIXED).margins.tolist() == [step, step]
    assert count_certified_errors(COMPARE, images, FIXED).num_ties == 2


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_logits_that_are_not_finite_are_errors(bad: float) -> None:
    network = linear_network([[1.0, 0, 0, 0], [0, 1.0, 0, 0]], [0.0, 0.0])
    with torch.no_grad():
        network.get_parameter("fc3.bias")[1] = bad
    found = count_certified_errors(network, image_set([[9, 1, 0, 0]], [0]), FIXED)
    assert (found.num_errors, found.num_ties) == (1, 0)


def test_overflow_is_an_error() -> None:
    network = linear_network([[1.0, 0, 0, 0], [0, 0, 0, 0]], [0.0, 0.0])
    huge = torch.finfo(torch.float32).max
    with torch.no_grad():
        for layer in ("fc1", "fc2"):
            network.get_parameter(f"{layer}.weight").fill_(huge)
            network.get_parameter(f"{layer}_norm.scale").fill_(huge)
    found = count_certified_errors(network, image_set([[200, 200, 200, 200]], [0]), FIXED)
    assert found.num_errors == 1


def trained_like_network(name: str = "s-local", image_size: int = 8) -> Network:
    torch.manual_seed(0)
    spec = NetworkSpec(name=name, image_size=image_size, num_classes=10, base_channels=2)
    network = build_network(spec)
    for _ in range(3):
        network(torch.randn(64, 3, image_size, image_size))
    return fold_batch_norm(network.eval())


@pytest.mark.sample(3)
@pytest.mark.parametrize(
    "name", ["s-conv", "s-fc", "d-conv", "d-fc", "resnet18", "tiny-conv", "tiny-separable"]
)
@pytest.mark.parametrize("permuted", [False, True])
def test_it_agrees_with_float32_where_no_margin_is_tiny(name: str, permuted: bool) -> None:
    network = trained_like_network(name)
    images = ImageSet(*GLYPHS.draw(200, image_size=8))
    normalization = Normalization(mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3), source="data")
    inputs = InputMap(normalization, 3 if permuted else None)
    assert decide(network, images.images, inputs).margins.min() > 0
    expected = count_errors(network, images, inputs)
    found = count_certified_errors(network, images, inputs)
    assert found.num_errors == expected
    assert found.num_ties == 0


def test_batches_change_nothing_and_progress_is_told() -> None:
    network = trained_like_network()
    images = ImageSet(*GLYPHS.draw(100, image_size=8))
    told: list[tuple[int, int]] = []
    counts = {
        count_certified_errors(
            network,
            images,
            InputMap(fixed_normalization(3)),
            batch_size=size,
            progress=lambda done, total: told.append((done, total)),
        ).num_errors
        for size in (None, 1, 7, 100)
    }
    assert len(counts) == 1
    assert told[0] == told[-1] == (100, 100)
    assert (98, 100) in told


def test_decisions_of_equal_functions_are_equal() -> None:
    network = trained_like_network()
    images = GLYPHS.draw(150, image_size=8)[0]
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    factors = torch.rand(len(state["fc1_norm.scale"])) + 0.5
    state["fc1_norm.scale"] *= factors
    state["fc1_norm.shift"] *= factors
    state["fc2.weight"] /= factors
    inputs = InputMap(fixed_normalization(3))
    before = decide(network, images, inputs)
    after = decide(network_from_state(network.spec, state), images, inputs, batch_size=40)
    assert torch.equal(before.classes, after.classes)
    assert torch.allclose(before.margins, after.margins, atol=1e-6)
    state["fc2.bias"][3] += 100
    other = decide(network_from_state(network.spec, state), images, inputs)
    assert other.classes.eq(3).all()


def test_no_images_at_all() -> None:
    images = image_set([], [])
    with pytest.raises(ValueError, match="num_samples must be an integer >= 1"):
        count_certified_errors(COMPARE, images, FIXED)
    assert len(decide(COMPARE, images.images, FIXED).classes) == 0


@pytest.mark.cuda
def test_cuda_gives_the_same_logits() -> None:
    from analysis.certify.exact_evaluation import exact_arithmetic, exact_network

    for name in ("s-conv", "d-local", "resnet18"):
        network = trained_like_network(name, image_size=12)
        inputs = torch.randn(50, 3, 12, 12, dtype=torch.float64)
        with exact_arithmetic():
            here = exact_network(network)(inputs)
            there = exact_network(network, "cuda")(inputs.cuda()).cpu()
        assert torch.equal(here, there)
