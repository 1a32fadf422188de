"""The leaves: the same pixels everywhere, in any pieces, from streams apart, with told classes."""

import hashlib

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from tests.examples import examples
from training.data.generators.leaf_scene import (
    GRAIN_WORDS,
    SCENE_WORDS,
    _interpolate,
    _power_law_radius,
    _soften,
    paint,
)
from training.data.generators.leaves import CLASS_NAMES, draw_leaves
from training.data.generators.scene import Scene
from training.data.telling import NEARLY_CONSTANT, deviations

STREAMS = ("train", "test", "fresh")


def digest(images: torch.Tensor, labels: torch.Tensor) -> str:
    return hashlib.sha256(images.numpy().tobytes() + labels.numpy().tobytes()).hexdigest()[:16]


@pytest.mark.sample(3)
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"image_size": 32, "seed": 0, "stream": "train"}, "82cb6cf55d1dd1c3"),
        ({"image_size": 8, "seed": 7, "stream": "test"}, "9d9259ebe835f400"),
        (
            {"image_size": 100, "seed": 2**64 - 1, "start": 10**15, "stream": "fresh"},
            "ca8f54434de97f8a",
        ),
    ],
)
def test_the_pixels_never_change(arguments, expected):
    assert digest(*draw_leaves(150, **arguments)) == expected


def test_labels_are_uniform_and_no_image_is_constant():
    images, labels = draw_leaves(5000, image_size=8)
    counts = labels.bincount(minlength=10)
    assert len(counts) == 10
    assert float(((counts - 500) ** 2 / 500).sum()) < 9 + 5 * 18**0.5
    assert float(deviations(images).min()) > NEARLY_CONSTANT
    empty, no_labels = draw_leaves(0)
    assert empty.shape == (0, 3, 32, 32)
    assert no_labels.shape == (0,)


@pytest.mark.slow
def test_the_same_scene_at_two_sizes_looks_alike():
    large, labels = draw_leaves(64, image_size=96)
    small, same_labels = draw_leaves(64, image_size=48)
    assert torch.equal(labels, same_labels)
    shrunk = F.avg_pool2d(large.float(), 2)
    assert float((shrunk - small.float()).abs().mean()) < 12  # of 255; the noise differs
    correlation = np.corrcoef(shrunk.flatten().numpy(), small.flatten().numpy())[0, 1]
    assert correlation > 0.97


@pytest.mark.slow
def test_a_label_is_not_in_the_colours():
    """Means of channels alone tell nearly nothing: a linear fit stays near guessing."""
    images, labels = draw_leaves(6000, image_size=16, seed=3)
    colours = images.double().mean(dim=(2, 3))
    inputs = torch.cat([colours, torch.ones(len(colours), 1)], dim=1)
    fit = torch.linalg.lstsq(inputs[:4000], F.one_hot(labels[:4000], 10).double()).solution
    hits = (inputs[4000:] @ fit).argmax(dim=1) == labels[4000:]
    assert float(hits.double().mean()) < 0.15


@pytest.mark.slow
@pytest.mark.parametrize("size", [16, 32])
def test_each_class_is_told_from_the_others(size: int):
    """By a quick fit: an image of a class mostly gets more of its logit than one of the others."""
    generator = torch.Generator().manual_seed(0)
    images, labels = draw_leaves(6000, image_size=size, seed=1)
    test_images, test_labels = draw_leaves(1500, image_size=size, seed=1, stream="test")
    inputs, test_inputs = (part.float() / 64 - 2 for part in (images, test_images))
    layers = [(16, 3), (32, 16), (64, 32)]
    weights = [
        torch.randn(out, channels, 3, 3, generator=generator) * (2 / (9 * channels)) ** 0.5
        for out, channels in layers
    ]
    weights.append(torch.zeros(10, 64 * 4))
    for weight in weights:
        weight.requires_grad_(True)

    def logits(batch: torch.Tensor) -> torch.Tensor:
        for weight in weights[:-1]:
            batch = F.relu(F.conv2d(batch, weight, padding=1))
            batch = F.max_pool2d(batch, 2) if batch.shape[-1] > 4 else batch
            batch = (batch - batch.mean((0, 2, 3), keepdim=True)) / batch.std()
        return F.adaptive_avg_pool2d(batch, 2).flatten(1) @ weights[-1].T

    optimizer = torch.optim.Adam(weights, lr=3e-3)
    for _ in range(4):
        for rows in torch.randperm(len(inputs), generator=generator).split(100):
            optimizer.zero_grad()
            F.cross_entropy(logits(inputs[rows]), labels[rows]).backward()
            optimizer.step()
    with torch.no_grad():
        found = logits(test_inputs)
    error = float((found.argmax(dim=1) != test_labels).double().mean())
    assert 0.05 < error < 0.8  # of 0.9 by guessing
    for label, name in enumerate(CLASS_NAMES):
        own, others = (found[test_labels == label, label], found[test_labels != label, label])
        above = float((own[:, None] > others).double().mean())  # 0.5 by guessing
        assert above > 0.6, name


def test_scenes_use_the_numbers_set_aside():
    numbers = np.random.default_rng(0).random((2, SCENE_WORDS))
    grain = np.zeros((4, 2, GRAIN_WORDS), dtype=np.float32)
    scene = Scene(numbers)
    paint(scene, grain, np.zeros((2, 3, 8, 8), dtype=np.float32), 8)
    assert len(list(scene._columns)) < 8


def test_radii_follow_the_power_law():
    """Density r^-3: a share (x^-2 - b^-2) / (a^-2 - b^-2) of radii in [a, b] lies above x."""
    scene = Scene(np.linspace(0, 1, 10_000, endpoint=False)[:, None])
    radius = _power_law_radius(scene, 0.1, 0.8).ravel()
    assert radius.dtype == np.float32
    assert (radius.min(), radius.max()) == pytest.approx((0.1, 0.8), rel=0.01)
    for x in (0.12, 0.2, 0.4, 0.7):
        expected = (x**-2 - 0.8**-2) / (0.1**-2 - 0.8**-2)
        assert float((radius > x).mean()) == pytest.approx(expected, abs=1e-3)


@given(size=st.integers(8, 24), cells=st.sampled_from([3, 5, 17]), seed=st.integers(0, 99))
@examples(0.2)
def test_textures_interpolate_their_lattice(size: int, cells: int, seed: int):
    generator = np.random.default_rng(seed)
    lattice = generator.standard_normal((2, cells + 2, cells + 2)).astype(np.float32)
    moves = generator.random((2, 2, 1)).astype(np.float32)
    found = _interpolate(_interpolate(lattice, moves[0], cells, size), moves[1], cells, size)
    assert found.shape == (2, size, size)
    for image, row, column in ((0, 0, 0), (1, size - 1, size // 2), (0, size // 2, size - 1)):
        value = 0.0
        place = [
            (pixel + 0.5) * cells / size + float(moves[axis, image, 0])
            for axis, pixel in ((0, row), (1, column))
        ]
        for i in range(cells + 2):
            for j in range(cells + 2):
                near = [max(0.0, 1 - abs(place[0] - i)), max(0.0, 1 - abs(place[1] - j))]
                smooth = [share**2 * (3 - 2 * share) for share in near]
                value += smooth[0] * smooth[1] * float(lattice[image, i, j])
        assert found[image, row, column] == pytest.approx(value, abs=2e-3)


def test_softening_keeps_a_constant_and_spreads_a_point():
    images = np.zeros((1, 3, 5, 5), dtype=np.float32)
    images[:, :, 2, 2] = 1
    constant = np.full((1, 3, 4, 4), 0.3, dtype=np.float32)
    full = np.ones((1, 1, 1), dtype=np.float32)
    _soften(images, full)
    _soften(constant, full)
    row = np.array([0.25, 0.5, 0.25])
    np.testing.assert_allclose(images[0, 0, 1:4, 1:4], np.outer(row, row), atol=1e-6)
    np.testing.assert_allclose(constant, 0.3, atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_images": -1}, "num_images must be >= 0, not -1"),
        ({"num_images": 1, "image_size": 7}, "image_size must be >= 8 for leaves, not 7"),
        ({"num_images": 1, "start": -3}, "start must be >= 0, not -3"),
        ({"num_images": 1, "seed": -1}, "seed must lie in"),
        ({"num_images": 1, "stream": "new"}, "stream must be one of train, test, fresh"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        draw_leaves(**arguments)
