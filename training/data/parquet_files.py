"""Where the parquet files of a data set lie, and which split each of them is."""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from training.data.encoded import ChosenSplits, choose_splits, split_of
from training.data.folder_source import folders_in, is_hidden
from training.errors import DataError

EXPECTED = "train-*.parquet and test-*.parquet"
_HOW = (
    "python -c \"from datasets import load_dataset as load; d = load('parquet', data_files=FILE, "
    "split='train').train_test_split(0.2, seed=0); "
    "[d[s].to_parquet(f'{s}-00000-of-00001.parquet') for s in d]\""
)
_SHARD = re.compile(r"(?P<split>.*?)[-_.]?(?P<number>\d+)-of-(?P<count>\d+)")


@dataclass(frozen=True, kw_only=True)
class ParquetFiles:
    """The files of a data set by split, before any of them is read.

    Attributes:
        folder: What the user named.
        train: Of the training split, in order.
        test: Of the split to test on.
        chosen: Names of these splits and of those that are not used.
    """

    folder: Path
    train: tuple[Path, ...]
    test: tuple[Path, ...]
    chosen: ChosenSplits


def find_parquet(folder: Path) -> ParquetFiles | None:
    """Find the parquet files of a folder: in itself, its data/, or its one configuration.

    A file says by its name which split it is (train-00000-of-00001.parquet), or by that of its
    folder (default/train/0000.parquet, as the hub's converted branch has it).

    Returns:
        None where there are none.

    Raises:
        DataError: Several sets of files, a choice only the user can make; a missing split; a file
            that does not say its split; or a file that is missing in a row of numbered ones.
        OSError: A folder cannot be read.
    """
    sets = _sets_of_files(folder)
    if not sets:
        return None
    for own in (".", "data"):
        if own in sets:
            sets = {own: sets[own]}
    if len(sets) > 1:
        raise DataError(
            f"{folder} holds several sets of parquet files ({', '.join(sorted(sets))}); pass one "
            "of these folders"
        )
    (files,) = sets.values()
    by_split: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(files):
        by_split[_split_name(path)].append(path)
    if all(split_of(name) is None for name in by_split):
        raise DataError(
            f"{folder}: {', '.join(path.name for path in sorted(files)[:3])} says by no name which "
            f"split it is; call the files {EXPECTED}"
        )
    chosen = choose_splits(list(by_split), str(folder), EXPECTED, _HOW)
    for name in (chosen.train, chosen.test):
        _check_numbers(by_split[name])
    return ParquetFiles(
        folder=folder,
        train=tuple(by_split[chosen.train]),
        test=tuple(by_split[chosen.test]),
        chosen=chosen,
    )


def _sets_of_files(folder: Path) -> dict[str, list[Path]]:
    """Parquet files by the folder of their configuration, "." for the folder itself."""
    inside = [folder / name for name in folders_in(folder)]
    places = [folder, *inside]
    places += [
        place / name for place in inside for name in folders_in(place) if split_of(name) is not None
    ]
    sets: dict[str, list[Path]] = defaultdict(list)
    for place in places:
        is_split = place != folder and split_of(place.name) is not None
        config = (place.parent if is_split else place).relative_to(folder).as_posix()
        for path in place.iterdir():
            if path.name.lower().endswith(".parquet") and not is_hidden(path.name):
                sets[config].append(path)
    return sets


def _split_name(path: Path) -> str:
    """The split of a file as its folder or its name spells it; else its stem."""
    if split_of(path.parent.name) is not None and split_of(path.stem) is None:
        return path.parent.name
    shard = _SHARD.fullmatch(path.stem)
    stem = shard["split"] if shard else re.sub(r"[-_.]\d+$", "", path.stem)
    if split_of(stem) is not None:
        return stem
    words = [word for word in re.split(r"[-_.\s]+", stem) if split_of(word) is not None]
    return words[0] if len(words) == 1 else stem


def _check_numbers(paths: Sequence[Path]) -> None:
    """Refuse a row of numbered files with holes."""
    shards = [_SHARD.fullmatch(path.stem) for path in paths]
    counts = {int(shard["count"]) for shard in shards if shard}
    numbers = {int(shard["number"]) for shard in shards if shard}
    if all(path.stem.isdecimal() for path in paths):
        numbers = {int(path.stem) for path in paths}
        counts = {max(numbers) + 1}
    if len(counts) == 1 and (missing := sorted(set(range(*counts)) - numbers)):
        raise DataError(
            f"{paths[0].parent}: of the {max(counts)} numbered files like {paths[0].name}, number "
            f"{missing[0]} is missing; a split must be whole"
        )
