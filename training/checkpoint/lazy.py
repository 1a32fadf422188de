"""A checkpoint that is opened and checked while its numbers are still in the file. No copy.

The one reader of checkpoints: `training.checkpoint.checkpoint.load_checkpoint` loads what this
opens, for a network that is to run; who only counts takes the tensors from here.
"""

from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from training.checkpoint.ranges import check_fields, parse_record
from training.errors import CheckpointError, OutOfMemoryError, UserError
from training.networks.state_check import expected_state
from training.spec.architectures import NetworkSpec
from training.system.checks import check_keys, check_type, shown
from training.system.files import FileBytes
from training.system.memory import as_memory_error
from training.system.text import shorten
from training.tensor_files.open import DESCRIBES_OTHERS, refuse_external
from training.tensor_files.other_formats import name_zip
from training.tensor_files.stored_tensor import StoredRows, StoredTensor
from training.tensor_files.torch_archive import ZIP_START, read_torch_archive
from training.tensor_files.zip_records import Records

FORMAT = "mdl-checkpoint"
FORMAT_VERSION = 1
FILE_NAME = "checkpoint.pt"
FIELDS = ("data", "normalization", "config", "metrics", "versions", "training")
_KEYS = {"format", "version", "network", "state", "num_nonzeros", *FIELDS}
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
        fields: What else it holds, by name in `FIELDS`, all ranges checked; the tensors of
            `training` are still in the file.
    """

    source: FileBytes
    network: NetworkSpec
    tensors: dict[str, StoredTensor | StoredRows]
    num_nonzeros: dict[str, int]
    fields: dict[str, Any] = field(default_factory=dict)

    def check_bytes(self) -> None:
        """Compare what has been read, and what has not, with the checksums in the file.

        Raises:
            CheckpointError: A bit of it is not what was written.
        """
        for tensor in self.tensors.values():
            if isinstance(tensor.stored.source, Records):
                try:
                    tensor.stored.source.check()
                except ValueError as error:
                    raise CheckpointError(f"{self.source.path}: {error}; copy it again") from error
                return

    def __enter__(self) -> "StoredCheckpoint":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.source.close()


def open_checkpoint(path: Path | str) -> StoredCheckpoint:
    """Open a checkpoint file, or that of a run folder, trusting nothing in it.

    Code in the file is never run. Every field is checked, the state's names, shapes and types
    against the network, and the places of sparse entries.

    Raises:
        CheckpointError: It is not a checkpoint of mdl, or one that is damaged.
    """
    source = FileBytes(find_file(Path(path)))
    try:
        start = source.read(0, min(len(ZIP_START), source.num_bytes))
        if not start.startswith(ZIP_START) or name_zip(source) is not None:
            refuse_external(source.path)
        contents = read_torch_archive(source, is_own=True)
        try:
            return _parse(source, parse_header(contents), contents)
        except (ValueError, RecursionError) as error:
            raise unusable(source.path, error) from error
    except BaseException:
        source.close()
        raise


def find_file(path: Path) -> Path:
    """The checkpoint file that a path means: itself, or that of a run folder.

    Raises:
        CheckpointError: A folder without one.
    """
    try:
        if not path.is_dir():
            return path
        if (path / FILE_NAME).exists():
            return path / FILE_NAME
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from error
    raise CheckpointError(
        f"{path}: a folder without {FILE_NAME}; give a run folder that mdl train wrote, or a "
        "checkpoint file"
    )


def unusable(file: Path, error: Exception) -> UserError:
    """What a reader says of a file that it cannot use: one line with the way out."""
    if isinstance(error, UserError) and not isinstance(error, ValueError):
        return error
    if (out_of_memory := as_memory_error(error)) is not None:
        return OutOfMemoryError(f"{file}: {out_of_memory}")
    reason = " ".join(str(error).split()) or type(error).__name__
    way_out = "" if ";" in reason else "; give a checkpoint that mdl train wrote"
    return CheckpointError(f"{file}: {reason}{way_out}")


def parse_header(contents: Any) -> NetworkSpec:
    """The network of a file whose format, version and keys are those of a checkpoint.

    Args:
        contents: What the file holds, its tensors loaded or not.

    Raises:
        ValueError: They are not, or the network's fields are not.
    """
    if not isinstance(contents, dict) or contents.get("format") != FORMAT:
        raise ValueError(f"a torch file, but not a checkpoint of mdl; {DESCRIBES_OTHERS}")
    version: Any = contents.get("version")
    check_type("version", version, int)
    if version > FORMAT_VERSION:
        raise ValueError(
            f"format version {shown(version)} is newer than {FORMAT_VERSION}, the newest that this "
            "mdl reads; update mdl"
        )
    if version < 1:
        raise ValueError(f"format version must be >= 1, not {shown(version)}")
    check_keys("the file", contents, _KEYS)
    network: NetworkSpec = parse_record(NetworkSpec, contents["network"], "network")
    return network


def _parse(source: FileBytes, network: NetworkSpec, contents: dict[str, Any]) -> StoredCheckpoint:
    for name in ("state", "num_nonzeros"):
        check_type(name, contents[name], dict)
    counts = contents["num_nonzeros"]
    check_keys("num_nonzeros", counts, {layer.name for layer in network.layers})
    for layer in network.layers:  # compared with the tensors once these are counted
        check_type(f"num_nonzeros[{layer.name!r}]", counts[layer.name], int)
        if not 0 <= counts[layer.name] <= layer.num_weights:
            raise ValueError(
                f"num_nonzeros[{layer.name!r}] must be from 0 to {layer.num_weights}, not "
                f"{shown(counts[layer.name])}"
            )
    found = {name: contents[name] for name in FIELDS}
    return StoredCheckpoint(
        source=source,
        network=network,
        tensors=_parse_state(network, contents["state"]),
        num_nonzeros=counts,
        fields=check_fields(network, found),
    )


def _parse_state(network: NetworkSpec, stored: Any) -> dict[str, StoredTensor | StoredRows]:
    for name, tensor in stored.items():
        check_type("the name of a tensor", name, str)
        if not isinstance(tensor, StoredTensor | StoredRows):
            raise ValueError(
                f"state[{shorten(name)}] must be a tensor, not {type(tensor).__name__}"
            )
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
