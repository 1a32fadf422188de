"""Quantization-aware training: it learns, a penalty makes it shorter, and it says what it does."""

import math

import pytest
import torch
import torch.nn.functional as F

from analysis.compress.qat_network import QATNetwork, new_qat_network
from analysis.compress.qat_training import QATEpoch, QATSettings, QATTraining, evaluate_quantized
from tests.analysis.compress.whole_training import train_quantized
from training.data.generators.glyphs import GLYPHS
from training.data.image_set import ImageSet
from training.data.input_map import InputMap
from training.errors import TrainingError
from training.spec.architectures import NetworkSpec
from training.spec.config import Augmentation
from training.spec.normalization import fixed_normalization

FIXED = InputMap(fixed_normalization(3))


def to_e4m3fn(values: torch.Tensor) -> torch.Tensor:
    return values.to(torch.float8_e4m3fn).float()


@pytest.fixture(scope="module")
def images() -> ImageSet:
    return ImageSet(*GLYPHS.draw(200, image_size=8))


def new_network(name: str = "tiny-conv") -> QATNetwork:
    width = {"hidden_units": 8} if name == "3-fc" else {"base_channels": 2}
    spec = NetworkSpec(name=name, image_size=8, num_classes=10, **width)
    return new_qat_network(spec, max_level=2, seed=0, round_scale=to_e4m3fn)


def free(_error: float, _loss: float, _bits: float) -> float:
    return 0.0


def measure(network: QATNetwork, images: ImageSet) -> float:
    logits = evaluate_quantized(network, images, FIXED)
    return float(F.cross_entropy(logits, images.labels))


@pytest.mark.sample(3)
@pytest.mark.parametrize("name", ["tiny-conv", "s-fc", "s-local", "s-conv", "3-fc"])
def test_loss_falls_and_numbers_stay_those_of_the_format(name: str, images: ImageSet) -> None:
    network = new_network(name)
    before = measure(network, images)
    history = train_quantized(
        network, images, FIXED, QATSettings(epochs=12, batch_size=25, lr=0.1), penalty=free
    )
    assert measure(network, images) < before - 0.1
    assert history[-1].loss < history[0].loss
    for key, tensor in network.folded_state().items():
        assert torch.equal(to_e4m3fn(tensor), tensor), key
    assert all(tensor.abs().max() <= 16 for tensor in network.levels().values())


@pytest.mark.slow
def test_a_penalty_makes_the_network_shorter(images: ImageSet) -> None:
    settings = QATSettings(epochs=8, batch_size=50, lr=0.1)
    bits = {}
    for nats in (0.0, 1e-3, 1e-2):
        history = train_quantized(
            new_network(), images, FIXED, settings, penalty=lambda *_seen, nats=nats: nats
        )
        bits[nats] = history[-1].bits
    assert bits[0.0] > bits[1e-3] > bits[1e-2]
    assert bits[1e-2] < 0.75 * bits[0.0]


def test_epochs_are_told_and_the_penalty_is_asked_for_after_each(images: ImageSet) -> None:
    asked: list[tuple[float, float, float]] = []
    told: list[QATEpoch] = []
    network = new_network()

    def penalty(error: float, loss: float, bits: float) -> float:
        asked.append((error, loss, bits))
        return 1e-5

    history = train_quantized(
        network,
        images,
        FIXED,
        QATSettings(epochs=3, batch_size=64),
        penalty=penalty,
        on_epoch=told.append,
    )
    assert history == told
    assert [each.epoch for each in history] == [1, 2, 3]
    assert asked == [(each.error, each.loss, each.bits) for each in history]
    assert all(each.error * 192 == pytest.approx(round(each.error * 192)) for each in history)
    assert history[-1].bits == float(network.rate().detach())
    assert [each.seconds for each in history] == sorted(each.seconds for each in history)


def test_one_step_is_adams_on_the_straight_through_gradient(images: ImageSet) -> None:
    """The first step of Adam moves each number with a gradient by the learning rate."""
    network, same = new_network("s-conv"), new_network("s-conv")
    inputs = FIXED(images.images)
    F.cross_entropy(same(inputs), images.labels).backward()
    train_quantized(
        network, images, FIXED, QATSettings(epochs=1, batch_size=500, lr=0.02), penalty=free
    )
    gradient = same.values.grad
    expected = same.values - 0.02 * gradient / (gradient.abs() + 1e-8)
    chosen = gradient.abs() > 1e-5
    assert chosen.float().mean() > 0.5
    torch.testing.assert_close(network.values[chosen], expected[chosen], rtol=0, atol=1e-4)


def test_the_seed_decides_everything(images: ImageSet) -> None:
    settings = QATSettings(
        epochs=2, batch_size=50, augmentation=Augmentation(flip=True, crop=1, cutout=2)
    )
    networks = [new_network() for _ in range(3)]
    for network, seed in zip(networks, (0, 0, 1), strict=True):
        chosen = QATSettings(epochs=2, batch_size=50, seed=seed, augmentation=settings.augmentation)
        train_quantized(network, images, FIXED, chosen, penalty=free)
    first, second, third = (network.latents["fc.weight"] for network in networks)
    assert torch.equal(first, second)
    assert not torch.equal(first, third)


@pytest.mark.parametrize("steps", [1, 4, 7, 8, 11])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_training_that_was_cut_continues_to_the_same_bits(
    images: ImageSet, steps: int, precision: str
) -> None:
    """Four steps an epoch: at the end of the first, in the middle, and where lengths are old."""
    settings = QATSettings(
        epochs=3, batch_size=50, augmentation=Augmentation(flip=True, crop=1), precision=precision
    )

    def start(network: QATNetwork) -> QATTraining:
        return QATTraining(network, images, FIXED, settings, penalty=lambda *seen: 1e-4 * seen[0])

    whole = new_network()
    told = train_quantized(whole, images, FIXED, settings, penalty=lambda *seen: 1e-4 * seen[0])
    first = start(new_network())
    for _ in range(steps):
        first.take_step()
    saved = {
        name: value.clone() if isinstance(value, torch.Tensor) else value
        for name, value in first.state().items()
    }
    network = new_network()
    second = start(network)
    second.restore(saved)
    while not second.is_done:
        last = second.take_step()
    assert torch.equal(network.values, whole.values)
    assert torch.equal(network.log_scales, whole.log_scales)
    assert (last.error, last.loss, last.bits) == (told[-1].error, told[-1].loss, told[-1].bits)


def test_bfloat16_learns_the_same_and_its_logits_are_close(images: ImageSet) -> None:
    network = new_network()
    exact = network(FIXED(images.images))
    rounded = network(FIXED(images.images, dtype=torch.bfloat16))
    assert rounded.dtype == torch.float32
    assert torch.corrcoef(torch.stack([exact.flatten(), rounded.flatten()]))[0, 1] > 0.999
    settings = QATSettings(epochs=12, batch_size=25, lr=0.1, precision="bf16")
    before = measure(network, images)
    train_quantized(network, images, FIXED, settings, penalty=free)
    assert measure(network, images) < before - 0.1


def test_evaluation_is_the_forward_pass_on_permuted_images(images: ImageSet) -> None:
    network = new_network("s-fc")
    permuted = InputMap(fixed_normalization(3), 3)
    found = evaluate_quantized(network, images, permuted)
    expected = network(permuted(images.images))
    torch.testing.assert_close(found, expected)
    assert found.dtype == torch.float32
    assert not found.requires_grad
    assert not torch.equal(found, evaluate_quantized(network, images, FIXED))


def test_a_loss_that_is_not_finite_stops_training(images: ImageSet) -> None:
    network = new_network()
    with torch.no_grad():
        network.log_scales[-1].fill_(math.inf)
    with pytest.raises(TrainingError, match="not finite in epoch 1; lower the learning rate"):
        train_quantized(network, images, FIXED, QATSettings(epochs=2), penalty=free)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"epochs": 0}, "epochs must be >= 1, not 0"),
        ({"batch_size": 0}, "batch_size must be >= 1, not 0"),
        ({"lr": 0.0}, "lr must be > 0"),
        ({"lr": math.inf}, "lr must be > 0"),
        ({"lr": math.nan}, "lr must be > 0"),
        ({"ramp": 1.1}, r"ramp must lie in \[0, 1\]"),
        ({"ramp": math.nan}, r"ramp must lie in \[0, 1\]"),
        ({"precision": "fp16"}, "precision must be bf16 or fp32, not 'fp16'"),
    ],
)
def test_settings_outside_their_range(values: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        QATSettings(**({"epochs": 1} | values))
