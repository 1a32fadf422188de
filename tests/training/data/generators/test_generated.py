"""Generated data sets by name."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.examples import examples
from training.data.generators import glyphs, handwriting, leaves
from training.data.generators.drawing import STREAMS
from training.data.generators.generated import class_names, generator
from training.data.loading import load_dataset
from training.data.telling import tell_dataset
from training.spec.config import GENERATED, DataConfig
from training.system.random_streams import Purpose


def _num_channels(source: str) -> int:
    return 1 if source == "handwriting" else 3


@pytest.mark.parametrize("source", GENERATED)
def test_each_is_loaded_from_its_streams(source: str) -> None:
    config = DataConfig(source=source, image_size=8, num_train=30, num_test=12, seed=5)
    found = load_dataset(config)
    draw = generator(source)
    for part, stream, number in ((found.train, "train", 30), (found.test, "test", 12)):
        images, labels = draw(number, image_size=8, seed=5, stream=stream)
        assert torch.equal(part.images, images)
        assert torch.equal(part.labels, labels)
    assert (found.name, found.in_channels) == (source, _num_channels(source))
    assert found.class_names == class_names(source)
    assert found.fingerprint != load_dataset(replace(config, seed=6)).fingerprint


def test_names_and_generators() -> None:
    first = {name: generator(name)(4, image_size=8)[0] for name in GENERATED}
    assert torch.equal(first["glyphs"], glyphs.draw_glyphs(4, image_size=8)[0])
    assert torch.equal(first["handwriting"], handwriting.draw_handwriting(4, image_size=8)[0])
    assert torch.equal(first["leaves"], leaves.draw_leaves(4, image_size=8)[0])
    assert class_names("leaves")[-1] == "branching"
    assert class_names("glyphs") == class_names("handwriting") == tuple("0123456789")


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
    draw, size = partial(generator(source), **settings), settings["image_size"]
    whole, whole_labels = draw(sum(pieces), start=first)
    assert whole.shape == (sum(pieces), _num_channels(source), size, size)
    assert (whole.dtype, whole_labels.dtype) == (torch.uint8, torch.int64)
    assert all(0 <= label < len(class_names(source)) for label in whole_labels.tolist())
    start = 0
    for piece in pieces:
        images, labels = draw(piece, start=first + start)
        assert torch.equal(images, whole[start : start + piece])
        assert torch.equal(labels, whole_labels[start : start + piece])
        start += piece


@pytest.mark.parametrize("source", GENERATED)
def test_pieces_that_cross_a_block_of_work(source: str) -> None:
    images, labels = generator(source)(150, image_size=32)
    later, later_labels = generator(source)(80, image_size=32, start=21)
    assert torch.equal(later, images[21:101])
    assert torch.equal(later_labels, labels[21:101])


@pytest.mark.parametrize("source", GENERATED)
def test_streams_and_seeds_share_no_image(source: str) -> None:
    seen: dict[bytes, tuple[str, int]] = {}
    for stream in STREAMS:
        for seed in range(3):
            for image in generator(source)(100, image_size=8, seed=seed, stream=stream)[0]:
                assert seen.setdefault(image.numpy().tobytes(), (stream, seed)) == (stream, seed)
    assert len(seen) == 3 * 3 * 100


def test_leaves_have_nothing_to_complain_of() -> None:
    dataset = load_dataset(DataConfig(source="leaves", image_size=16, num_train=600, num_test=200))
    lines = tell_dataset(dataset)
    assert lines[0] == "leaves: 600 training and 200 test images, 3x16x16."
    assert lines[1] == "10 classes: disc, ring, square, triangle, star and 5 more."
    assert len(lines) == 3
