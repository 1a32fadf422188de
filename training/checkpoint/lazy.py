"""Opens a checkpoint of ours without loading its numbers: its network, and where each tensor lies.

`training.checkpoint.checkpoint.load_checkpoint` is the way to a network that can be run. This is
the way to one that is only counted: the same file, the same rules for names, shapes and types, and
no copy.
"""

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from training.checkpoint.checkpoint import find_file, parse_header, unusable
from training.networks.state_check import expected_state
from training.spec.architectures import NetworkSpec
from training.system.checks import check_keys, check_type
from training.system.files import FileBytes
from training.tensor_files.stored_tensor import StoredRows, StoredTensor
from training.tensor_files.torch_archive import read_torch_archive

_FLOATING = ("float64", "float32", "float16", "bfloat16")


@dataclass(frozen=True, kw_only=True, eq=False)
class StoredCheckpoint:
    """A checkpoint whose numbers are still in its file; a context manager.

    Attributes:
        source: The open file.
        network: The network's shape.
        tensors: Its state dict, plain or folded, in the network's order. Sparse ones have been
            checked; whether numbers are finite has not.
        num_nonzeros: Nonzero weights by layer, as the file says; not counted yet.
    """

    source: FileBytes
    network: NetworkSpec
    tensors: dict[str, StoredTensor | StoredRows]
    num_nonzeros: dict[str, int]

    def __enter__(self) -> "StoredCheckpoint":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.source.close()


def open_checkpoint(path: Path) -> StoredCheckpoint:
    """Open a checkpoint file, or that of a run folder.

    Raises:
        CheckpointError: It is not a checkpoint of mdl, or one that is damaged.
    """
    source = FileBytes(find_file(path))
    try:
        contents = read_torch_archive(source)
        try:
            network, tensors, counts = _parse(contents)
        except ValueError as error:
            raise unusable(source.path, error) from error
    except BaseException:
        source.close()
        raise
    return StoredCheckpoint(source=source, network=network, tensors=tensors, num_nonzeros=counts)


def _parse(
    contents: Any,
) -> tuple[NetworkSpec, dict[str, StoredTensor | StoredRows], dict[str, int]]:
    network = parse_header(contents)
    for name in ("state", "num_nonzeros"):
        check_type(name, contents[name], dict)
    state = _parse_state(network, contents["state"])
    counts = contents["num_nonzeros"]
    check_keys("num_nonzeros", counts, {layer.name for layer in network.layers})
    for name, count in counts.items():
        check_type(f"num_nonzeros[{name!r}]", count, int)
    return network, state, counts


def _parse_state(network: NetworkSpec, stored: Any) -> dict[str, StoredTensor | StoredRows]:
    for name, tensor in stored.items():
        check_type("the name of a tensor", name, str)
        if not isinstance(tensor, StoredTensor | StoredRows):
            raise ValueError(f"state[{name!r}] must be a tensor, not {type(tensor).__name__}")
    state = {}
    for name, meta in expected_state(network, stored).items():
        tensor, shape = stored[name], tuple(meta.shape)
        try:
            state[name] = _check_tensor(tensor, shape)
        except ValueError as error:
            raise ValueError(f"{name} {error}") from error
        found = tensor.number_type.name
        if not meta.is_floating_point():
            expected = str(meta.dtype).removeprefix("torch.")
        elif found in _FLOATING:
            expected = stored[f"{network.layers[0].name}.weight"].number_type.name
        else:
            raise ValueError(f"{name} is {found}, not a floating-point type")
        if found != expected:
            raise ValueError(f"{name} is {found}, not {expected}")
    return state


def _check_tensor(
    tensor: StoredTensor | StoredRows, shape: tuple[int, ...]
) -> StoredTensor | StoredRows:
    if isinstance(tensor, StoredTensor):
        if tensor.shape != shape:
            raise ValueError(f"has shape {tensor.shape}, not {shape}")
        if tensor.strides is not None:
            raise ValueError("is not stored entry by entry")
        return tensor
    if not shape:
        raise ValueError("is sparse, but has no dimension")
    rows = StoredRows(
        shape=shape, row_ends=tensor.row_ends, columns=tensor.columns, stored=tensor.stored
    )
    if rows.matrix_shape != tensor.shape:
        raise ValueError(f"has shape {tensor.shape} in rows and columns, not {rows.matrix_shape}")
    rows.check()
    return rows
