"""A state dict in several files: the index of which tensor lies where, and a part by itself."""

import re
from pathlib import Path

from training.errors import CheckpointError
from training.system.checks import load_json
from training.system.files import FileBytes
from training.system.text import shorten
from training.tensor_files.other_formats import PART, count_names

INDEX_SUFFIX = ".index.json"
MAX_INDEX_BYTES = 1 << 25
_MAX_NAME_BYTES = 255
_SLICE = re.compile(r"(?P<stem>consolidated\.|mp_rank_)(?P<part>\d\d)(?P<rest>.*\.pth?)")


def read_index(path: Path) -> dict[str, str]:
    """Name of each tensor to the file name of its shard, in the index's own folder.

    Raises:
        CheckpointError: It is no index, or names files that lie elsewhere.
    """
    with FileBytes(path) as source:
        if source.num_bytes > MAX_INDEX_BYTES:
            raise CheckpointError(f"{path}: too long for an index of shards; give the index itself")
        text = source.read(0, source.num_bytes)
    try:
        index = load_json(text)
    except ValueError as error:
        raise CheckpointError(
            f"{path}: not an index of shards: it is not JSON; copy it again"
        ) from error
    placed = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(placed, dict) or not placed:
        raise CheckpointError(
            f"{path}: not an index of shards: it has no weight_map; copy it again"
        )
    for name, shard in placed.items():
        is_plain = isinstance(shard, str) and shard not in ("", ".", "..")
        is_plain = is_plain and len(shard.encode(errors="replace")) <= _MAX_NAME_BYTES
        if not is_plain or Path(shard).name != shard or "\\" in shard or "\0" in shard:
            raise CheckpointError(
                f"{path}: the shard of {shorten(name)} must be a file beside the index, not "
                f"{shorten(str(shard))}"
            )
    return placed


def refuse_part(path: Path) -> None:
    """Refuse a file that holds a network together with others: a bound would be about a piece.

    Its name says so, or an index beside it.

    Raises:
        CheckpointError: It is a part; the message names the index, or what lacks.
    """
    try:
        indices = sorted(path.parent.glob(f"*{INDEX_SUFFIX}"))
    except OSError:
        indices = []
    for index in indices:
        try:
            shards = list(dict.fromkeys(read_index(index).values()))
        except CheckpointError:
            continue
        if path.name in shards and len(shards) > 1:
            place = f"part {shards.index(path.name) + 1} of {len(shards)}"
            raise CheckpointError(
                f"{path}: {place} of a network; give the whole by its index, {index}"
            )
    if (match := PART.fullmatch(path.name)) and int(match["parts"]) > 1:
        number, total = int(match["part"]), int(match["parts"])
        digits = len(match["part"])
        names = (
            f"{match['stem']}-{each:0{digits}}-of-{match['parts']}{match['suffix']}"
            for each in range(1, total + 1)
        )
        lacking = (
            [] if total > 9999 else [name for name in names if not path.with_name(name).exists()]
        )
        lack = (
            f"{count_names('part', lacking)} and the index lack" if lacking else "the index lacks"
        )
        raise CheckpointError(
            f"{path}: part {number} of {total} of a network; {lack} beside it: copy them there and "
            f"give the index (a file that ends in {INDEX_SUFFIX})"
        )
    if match := _SLICE.fullmatch(path.name):
        others = [
            each
            for each in sorted(path.parent.glob(f"{match['stem']}[0-9][0-9]{match['rest']}"))
            if each != path
        ]
        if others:
            listed = count_names("other", [each.name for each in others])
            raise CheckpointError(
                f"{path}: each of its tensors is cut over this file and {listed}; give the network "
                "in one file, or in shards with an index"
            )
