"""The prequential code: what a block may depend on, what is kept, and what is refused."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from analysis.codelength.label_code import frequency_bits, uniform_bits
from analysis.codelength.prequential import SETTING_FILE, Block, block_ends, code_prequentially
from training.data.image_set import Dataset, ImageSet, compute_fingerprint
from training.distributed.run_options import RunOptions
from training.errors import CheckpointError, ConfigError
from training.run.progress import Unwatched
from training.spec.config import DataConfig, TrainConfig
from training.spec.recipes import recipe_config
from training.system.random_streams import Purpose, random_permutation

NUM = 200
CONFIG = recipe_config(
    "quick",
    "s-conv",
    data=DataConfig(source="glyphs"),
    base_channels=1,
    epochs=6,
    batch_size=16,
    crop=0,
    precision="fp32",
)


class Stopped(Unwatched):
    requested = True


def make_dataset(labels: torch.Tensor | None = None) -> Dataset:
    """Grey 8x8 noise, darker by class; with other labels if they are given."""
    generator = torch.Generator().manual_seed(0)
    classes = torch.randint(0, 3, (NUM,), generator=generator)
    noise = torch.randint(0, 60, (NUM, 1, 8, 8), generator=generator)
    images = (noise + 90 * classes.view(-1, 1, 1, 1)).to(torch.uint8)
    train = ImageSet(images, classes if labels is None else labels)
    test = ImageSet(images[:5], classes[:5])
    return Dataset("stripes", train, test, ("a", "b", "c"), compute_fingerprint(train, test))


def code(
    folder: Path,
    dataset: Dataset | None = None,
    config: TrainConfig = CONFIG,
    *,
    first: int = 50,
    stop: Unwatched | None = None,
) -> tuple[Block, ...]:
    unwatched = Unwatched()
    return code_prequentially(
        config,
        dataset or make_dataset(),
        folder,
        first=first,
        options=RunOptions(),
        progress=unwatched,
        stop=stop or unwatched,
    )


@pytest.fixture(scope="module")
def coded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[Block, ...]]:
    folder = tmp_path_factory.mktemp("coded") / "blocks"
    return folder, code(folder)


def test_blocks_double_and_the_first_is_by_frequencies(
    coded: tuple[Path, tuple[Block, ...]],
) -> None:
    _, blocks = coded
    assert [block.start for block in blocks] == [0, 50, 100]
    assert [block.end for block in blocks] == [50, 100, 200]
    labels = make_dataset().train.labels[random_permutation(0, Purpose.PREQUENTIAL_ORDER, NUM)]
    assert blocks[0].num_bits == frequency_bits(labels[:50].numpy(), 3)
    assert sum(block.num_bits for block in blocks) < uniform_bits(labels.numpy(), 3)
    assert blocks[-1].bits_per_label == blocks[-1].num_bits / 100


def test_a_block_does_not_depend_on_labels_that_come_later(
    coded: tuple[Path, tuple[Block, ...]], tmp_path: Path
) -> None:
    """A decoder has not seen them yet; the images may be other ones, too."""
    dataset = make_dataset()
    order = torch.from_numpy(random_permutation(0, Purpose.PREQUENTIAL_ORDER, NUM))
    labels, images = dataset.train.labels.clone(), dataset.train.images.clone()
    labels[order[100:]] = 0
    images[order[100:]] = 7
    changed = replace(dataset, train=ImageSet(images, labels))
    found = code(tmp_path, changed)
    for before, after in zip(coded[1][:2], found[:2], strict=True):
        assert replace(before, seconds=0) == replace(after, seconds=0)
    assert found[2].num_bits != coded[1][2].num_bits


def test_what_is_kept_is_not_coded_again(
    coded: tuple[Path, tuple[Block, ...]], tmp_path: Path
) -> None:
    folder, blocks = coded
    assert code(folder, stop=Stopped()) == blocks
    for name in (SETTING_FILE, "block-01.json", "block-02.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    assert code(tmp_path, stop=Stopped()) == blocks[:2]
    assert not (tmp_path / "block-03.json").exists()
    found = code(tmp_path)
    assert found[:2] == blocks[:2]
    assert replace(found[2], seconds=0) == replace(blocks[2], seconds=0)


def test_a_folder_of_other_settings_is_refused(coded: tuple[Path, tuple[Block, ...]]) -> None:
    folder, _ = coded
    other = make_dataset(torch.zeros(NUM, dtype=torch.int64))
    for call in (
        lambda: code(folder, config=replace(CONFIG, seed=1)),
        lambda: code(folder, config=replace(CONFIG, epochs=7)),
        lambda: code(folder, other),
        lambda: code(folder, first=64),
    ):
        with pytest.raises(ConfigError, match="other settings or images"):
            call()


def test_the_place_of_the_images_may_change(coded: tuple[Path, tuple[Block, ...]]) -> None:
    moved = replace(CONFIG, data=replace(CONFIG.data, source="elsewhere"))
    assert code(coded[0], config=moved) == coded[1]


def test_other_files_and_held_out_images_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="validation must be 0"):
        code(tmp_path, config=replace(CONFIG, data=DataConfig(validation=5)))
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match="holds files already"):
        code(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"start": 1},
        {"num_bits": -1},
        {"num_bits": 1.0},
        {"num_errors": True},
        {"num_bits": 10**400},
        {"num_errors": 51},
        {"seconds": "1"},
        {"seconds": float("inf")},
        {"seconds": float("nan")},
        {"more": 1},
    ],
)
def test_a_block_that_is_none_is_refused(
    change: dict[str, object], coded: tuple[Path, tuple[Block, ...]], tmp_path: Path
) -> None:
    for each in coded[0].glob("*.json"):
        (tmp_path / each.name).write_bytes(each.read_bytes())
    file = tmp_path / "block-02.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(CheckpointError, match="remove it to code it anew"):
        code(tmp_path)
    file.write_text("{")
    with pytest.raises(CheckpointError, match="not JSON"):
        code(tmp_path)


def test_ends_of_blocks() -> None:
    for num_images in range(1, 40):
        for first in range(1, 45):
            ends = block_ends(num_images, first)
            assert ends[-1] == num_images
            assert ends[:-1] == [first << place for place in range(len(ends) - 1)]
            assert ends == sorted(set(ends))
