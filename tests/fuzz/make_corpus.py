"""Writes attacks that are known by name into tests/fuzz/corpus: `python -m tests.fuzz.make_corpus`.

Beside them lie faults that the fuzzer has found, as `python -m tests.fuzz --keep tests/fuzz/corpus`
leaves them. Files that are there stay as they are; commit only what is new and below 10 KB.
"""

import io
import random
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from tests.fuzz.archives import pack, pickle_bombs, read_records, with_pickle
from tests.fuzz.cases import RECORD, Case
from tests.fuzz.documents import frame, giant_codeword
from tests.fuzz.goods import Files, make_goods
from tests.fuzz.pictures import FEATURES, STRANGERS, good_columns, write_table
from tests.fuzz.tensors import save_bytes

CORPUS = Path(__file__).resolve().parent / "corpus"
MOST_BYTES = 10_000
"""Of one file in it."""
_LIES: dict[str, dict[str, Any]] = {
    "image_size_2_63": {"network": {"image_size": 2**63}},
    "base_channels_10_18": {"network": {"base_channels": 10**18}},
    "hidden_units_2_40": {"network": {"hidden_units": 2**40}},
    "mean_10_400": {"normalization": {"mean": (10**400, 0.5, 0.5)}},
    "std_nan": {"normalization": {"std": (float("nan"), 0.5, 0.5)}},
    "num_samples_10_12": {"data": {"num_samples": 10**12}},
    "version_10_400": {"version": 10**400},
    "epoch_text": {"metrics": {"epoch": "x\x1b[31m"}},
    "config_none": {"config": {"data": None}},
}


def make_attacks(goods: dict[str, dict[str, Files]]) -> dict[str, Case]:
    """Attacks by name."""
    dense = goods["checkpoint"]["dense"]["checkpoint.pt"]
    sparse = goods["checkpoint"]["sparse"]["checkpoint.pt"]
    made: dict[str, tuple[str, Files]] = {}
    for index, pickled in enumerate(pickle_bombs(20, 10)):
        if len(pickled) < MOST_BYTES:
            made[f"pickle_bomb_{index}"] = (
                "pickle",
                {"checkpoint.pt": with_pickle(dense, pickled)},
            )
            bare = pack([replace(each, data=pickled) for each in read_records(dense)[:1]])
            made[f"pickle_alone_{index}"] = ("pickle", {"net.pt": bare})
    for name, lie in _LIES.items():
        made[f"field_{name}"] = ("fields", {"checkpoint.pt": _with_fields(dense, lie)})
    for name, change in _ROWS.items():
        made[f"rows_{name}"] = ("tensor", {"checkpoint.pt": _with_rows(sparse, change)})
    for seed in range(12):
        giant = frame(giant_codeword(random.Random(seed)))
        made[f"giant_{seed}"] = ("codeword", {"net.mdl": giant})
    image = next(iter(goods["image"]["grey.png"].values()))
    for name, data in STRANGERS.items():
        place = f"train/a/{name}"
        made[f"stranger_{name}"] = (
            "image",
            {place: data, "train/b/other.png": image, "test/a/other.png": image},
        )
    for index, place in enumerate(
        ("/dev/zero", "/etc/hostname", "../secret.png", "b.png", "~", "")
    ):
        columns = good_columns() | {"image": [{"bytes": None, "path": place}] * 2}
        made[f"path_{index}"] = (
            "parquet",
            {
                "train-0.parquet": write_table(columns, FEATURES),
                "test-0.parquet": goods["parquet"]["plain"]["test-0.parquet"],
            },
        )
    return {name: Case(kind=kind, files=files) for name, (kind, files) in made.items()}


def _with_fields(data: bytes, lie: dict[str, Any]) -> bytes:
    contents = torch.load(io.BytesIO(data), weights_only=False)
    for name, value in lie.items():
        is_part = isinstance(value, dict) and isinstance(contents[name], dict)
        contents[name] = contents[name] | value if is_part else value
    return save_bytes(contents)


_ROWS: dict[str, Callable[[bytes], bytes]] = {
    "end_far": lambda ends: ends[:4] + struct.pack("<i", 2**30) + ends[8:],
    "end_negative": lambda ends: ends[:4] + struct.pack("<i", -5) + ends[8:],
    "last_end_far": lambda ends: ends[:-4] + struct.pack("<i", 2**31 - 1),
    "all_zero": lambda ends: bytes(len(ends)),
    "first_not_zero": lambda ends: struct.pack("<i", 1) + ends[4:],
}


def _with_rows(data: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """The row ends of the first sparse tensor are others, and the archive's checksums fit them."""
    contents = torch.load(io.BytesIO(data), weights_only=False)
    name = next(key for key, value in contents["state"].items() if value.layout == torch.sparse_csr)
    ends = contents["state"][name].crow_indices().numpy().tobytes()
    records = read_records(data)
    (place,) = [index for index, each in enumerate(records) if each.data == ends][:1]
    records[place] = replace(records[place], data=change(ends))
    return pack(records)


def main() -> None:
    """Write what is not there yet."""
    torch.set_num_threads(1)
    with TemporaryDirectory() as name:
        attacks = make_attacks(make_goods(Path(name) / "goods"))
    for name, case in attacks.items():
        place = CORPUS / name
        if (place / RECORD).exists() or max(map(len, case.files.values())) > MOST_BYTES:
            continue
        case.keep(place, "", "known by name")
        print(place.name)


if __name__ == "__main__":
    main()
