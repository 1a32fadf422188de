"""The contents of a `torch.save` file without its numbers, which stay in the file. No torch.

The zip archive's records are found by `training.tensor_files.zip_records`, its pickle is read by
`training.tensor_files.plain_pickle`, and each tensor becomes a `StoredTensor` that knows where its
numbers lie. Objects of other classes are never made; they show up as `Opaque` markers.
"""

import math
from typing import Any

from training.errors import CheckpointError
from training.system.files import FileBytes
from training.tensor_files.plain_pickle import MAX_BYTES, Opaque, read_plain_pickle
from training.tensor_files.quantized import QuantizedTensor, make_quantized
from training.tensor_files.stored_tensor import (
    NUMBER_TYPES,
    NumberType,
    StoredRows,
    StoredTensor,
    is_shape,
)
from training.tensor_files.zip_records import ZIP_START, Record, Records, read_records

__all__ = ["ZIP_START", "known_names", "read_torch_archive"]

_STORAGES = {
    "Double": "float64",
    "Float": "float32",
    "Half": "float16",
    "BFloat16": "bfloat16",
    "Long": "int64",
    "Int": "int32",
    "Short": "int16",
    "Char": "int8",
    "Byte": "uint8",
    "Bool": "bool",
    "QInt8": "int8",
    "QUInt8": "uint8",
    "QInt32": "int32",
    "ComplexFloat": "complex64",
    "ComplexDouble": "complex128",
}
_UNTYPED = NUMBER_TYPES["uint8"]


def read_torch_archive(source: FileBytes, *, is_own: bool = False) -> Any:
    """Plain values, `StoredTensor`s, `StoredRows` and `Opaque` markers of a zip file of torch.

    The tensors' source is a `Records`, whose `check` compares their bytes with the checksums of
    the file, once they have been read.

    Args:
        source: The file, open.
        is_own: Whether `torch.save` alone can have written it, so that no bit of the archive may
            be other than as it does. External programs may leave out what only repeats.

    Raises:
        CheckpointError: It is damaged, or not one that `torch.save` wrote.
    """
    path = source.path
    try:
        records = read_records(source)
        if is_own and not records.is_as_written:
            raise ValueError("its archive is damaged, or not as torch.save wrote it")
        return _Archive(records).read()
    except ValueError as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(f"{path}: {reason}; copy it again, or save it anew") from error


class _Archive:
    """The records of one archive, and what its pickle may name."""

    def __init__(self, records: Records) -> None:
        self._records = records
        pickles = [name for name in records.by_name if name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise ValueError("a zip archive, but not one that torch.save wrote")
        self._folder = pickles[0].removesuffix("data.pkl")
        order = records.by_name.get(f"{self._folder}byteorder")
        if order is not None and self._read_small(order) != b"little":
            raise ValueError("its numbers are not stored in little-endian order")
        self._pickle = self._read_small(records.by_name[pickles[0]])

    def read(self) -> Any:
        """The value of its pickle."""
        return read_plain_pickle(self._pickle, known_names(), self._load_storage)

    def _read_small(self, record: Record) -> bytes:
        if record.num_bytes > MAX_BYTES:
            raise ValueError(f"its list of contents has more than {MAX_BYTES >> 20} MiB")
        return self._records.read(record)

    def _load_storage(self, identity: Any) -> StoredTensor | Opaque:
        """A whole storage as a flat tensor; a marker if its numbers are of an unknown type."""
        if not isinstance(identity, tuple) or len(identity) != 5 or identity[0] != "storage":
            raise ValueError("its list of contents is damaged")
        _, number_type, key, _, num_numbers = identity
        if isinstance(number_type, Opaque):
            return number_type
        if not isinstance(number_type, NumberType) or not isinstance(key, str):
            raise ValueError("its list of contents is damaged")
        record = self._records.by_name.get(f"{self._folder}data/{key}")
        if not is_shape((num_numbers,)) or record is None:
            raise ValueError("its list of contents is damaged")
        if record.num_bytes != num_numbers * number_type.num_bytes:
            raise ValueError("a tensor's numbers do not fill their place in it")
        return StoredTensor(
            shape=(num_numbers,), number_type=number_type, source=self._records, start=record.start
        )


def known_names() -> dict[str, Any]:
    """What the names in a file of torch stand for, as `read_plain_pickle` takes them."""
    storages = {f"torch {prefix}Storage": NUMBER_TYPES[name] for prefix, name in _STORAGES.items()}
    untyped = {"torch.storage UntypedStorage": _UNTYPED, "torch UntypedStorage": _UNTYPED}
    types = {f"torch {name}": each for name, each in NUMBER_TYPES.items()}
    return {
        **storages,
        **untyped,
        **types,
        "collections OrderedDict": _make_dict,
        "torch Size": _make_size,
        "torch.serialization _get_layout": _first,
        "torch._utils _rebuild_tensor": _make_tensor,
        "torch._utils _rebuild_tensor_v2": _make_tensor,
        "torch._utils _rebuild_tensor_v3": _make_retyped_tensor,
        "torch._utils _rebuild_parameter": _first,
        "torch._utils _rebuild_parameter_with_state": _first,
        "torch._utils _rebuild_sparse_tensor": _make_sparse,
        "torch._utils _rebuild_qtensor": _make_quantized,
        "torch._tensor _rebuild_from_type_v2": _make_of_type,
    }


def _make_retyped_tensor(
    storage: Any,
    offset: Any,
    shape: Any,
    strides: Any,
    _grad: Any,
    _hooks: Any,
    number_type: Any,
    *_rest: Any,
) -> StoredTensor | Opaque:
    """A tensor over a storage of bytes that is to be read as another type."""
    if isinstance(number_type, Opaque):
        return number_type
    if not isinstance(storage, StoredTensor) or not isinstance(number_type, NumberType):
        raise ValueError("its list of contents is damaged")
    count, rest = divmod(storage.num_bytes, number_type.num_bytes)
    if rest:
        raise ValueError("a tensor's numbers do not fill their place in it")
    flat = StoredTensor(
        shape=(count,), number_type=number_type, source=storage.source, start=storage.start
    )
    return _make_tensor(flat, offset, shape, strides)


def _make_quantized(
    storage: Any, offset: Any, shape: Any, strides: Any, quantizer: Any, *_rest: Any
) -> QuantizedTensor | Opaque:
    return make_quantized(_make_tensor(storage, offset, shape, strides), quantizer)


def _make_tensor(
    storage: Any, offset: Any, shape: Any, strides: Any, *_rest: Any
) -> StoredTensor | Opaque:
    """A tensor that fills a piece of a storage, each number once; a marker for any other."""
    if isinstance(storage, Opaque):
        return Opaque(f"a tensor of {storage.name}")
    if not isinstance(storage, StoredTensor) or not is_shape((offset,)):
        raise ValueError("its list of contents is damaged")
    if not is_shape(shape) or not is_shape(strides) or len(shape) != len(strides):
        raise ValueError("its list of contents is damaged")
    num_numbers = math.prod(shape)
    if offset + num_numbers > storage.num_numbers:
        return Opaque("a tensor that pretends to more numbers than are stored")
    if num_numbers and not _fills(shape, strides):
        return Opaque("a tensor that is not stored number by number (call .contiguous())")
    return StoredTensor(
        shape=shape,
        number_type=storage.number_type,
        source=storage.source,
        start=storage.start + offset * storage.number_type.num_bytes,
        strides=None if not num_numbers or _is_row_by_row(shape, strides) else strides,
    )


def _fills(shape: tuple[int, ...], strides: tuple[int, ...]) -> bool:
    """Whether the numbers lie side by side, in whatever order, each once."""
    expected = 1
    for stride, size in sorted(zip(strides, shape, strict=True)):
        if size > 1 and stride != expected:
            return False
        expected *= size
    return True


def _is_row_by_row(shape: tuple[int, ...], strides: tuple[int, ...]) -> bool:
    expected = 1
    for size, stride in zip(shape[::-1], strides[::-1], strict=True):
        if size > 1 and stride != expected:
            return False
        expected *= size
    return True


def _make_sparse(layout: Any, parts: Any) -> StoredRows | Opaque:
    """A matrix of compressed rows; other sparse layouts stay markers."""
    if layout != "torch.sparse_csr" or not isinstance(parts, tuple) or len(parts) < 4:
        return Opaque(f"a tensor of layout {layout}" if isinstance(layout, str) else "a tensor")
    row_ends, columns, stored, shape = parts[:4]
    is_dense = all(isinstance(part, StoredTensor) for part in (row_ends, columns, stored))
    if not is_dense or not is_shape(shape) or len(shape) != 2 or len(stored.shape) != 1:
        raise ValueError("its list of contents is damaged")
    return StoredRows(shape=shape, row_ends=row_ends, columns=columns, stored=stored)


def _make_of_type(function: Any, _kind: Any, arguments: Any, *_rest: Any) -> Any:
    """A tensor of a subclass, read as a plain one."""
    if isinstance(function, Opaque):
        return function
    if not callable(function) or not isinstance(arguments, tuple):
        raise ValueError("its list of contents is damaged")
    return function(*arguments)


def _make_dict(pairs: Any = ()) -> dict[Any, Any]:
    if pairs != ():
        raise ValueError("its list of contents has a dict in a form that torch.save does not write")
    return {}


def _make_size(sizes: Any) -> tuple[int, ...]:
    if not is_shape(sizes):
        raise ValueError("its list of contents is damaged")
    return tuple(sizes)


def _first(value: Any, *_rest: Any) -> Any:
    return value
