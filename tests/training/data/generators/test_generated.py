"""Generated data sets by name."""

import hashlib
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from tests.examples import examples
from training.data.generators.drawing import STREAMS
from training.data.generators.generated import generator
from training.data.loading import load_dataset
from training.data.telling import NEARLY_CONSTANT, deviations, tell_dataset
from training.spec.config import GENERATED, DataConfig
from training.system.random_streams import Purpose

LAST = {"seed": 2**64 - 1, "start": 10**15, "stream": "fresh"}


def _num_channels(source: str) -> int:
    return 1 if source == "handwriting" else 3


@pytest.mark.parametrize("source", GENERATED)
def test_each_is_loaded_from_its_streams(source: str) -> None:
    config = DataConfig(source=source, image_size=8, num_train=30, num_test=12, seed=5)
    found = load_dataset(config)
    generated = generator(source)
    for part, stream, number in ((found.train, "train", 30), (found.test, "test", 12)):
        images, labels = generated.draw(number, image_size=8, seed=5, stream=stream)
        assert torch.equal(part.images, images)
        assert torch.equal(part.labels, labels)
    assert (found.name, found.in_channels) == (source, _num_channels(source))
    assert found.class_names == generated.class_names
    assert found.fingerprint != load_dataset(replace(config, seed=6)).fingerprint


def test_names_and_classes() -> None:
    assert [generator(name).name for name in GENERATED] == list(GENERATED)
    assert generator("leaves").class_names[-1] == "branching"
    digits = tuple("0123456789")
    assert generator("glyphs").class_names == generator("handwriting").class_names == digits


@pytest.mark.sample(3)
@pytest.mark.parametrize(
    ("source", "number", "arguments", "expected"),
    [
        ("glyphs", 300, {"image_size": 32, "seed": 0}, "02af8cdc938c0bfb"),
        ("glyphs", 300, {"image_size": 28, "seed": 7, "stream": "test"}, "23e623b56d5ee9f5"),
        ("glyphs", 300, {"image_size": 100, **LAST}, "5c058f80d89b4ce6"),
        ("handwriting", 150, {"image_size": 28, "seed": 0}, "d4f57083f095c4fe"),
        ("handwriting", 150, {"image_size": 8, "seed": 7, "stream": "test"}, "edb351fccbc6d1ac"),
        ("handwriting", 150, {"image_size": 100, **LAST}, "b782a4e6353c4312"),
        ("leaves", 150, {"image_size": 32, "seed": 0}, "82cb6cf55d1dd1c3"),
        ("leaves", 150, {"image_size": 8, "seed": 7, "stream": "test"}, "9d9259ebe835f400"),
        ("leaves", 150, {"image_size": 100, **LAST}, "ca8f54434de97f8a"),
    ],
)
def test_the_pixels_never_change(
    source: str, number: int, arguments: dict[str, Any], expected: str
) -> None:
    images, labels = generator(source).draw(number, **arguments)
    drawn = images.numpy().tobytes() + labels.numpy().tobytes()
    assert hashlib.sha256(drawn).hexdigest()[:16] == expected


@pytest.mark.parametrize("source", GENERATED)
def test_labels_are_uniform_and_no_image_is_constant(source: str) -> None:
    images, labels = generator(source).draw(5000, image_size=8)
    counts = labels.bincount(minlength=10)
    assert len(counts) == 10
    assert float(((counts - 500) ** 2 / 500).sum()) < 9 + 5 * 18**0.5
    assert float(deviations(images).min()) > NEARLY_CONSTANT
    empty, no_labels = generator(source).draw(0)
    assert empty.shape == (0, _num_channels(source), 32, 32)
    assert no_labels.shape == (0,)


@pytest.mark.slow
@pytest.mark.parametrize("source", GENERATED)
def test_the_same_scene_at_two_sizes_looks_alike(source: str) -> None:
    large, labels = generator(source).draw(64, image_size=96)
    small, same_labels = generator(source).draw(64, image_size=48)
    assert torch.equal(labels, same_labels)
    shrunk = F.avg_pool2d(large.float(), 2)
    assert float((shrunk - small.float()).abs().mean()) < 12  # of 255; the noise differs
    correlation = np.corrcoef(shrunk.flatten().numpy(), small.flatten().numpy())[0, 1]
    assert correlation > 0.97


@pytest.mark.parametrize("source", GENERATED)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_images": -1}, "num_images must be >= 0, not -1"),
        ({"num_images": 1, "image_size": 7}, "image_size must be >= 8 for {source}, not 7"),
        ({"num_images": 1, "start": -3}, "start must be >= 0, not -3"),
        ({"num_images": 1, "seed": -1}, "seed must lie in"),
        ({"num_images": 1, "stream": "new"}, "stream must be one of train, test, fresh"),
    ],
)
def test_wrong_arguments_are_named(source: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message.format(source=source)):
        generator(source).draw(**arguments)


def test_streams_of_different_generators_share_no_key() -> None:
    keys = {
        name: {each.value for each in Purpose if each.name.startswith(f"{name.upper()}_")}
        for name in GENERATED
    }
    assert all(keys.values())
    assert sum(map(len, keys.values())) == len(set.union(*keys.values()))
    assert len(Purpose) == len(Purpose.__members__)


@given(
    source=st.sampled_from(sorted(GENERATED)),
    pieces=st.lists(st.integers(0, 30), max_size=4),
    first=st.integers(0, 10**6),
    settings=st.fixed_dictionaries(
        {
            "image_size": st.integers(8, 20),
            "seed": st.integers(0, 2**64 - 1),
            "stream": st.sampled_from(STREAMS),
        }
    ),
)
@examples(0.5)
def test_pieces_make_the_whole(source, pieces, first, settings) -> None:
    draw, size = partial(generator(source).draw, **settings), settings["image_size"]
    whole, whole_labels = draw(sum(pieces), start=first)
    assert whole.shape == (sum(pieces), _num_channels(source), size, size)
    assert (whole.dtype, whole_labels.dtype) == (torch.uint8, torch.int64)
    assert all(0 <= label < len(generator(source).class_names) for label in whole_labels.tolist())
    start = 0
    for piece in pieces:
        images, labels = draw(piece, start=first + start)
        assert torch.equal(images, whole[start : start + piece])
        assert torch.equal(labels, whole_labels[start : start + piece])
        start += piece


@pytest.mark.parametrize("source", GENERATED)
def test_pieces_that_cross_a_block_of_work(source: str) -> None:
    images, labels = generator(source).draw(150, image_size=32)
    later, later_labels = generator(source).draw(80, image_size=32, start=21)
    assert torch.equal(later, images[21:101])
    assert torch.equal(later_labels, labels[21:101])


@pytest.mark.parametrize("source", GENERATED)
def test_streams_and_seeds_share_no_image(source: str) -> None:
    seen: dict[bytes, tuple[str, int]] = {}
    for stream in STREAMS:
        for seed in range(3):
            for image in generator(source).draw(100, image_size=8, seed=seed, stream=stream)[0]:
                assert seen.setdefault(image.numpy().tobytes(), (stream, seed)) == (stream, seed)
    assert len(seen) == 3 * 3 * 100


def test_leaves_have_nothing_to_complain_of() -> None:
    dataset = load_dataset(DataConfig(source="leaves", image_size=16, num_train=600, num_test=200))
    lines = tell_dataset(dataset)
    assert lines[0] == "leaves: 600 training and 200 test images, 3x16x16."
    assert lines[1] == "10 classes: disc, ring, square, triangle, star and 5 more."
    assert len(lines) == 3
