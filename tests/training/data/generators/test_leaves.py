"""The leaves: classes that are told apart, and what their scenes are made of."""

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
from training.data.generators.leaves import LEAVES
from training.data.generators.scene import Scene


@pytest.mark.slow
def test_a_label_is_not_in_the_colours():
    """Means of channels alone tell nearly nothing: a linear fit stays near guessing."""
    images, labels = LEAVES.draw(6000, image_size=16, seed=3)
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
    images, labels = LEAVES.draw(6000, image_size=size, seed=1)
    test_images, test_labels = LEAVES.draw(1500, image_size=size, seed=1, stream="test")
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
    for label, name in enumerate(LEAVES.class_names):
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
