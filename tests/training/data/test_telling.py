"""What is said of a data set: counts by another route, a line for each thing that is strange."""

from collections import Counter
from pathlib import Path

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.training.data.made_sets import load, picture, write_classes, write_pair
from training.data.generators.glyphs import GLYPHS
from training.data.image_set import Dataset, ImageSet, Reading
from training.data.telling import (
    NEARLY_CONSTANT,
    count_repeated,
    deviations,
    find_repeats,
    tell_dataset,
)

READING = Reading(labels="column 'label'", train="train.parquet", test="test.parquet")


def images(values: list[int], labels: list[int]) -> ImageSet:
    """Images of one value each, but for a first pixel of 255, so that they are not constant."""
    pixels = torch.tensor(values, dtype=torch.uint8).view(-1, 1, 1, 1).repeat(1, 1, 4, 4)
    pixels[:, :, 0, 0] = 255
    return ImageSet(pixels, torch.tensor(labels))


def dataset(train: ImageSet, test: ImageSet, names: tuple[str, ...] = ("a", "b", "c")) -> Dataset:
    return Dataset("pets", train, test, names, "f" * 64, READING)


@given(st.lists(st.integers(0, 20), min_size=1, max_size=60))
def test_repeats_are_counted_as_by_a_counter(values: list[int]) -> None:
    found = count_repeated(images(values, [0] * len(values)))
    assert found == sum(count - 1 for count in Counter(values).values())


def test_repeats_with_other_labels_and_in_the_test_images() -> None:
    train, test = images([1, 1, 2, 2, 2, 3], [0, 0, 1, 2, 1, 2]), images([3, 4, 3, 1], [0] * 4)
    found = find_repeats(dataset(train, test))
    assert (found.train, found.relabelled, found.shared) == (3, 1, 3)
    lines = " ".join(tell_dataset(dataset(train, test)))
    assert "3 of 6 training images repeat another one, 1 with another label: bounds" in lines
    assert "3 of 4 test images are training images too" in lines


def test_glyphs_have_no_repeats_and_nothing_to_complain_of() -> None:
    sets = [ImageSet(*GLYPHS.draw(500, image_size=16, stream=name)) for name in ("train", "test")]
    lines = tell_dataset(Dataset("glyphs", *sets, tuple("0123456789"), "f" * 64))
    assert lines[0] == "glyphs: 500 training and 500 test images, 3x16x16."
    assert lines[1] == "10 classes: 0, 1, 2, 3, 4 and 5 more."
    assert lines[2].startswith("Training images by class: ")
    assert len(lines) == 3


def test_first_lines_say_what_was_understood(tmp_path: Path) -> None:
    write_pair(tmp_path, ["cat"] * 2 + ["dog"] * 3 + ["ant"], ["cat", "dog", "ant"])
    lines = tell_dataset(load(tmp_path, tmp_path / "cache"))
    assert lines == [
        f"{tmp_path.name}: 6 training and 3 test images, 3x8x8.",
        "Labels: column 'label', text in the order of its names; 3 classes: ant, cat, dog.",
        "Training images by class: 1 (ant) to 3 (dog); no two are equal.",
        "Splits: training from train-00000-of-00001.parquet, test from "
        "test-00000-of-00001.parquet.",
    ]


def test_a_sample_that_lacks_classes() -> None:
    some = dataset(images([1, 2, 3], [0, 0, 1]), images([5], [0]))
    lines = tell_dataset(some, num_train=3, num_test=1)
    assert "The first 3 training images hold 2 of 3 classes, none of c: take more" in lines[4]
    assert "The first 1 test images hold 1 of 3 classes, none of b, c: take more" in lines[5]
    whole = tell_dataset(some)
    assert whole[4] == "1 of 3 classes never occur among the training images: c."


def test_names_that_differ_by_case_alone() -> None:
    some = dataset(images([1, 2, 3], [0, 1, 2]), images([4, 5, 6], [0, 1, 2]), ("Cat", "cat ", "d"))
    assert "differ by case or spaces alone: 'Cat' and 'cat '." in tell_dataset(some)[-1]


def test_deviations_are_those_of_numpy() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (7, 3, 5, 5), dtype=np.uint8)
    pixels[0, 1:] = 9  # its first channel alone varies
    wanted = pixels.reshape(7, 3, 25).astype(float).std(axis=2).max(axis=1)
    assert np.allclose(deviations(torch.from_numpy(pixels)), wanted)


def test_constant_images_are_counted(tmp_path: Path) -> None:
    for split in ("train", "test"):
        write_classes(tmp_path / split, ["cat", "dog"])
    flat, faint = picture(1), picture(2)
    flat.paste((200, 0, 0), (0, 0, 8, 8))
    faint.paste((90, 90, 90), (0, 0, 8, 8))
    faint.putpixel((0, 0), (95, 90, 90))
    flat.save(tmp_path / "train" / "cat" / "flat.png")
    faint.save(tmp_path / "train" / "cat" / "faint.png")
    lines = tell_dataset(load(tmp_path, tmp_path / "cache"))
    assert "2 of 8 training images are constant or nearly so, 1 of them wholly" in lines[-2]
    assert deviations(torch.from_numpy(np.array(faint)).permute(2, 0, 1)[None]) < NEARLY_CONSTANT
