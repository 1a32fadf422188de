"""The prequential code: labels block by block, each by a network that learnt from those before.

The images come in an order that a seed fixes. The first block is coded by the frequencies of its
classes; each later one, twice as far, by a network that was trained from scratch on all images
before it. Whoever has the images, the program and a machine that trains to the same weights decodes
a block, trains, and decodes the next one, so no network needs to be sent (Dawid 1984; Blier and
Ollivier 2018). A block's temperature is sent with it.
"""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from analysis.certify.errors import compute_exact_logits
from analysis.codelength.label_code import decode_labels, encode_labels, frequency_bits
from analysis.codelength.two_part import count_label_errors
from training.checkpoint.checkpoint import restore_network
from training.data.image_set import Dataset, ImageSet
from training.distributed.run_options import RunOptions
from training.errors import CheckpointError, ConfigError
from training.networks.models import fold_batch_norm
from training.run.loop import run_training
from training.run.progress import Progress, Stop
from training.run.run_folder import RunFolder
from training.spec.config import SaveInterval, TrainConfig
from training.system.checks import MAX_COUNT
from training.system.files import read_text, write_text_atomically
from training.system.locks import run_lock
from training.system.random_streams import Purpose, random_permutation

SETTING_FILE = "prequential.json"
TEST_FILE = "test.json"
_LOCK = "run.lock"
_VERSION = 1

OnBlock = Callable[[int, int, float | None], None]
"""Told, before a block, its number from 1, how many there are, and seconds left; None: unknown."""


@dataclass(frozen=True, kw_only=True)
class Block:
    """Labels that were coded together.

    Attributes:
        start: Images seen before it.
        end: Images seen after it.
        num_bits: Length of its codeword.
        num_errors: Labels that were not the network's one largest logit; all of the first block.
        seconds: What training and coding took.
    """

    start: int
    end: int
    num_bits: int
    num_errors: int
    seconds: float

    @property
    def bits_per_label(self) -> float:
        """Mean length of its labels."""
        return self.num_bits / (self.end - self.start)


@dataclass(frozen=True, kw_only=True)
class AfterAll:
    """The network that learnt from all labels, on the test images.

    Attributes:
        num_errors: Test images whose class was not its one largest logit.
        num_samples: All of them.
        seconds: What training and counting took.
    """

    num_errors: int
    num_samples: int
    seconds: float


def block_ends(num_images: int, first: int) -> list[int]:
    """Where blocks end: first, 2 first, 4 first, ..., all images.

    Args:
        num_images: m >= 1.
        first: Images of the first block, >= 1.

    >>> block_ends(1000, 128), block_ends(1024, 512), block_ends(5, 9)
    ([128, 256, 512, 1000], [512, 1024], [5])
    """
    ends = []
    while first < num_images:
        ends.append(first)
        first *= 2
    return [*ends, num_images]


def code_prequentially(
    config: TrainConfig,
    dataset: Dataset,
    folder: Path,
    *,
    first: int,
    options: RunOptions,
    progress: Progress,
    stop: Stop,
    on_block: OnBlock = lambda number, total, seconds: None,
) -> tuple[Block, ...]:
    """Code the training labels of a data set block by block.

    Args:
        config: How each network is trained; its seed fixes the order of the images, too.
        dataset: The images.
        folder: Where blocks are kept: one file each. Blocks that are there are not coded again.
        first: Images of the first block, >= 2.
        options: Where the networks are trained.
        progress: Told of each training's steps.
        stop: Asked whether to stop; a block that is cut short is coded anew the next time.
        on_block: Told of each block that is to be coded.

    Returns:
        The blocks; without the last ones if it was stopped.

    Raises:
        CheckpointError: A file of the folder cannot be used.
        ConfigError: The folder is of other settings, the settings hold images out, or `first` is 1,
            for no network trains on one image.
        RunBusyError: Another process works in the folder.
        TrainingError: A loss or weight is not finite.
    """
    if config.data.validation:
        raise ConfigError("validation must be 0: every label is coded, none is held out")
    if first < 2:
        raise ConfigError.naming("{first} must be >= 2, not {}", first)
    train = _in_order(config, dataset)
    ends = block_ends(len(train), first)
    with run_lock(folder / _LOCK):
        _check_setting(folder, config, dataset, first)
        found: list[Block] = []
        for number, (start, end) in enumerate(pairwise([0, *ends]), 1):
            file = folder / f"block-{number:02d}.json"
            if file.exists():
                found.append(_read_block(file, start, end))
                continue
            on_block(number, len(ends), _seconds_left(found, ends))
            begin = time.perf_counter()
            coded = _code_block(
                config,
                dataset,
                train,
                start=start,
                end=end,
                options=options,
                progress=progress,
                stop=stop,
            )
            if coded is None:
                break
            block = Block(
                start=start,
                end=end,
                num_bits=coded[0],
                num_errors=coded[1],
                seconds=time.perf_counter() - begin,
            )
            _write(file, asdict(block))
            found.append(block)
        return tuple(found)


def count_test_errors(
    config: TrainConfig,
    dataset: Dataset,
    folder: Path,
    *,
    options: RunOptions,
    progress: Progress,
    stop: Stop,
) -> AfterAll | None:
    """Train on all labels, as before each block, and count the errors on the test images.

    Args:
        config: As of `code_prequentially`, which was called before.
        dataset: The images.
        folder: Where the count is kept.
        options: Where the network is trained.
        progress: Told of its steps.
        stop: Asked whether to stop.

    Returns:
        None if it was stopped.

    Raises:
        CheckpointError: The count in the folder cannot be used.
        RunBusyError: Another process works in the folder.
        TrainingError: A loss or weight is not finite.
    """
    file = folder / TEST_FILE
    with run_lock(folder / _LOCK):
        if file.exists():
            return _read_test(file, len(dataset.test))
        begin = time.perf_counter()
        train = _in_order(config, dataset)
        logits = _learn(
            config, dataset, train, dataset.test, options=options, progress=progress, stop=stop
        )
        if logits is None:
            return None
        found = AfterAll(
            num_errors=count_label_errors(logits, dataset.test.labels.numpy()),
            num_samples=len(dataset.test),
            seconds=time.perf_counter() - begin,
        )
        _write(file, asdict(found))
        return found


def _in_order(config: TrainConfig, dataset: Dataset) -> ImageSet:
    """The training images in the order that the seed fixes."""
    order = torch.from_numpy(
        random_permutation(config.seed, Purpose.PREQUENTIAL_ORDER, len(dataset.train))
    )
    return ImageSet(dataset.train.images[order], dataset.train.labels[order])


def _code_block(
    config: TrainConfig,
    dataset: Dataset,
    train: ImageSet,
    *,
    start: int,
    end: int,
    options: RunOptions,
    progress: Progress,
    stop: Stop,
) -> tuple[int, int] | None:
    """Bits and errors of a block; None if training was stopped."""
    block = ImageSet(train.images[start:end], train.labels[start:end])
    labels = block.labels.numpy()
    if start == 0:
        return frequency_bits(labels, dataset.num_classes), len(labels)
    # What is not coded yet is kept from the training: it is given the images before the block.
    seen = ImageSet(train.images[:start], train.labels[:start])
    logits = _learn(config, dataset, seen, block, options=options, progress=progress, stop=stop)
    if logits is None:
        return None
    codeword = encode_labels(logits, labels)
    if not (decode_labels(codeword.data, logits).labels == labels).all():
        raise AssertionError("a block's bits do not decode to its labels")
    return codeword.num_bits, count_label_errors(logits, labels)


def _learn(
    config: TrainConfig,
    dataset: Dataset,
    seen: ImageSet,
    others: ImageSet,
    *,
    options: RunOptions,
    progress: Progress,
    stop: Stop,
) -> NDArray[np.float64] | None:
    """Exact logits of other images by a network trained on those seen; None if it was stopped."""
    known = replace(dataset, train=seen, test=ImageSet(seen.images[:1], seen.labels[:1]))
    with TemporaryDirectory() as place:
        result = run_training(
            config=replace(config, data=replace(config.data, num_train=len(seen), num_test=1)),
            dataset=known,
            folder=RunFolder(Path(place)),
            options=replace(
                options, evaluate_every=config.epochs, save_every=SaveInterval(count=config.epochs)
            ),
            progress=progress,
            stop=stop,
        )
    if result.status != "finished":
        return None
    network = fold_batch_norm(restore_network(result.checkpoint)).eval()
    logits: NDArray[np.float64] = compute_exact_logits(
        network, others.images, result.checkpoint.inputs, device=options.device
    ).numpy()
    return logits


def _seconds_left(found: list[Block], ends: list[int]) -> float | None:
    """What the blocks to come take if an image takes as long as in the last one.

    The first training tells little: kernels are compiled in it.
    """
    trained = [block for block in found if block.start > 0]
    if len(trained) < 2:
        return None
    rate = trained[-1].seconds / trained[-1].start
    return rate * sum(([0, *ends])[len(found) : -1])


def _check_setting(folder: Path, config: TrainConfig, dataset: Dataset, first: int) -> None:
    """Write what the blocks depend on, or see that it is the same as before."""
    settings = config.to_dict()
    settings["data"] = settings["data"] | {"source": None}  # the same images may lie elsewhere now
    values = {
        "config": settings,
        "fingerprint": dataset.fingerprint,
        "first": first,
        "version": _VERSION,
    }
    file = folder / SETTING_FILE
    if file.exists():
        if _read(file) != json.loads(json.dumps(values)):
            raise ConfigError.naming(
                "{out} {} holds blocks of other settings or images; give them again, or another "
                "folder",
                str(folder),
            )
        return
    if any(each.name != _LOCK for each in folder.iterdir()):
        raise ConfigError.naming(
            "{out} {} holds files already, and no blocks; give another folder", str(folder)
        )
    _write(file, values)


def _read_block(file: Path, start: int, end: int) -> Block:
    values = _read(file)
    names = {each.name for each in fields(Block)}
    if isinstance(values, dict) and values.keys() == names:
        is_block = (values["start"], values["end"]) == (start, end)
        limits = {"num_bits": MAX_COUNT, "num_errors": end - start}
        counts = [(values[name], limit) for name, limit in limits.items()]
        has_counts = all(type(each) is int and 0 <= each <= limit for each, limit in counts)
        seconds = values["seconds"]
        if is_block and has_counts and type(seconds) is float and 0 <= seconds <= MAX_COUNT:
            return Block(**values)
    raise CheckpointError(f"{file}: not the block {start:,} to {end:,}; remove it to code it anew")


def _read_test(file: Path, num_samples: int) -> AfterAll:
    values = _read(file)
    if isinstance(values, dict) and values.keys() == {each.name for each in fields(AfterAll)}:
        errors, seconds = values["num_errors"], values["seconds"]
        has_count = type(errors) is int and 0 <= errors <= num_samples
        if has_count and type(seconds) is float and values["num_samples"] == num_samples:
            return AfterAll(**values)
    raise CheckpointError(
        f"{file}: not the errors on {num_samples:,} test images; remove it to count them anew"
    )


def _read(file: Path) -> Any:
    text = read_text(file, what="a block of mdl codelength", error=CheckpointError)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{file}: not JSON; remove it to code it anew") from error


def _write(file: Path, values: dict[str, Any]) -> None:
    write_text_atomically(file, json.dumps(values, indent=2, sort_keys=True) + "\n")
