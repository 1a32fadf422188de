"""The kinds of files: how each is made, what reads it, and what commands use it."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz import readers
from tests.fuzz.archives import change_archive, change_pickle
from tests.fuzz.arrays import change_arrays, change_npz
from tests.fuzz.cases import Case, draw_of
from tests.fuzz.damage import damage, flip
from tests.fuzz.documents import (
    Files,
    change_cells,
    change_certificate,
    change_codeword,
    change_index,
    change_json,
    change_labels,
    change_lines,
    change_one,
    change_relative,
    change_safetensors,
    splice_one,
)
from tests.fuzz.pictures import change_image, change_table
from tests.fuzz.tensors import change_legacy, change_tensor, change_values

Change = Callable[[Files, random.Random], Files]
Goods = dict[str, dict[str, Files]]
_GOOD, _DAMAGED, _SPLICED = 0.01, 0.3, 0.05
"""How many files are good, damaged blindly, or two halves; the others are made on purpose."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of file.

    Attributes:
        goods: The formats in `tests.fuzz.goods` that it starts from.
        change: Makes a bad one of a good one, on purpose.
        read: Gives its meaning.
        commands: Arguments of `mdl` in the folder of the files, each followed by how often it is
            taken against the others.
        damage: Blind damage. A store cut between two lines is a store, so there it is a bit.
        is_sealed: Whether blind damage must be noticed or change nothing.
        most_bytes: Memory that one may take. A codeword of a few bytes, alone or in a certificate,
            may stand for a network as large as the memory that is available: it has that limit.
    """

    goods: tuple[str, ...]
    change: Change
    read: Callable[[Path], str]
    commands: tuple[str, ...] = ()
    damage: Callable[[bytes, random.Random], bytes] = damage
    is_sealed: bool = False
    most_bytes: int | None = 1 << 28


_OWN = (
    "nonzeros checkpoint.pt",
    "bound checkpoint.pt --bits 8",
    "bound checkpoint.pt --lengths-only",
    "evaluate checkpoint.pt",
    "evaluate checkpoint.pt --fresh 5",
    "encode checkpoint.pt --out out.mdl",
    "certify checkpoint.pt --out certificate",
    "embed checkpoint.pt --as s-fc --out fc.pt",
    "filters checkpoint.pt --out filters.png",
    "report . --out report.html",
    "train --resume .",
)


def _external_commands(file: str) -> tuple[str, ...]:
    return (
        f"bound {file} --lengths-only",
        f"bound {file} --samples 100 --train-errors 10",
        f"encode {file} --out out.mdl",
        f"filters {file} --out filters.png",
        f"nonzeros {file}",
    )


def _torch_kind(change: Callable[[bytes, random.Random], bytes]) -> Kind:
    return Kind(
        goods=("checkpoint", "external"),
        change=change_one(change),
        read=lambda folder: (
            readers.read_checkpoint(folder)
            if (folder / "checkpoint.pt").exists()
            else readers.read_network(folder)
        ),
        commands=(*_OWN, *_external_commands("net.pt")),
        is_sealed=True,
    )


def _network_kind(goods: str, change: Change, file: str) -> Kind:
    return Kind(
        goods=(goods,), change=change, read=readers.read_network, commands=_external_commands(file)
    )


def _change_store(files: Files, draw: random.Random) -> Files:
    name = draw.choice(sorted(files))
    change = {"z": change_npz, "l": change_lines, "n": change_json}[name[-1]]
    return files | {name: change(files[name], draw)}


def _change_predictions(files: Files, draw: random.Random) -> Files:
    name = next(iter(files))
    change = {"z": change_npz, "t": change_table, "v": change_cells}[name[-1]]
    return files | {name: change(files[name], draw)}


def _change_run(files: Files, draw: random.Random) -> Files:
    name = draw.choice(sorted(files))
    change = change_lines if name.endswith(".jsonl") else change_json
    return files | {name: change(files[name], draw)}


def _change_first(change: Callable[[bytes, random.Random], bytes]) -> Change:
    """A change of the image or table that a good data set is about."""

    def changed(files: Files, draw: random.Random) -> Files:
        name = next(iter(files))
        return files | {name: change(files[name], draw)}

    return changed


KINDS: dict[str, Kind] = {
    "zip archive": _torch_kind(change_archive),
    "pickle": _torch_kind(change_pickle),
    "fields": _torch_kind(change_values),
    "tensor": _torch_kind(change_tensor),
    "legacy torch": _network_kind("legacy", change_one(change_legacy), "net.pt"),
    "safetensors": _network_kind("safetensors", change_one(change_safetensors), "net.safetensors"),
    "shard index": _network_kind("index", change_index, "model.safetensors.index.json"),
    "codeword": Kind(
        goods=("codeword",),
        change=change_one(change_codeword),
        read=readers.read_codeword,
        commands=(
            "bound net.mdl",
            "bound net.mdl --samples 100 --train-errors 10",
            "decode net.mdl --out decoded.pt",
            "decode net.mdl --state-dict state.pt",
        ),
        is_sealed=True,
        most_bytes=None,
    ),
    "relative": Kind(
        goods=("relative",),
        change=change_relative,
        read=readers.read_codeword,
        commands=("bound net.mdl", "decode net.mdl --out decoded.pt"),
        is_sealed=True,
        most_bytes=None,
    ),
    "labels": Kind(
        goods=("labels",),
        change=change_one(change_labels),
        read=readers.read_labels_file,
        is_sealed=True,
    ),
    "certificate": Kind(
        goods=("certificate",),
        change=change_certificate,
        read=readers.read_certificate,
        commands=("verify .", "verify . --full", "verify . --json"),
        is_sealed=True,
        most_bytes=None,
    ),
    "predictions": Kind(
        goods=("predictions",), change=_change_predictions, read=readers.read_predictions_file
    ),
    "image": Kind(
        goods=("image",),
        change=_change_first(change_image),
        read=readers.read_images,
        commands=("budget --target 0.1 --data .",),
    ),
    "parquet": Kind(
        goods=("parquet",),
        change=_change_first(change_table),
        read=readers.read_images,
        commands=("budget --target 0.1 --data .",),
    ),
    "arrays": Kind(
        goods=("arrays",),
        change=change_arrays,
        read=readers.read_images,
        commands=("budget --target 0.1 --data .",),
    ),
    "policy": Kind(goods=("policy",), change=change_one(change_json), read=readers.read_policy),
    "stored result": Kind(
        goods=("result",),
        change=_change_store,
        read=readers.read_store,
        damage=flip,
        is_sealed=True,
    ),
    "run": Kind(
        goods=("run",),
        change=_change_run,
        read=readers.read_run,
        commands=("report . --out report.html",),
    ),
}


def make_case(goods: Goods, seed: int, number: int, kinds: tuple[str, ...] = ()) -> Case:
    """The file of a number: a pure function of what is given.

    Args:
        goods: From `tests.fuzz.goods.make_goods`.
        seed: Of the run.
        number: From 0.
        kinds: The kinds to take in turn; () for all.
    """
    names = kinds or tuple(KINDS)
    name = names[number % len(names)]
    kind, draw = KINDS[name], draw_of(seed, number)
    form = draw.choice(kind.goods)
    origin = draw.choice(sorted(goods[form]))
    files, chance = goods[form][origin], draw.random()
    if chance < _DAMAGED + _GOOD:
        files = files if chance < _GOOD else change_one(kind.damage)(files, draw)
        return Case(kind=name, files=files, origin=f"{form}/{origin}", seed=seed, number=number)
    if chance < _GOOD + _DAMAGED + _SPLICED:
        files = splice_one(files, goods[form][draw.choice(sorted(goods[form]))], draw)
    else:
        files = kind.change(files, draw)
    return Case(kind=name, files=files, seed=seed, number=number)
