"""The contents of a `torch.save` file without zip (torch before 1.6), whose numbers stay in it.

    pickles     a magic number, 1001, facts about the machine, the value, and the list of storages
    storages    in the order of that list: 8 bytes, how many numbers it has, and then these

The pickles are read by `training.tensor_files.plain_pickle`, as those of the zip format are.
"""

import pickletools
from typing import Any

from training.errors import CheckpointError
from training.system.files import FileBytes
from training.tensor_files.plain_pickle import MAX_BYTES, Opaque, read_plain_pickle
from training.tensor_files.stored_tensor import NumberType, StoredTensor, is_shape
from training.tensor_files.torch_archive import known_names

LEGACY_START = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
"""The magic number as `torch.save` pickles it."""

_NUM_PICKLES = 5
_COUNT_BYTES = 8
_DAMAGED = "its list of contents is damaged"


def read_legacy_torch(source: FileBytes) -> Any:
    """Plain values, `StoredTensor`s and `Opaque` markers of a file that begins with `LEGACY_START`.

    Raises:
        CheckpointError: It is damaged, or not one that `torch.save` wrote.
    """
    try:
        return _read(source)
    except ValueError as error:
        reason = " ".join(str(error).split())
        way_out = "" if ";" in reason else "; copy it again, or save it anew"
        raise CheckpointError(f"{source.path}: {reason}{way_out}") from error


def _read(source: FileBytes) -> Any:
    head = source.read(0, min(source.num_bytes, MAX_BYTES))
    pickles, end = _split(head)
    _, version, machine, value, keys = pickles
    facts = read_plain_pickle(machine, {}, _refuse)
    if read_plain_pickle(version, {}, _refuse) != 1001 or not isinstance(facts, dict):
        raise ValueError("not a version of torch's format that is known")
    if facts.get("little_endian") is not True:
        raise ValueError("its numbers are not stored in little-endian order")
    names = read_plain_pickle(keys, {}, _refuse)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(_DAMAGED)
    storages: dict[str, StoredTensor] = {}
    sizes: dict[str, tuple[NumberType, int]] = {}

    def note(identity: Any) -> Opaque:
        name, number_type, count, _ = _parse(identity)
        if isinstance(number_type, NumberType) and sizes.setdefault(name, (number_type, count)) != (
            number_type,
            count,
        ):
            raise ValueError(_DAMAGED)
        return Opaque("a storage")

    def load(identity: Any) -> StoredTensor | Opaque:
        name, number_type, _, view = _parse(identity)
        if isinstance(number_type, Opaque):
            return number_type
        whole = storages[name]
        if view is None:
            return whole
        _, offset, count = view
        if offset + count > whole.num_numbers:
            raise ValueError(_DAMAGED)
        start = whole.start + offset * number_type.num_bytes
        return StoredTensor(shape=(count,), number_type=number_type, source=source, start=start)

    known = known_names()
    read_plain_pickle(
        value, known, note
    )  # types and sizes of the storages, which say where they lie
    for name in dict.fromkeys(names):
        if name not in sizes:
            raise ValueError("it holds a storage of a type that is not read")
        number_type, count = sizes[name]
        start = end + _COUNT_BYTES
        end = start + count * number_type.num_bytes
        if end > source.num_bytes:
            raise ValueError("cut short")
        if int.from_bytes(source.read(start - _COUNT_BYTES, _COUNT_BYTES), "little") != count:
            raise ValueError("a tensor's numbers do not fill their place in it")
        storages[name] = StoredTensor(
            shape=(count,), number_type=number_type, source=source, start=start
        )
    if sizes.keys() != storages.keys() or end != source.num_bytes:
        raise ValueError("its numbers do not fill it")
    return read_plain_pickle(value, known, load)


def _split(head: bytes) -> tuple[list[bytes], int]:
    """The pickles at the start, and where the last one ends."""
    pickles, start = [], 0
    for _ in range(_NUM_PICKLES):
        try:
            last = max(place or 0 for _, _, place in pickletools.genops(head[start:]))
        except (ValueError, UnicodeDecodeError) as error:
            cut = (
                "cut short"
                if len(head) < MAX_BYTES
                else f"its list of contents has more than {MAX_BYTES >> 20} MiB"
            )
            raise ValueError(cut) from error
        pickles.append(head[start : start + last + 1])
        start += last + 1
    return pickles, start


def _parse(identity: Any) -> tuple[str, NumberType | Opaque, int, tuple[str, int, int] | None]:
    """Name, type and size of a storage, and the piece of it that is meant, if not all."""
    if not isinstance(identity, tuple) or len(identity) not in (5, 6) or identity[0] != "storage":
        raise ValueError(
            "it holds more than tensors and plain values: a whole model; save its state_dict()"
        )
    _, number_type, name, _, count, *views = identity
    if (
        not isinstance(number_type, NumberType | Opaque)
        or not isinstance(name, str)
        or not is_shape((count,))
    ):
        raise ValueError(_DAMAGED)
    view = views[0] if views else None
    if view is not None and not (isinstance(view, tuple) and len(view) == 3 and is_shape(view[1:])):
        raise ValueError(_DAMAGED)
    return name, number_type, count, view


def _refuse(_identity: Any) -> Any:
    raise ValueError(_DAMAGED)
