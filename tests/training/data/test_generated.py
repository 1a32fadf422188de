"""Generated data sets by name."""

from dataclasses import replace

import pytest
import torch

from training.data import glyphs, leaves
from training.data.generated import class_names, generator
from training.data.loading import load_dataset
from training.data.telling import tell_dataset
from training.spec.config import GENERATED, DataConfig
from training.system.random_streams import Purpose


@pytest.mark.parametrize("source", GENERATED)
def test_each_is_loaded_from_its_streams(source: str) -> None:
    config = DataConfig(source=source, image_size=8, num_train=30, num_test=12, seed=5)
    found = load_dataset(config)
    draw = generator(source)
    for part, stream, number in ((found.train, "train", 30), (found.test, "test", 12)):
        images, labels = draw(number, image_size=8, seed=5, stream=stream)
        assert torch.equal(part.images, images)
        assert torch.equal(part.labels, labels)
    assert (found.name, found.in_channels) == (source, 1 if source == "glyphs-grey" else 3)
    assert found.class_names == class_names(source)
    assert found.fingerprint != load_dataset(replace(config, seed=6)).fingerprint


def test_names_and_generators() -> None:
    first = {name: generator(name)(4, image_size=8)[0] for name in GENERATED}
    assert torch.equal(first["glyphs"], glyphs.draw_glyphs(4, image_size=8)[0])
    assert torch.equal(first["glyphs-grey"], glyphs.draw_glyphs(4, image_size=8, grey=True)[0])
    assert torch.equal(first["leaves"], leaves.draw_leaves(4, image_size=8)[0])
    assert class_names("leaves")[-1] == "branching"
    assert class_names("glyphs-grey") == tuple("0123456789")


def test_streams_of_different_generators_share_no_key() -> None:
    keys = {
        name: {each.value for each in Purpose if each.name.startswith(f"{name.upper()}_")}
        for name in set(GENERATED.values())
    }
    assert all(keys.values())
    assert not keys["glyphs"] & keys["leaves"]


def test_leaves_have_nothing_to_complain_of() -> None:
    dataset = load_dataset(DataConfig(source="leaves", image_size=16, num_train=600, num_test=200))
    lines = tell_dataset(dataset)
    assert lines[0] == "leaves: 600 training and 200 test images, 3x16x16."
    assert lines[1] == "10 classes: disc, ring, square, triangle, star and 5 more."
    assert len(lines) == 3
