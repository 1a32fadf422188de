"""An external checkpoint as an ordered mapping from names to tensors that stay in their files.

Read are `torch.save` files (a state dict, bare or wrapped, with and without zip), `.safetensors`
files, and all of them in shards with an index. Nothing in a file is run. A file of any size takes
little memory: numbers are read where they lie, when they are asked for.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, Self

from training.errors import CheckpointError
from training.system.files import FileBytes
from training.system.text import shorten
from training.tensor_files.legacy_torch import LEGACY_START, read_legacy_torch
from training.tensor_files.other_formats import (
    START_BYTES,
    count_names,
    name_file,
    name_folder,
    name_zip,
)
from training.tensor_files.plain_pickle import Opaque
from training.tensor_files.quantized import QuantizedTensor
from training.tensor_files.safetensors_file import looks_like_safetensors, read_safetensors
from training.tensor_files.shards import INDEX_SUFFIX, read_index, refuse_part
from training.tensor_files.state_dict import (
    FoundState,
    describe_value,
    find_state,
    is_tensor,
    strip_wrappers,
)
from training.tensor_files.stored_tensor import NumberType, StoredTensor
from training.tensor_files.torch_archive import ZIP_START, read_torch_archive
from training.tensor_files.zip_records import Records

_STEMS = (
    "model.safetensors",
    "pytorch_model.bin",
    "diffusion_pytorch_model.safetensors",
    "diffusion_pytorch_model.bin",
)
_FOLDER_FILES = tuple(f"{stem}{ending}" for stem in _STEMS for ending in (INDEX_SUFFIX, ""))
DESCRIBES_OTHERS = (
    "give a checkpoint that mdl train wrote; mdl bound, encode, nonzeros and filters take others"
)
"""The way out where only a checkpoint of ours can be taken."""
_OWN_FORMAT = "mdl-checkpoint"
_OWN_FILE = "checkpoint.pt"
_SUFFIXES = (".pt", ".pth", ".bin", ".ckpt", ".safetensors", ".json", ".mdl", ".tar")
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_TYPE_NAME = re.compile(r"torch\.q?u?int\d+(x\d)?|torch\.(b?float|complex)\w+|torch\.bool")


@dataclass(frozen=True, kw_only=True, eq=False)
class TensorFile(Mapping[str, StoredTensor]):
    """The tensors of a checkpoint, by name in the order of the file; a context manager.

    Attributes:
        path: The file, or the index of its shards.
        key: Where in it the state dict lies, with dots between nested keys; "" at its top.
        tensors: All dense tensors. Those of a list are named `name[0 of 2]` and so on.
        others: What else lies in the state dict, by name: what it is.
        quantized: Tensors of torch's quantized types.
        beside: Keys that were not given and under which the file has other tensors.
    """

    path: Path
    key: str
    tensors: dict[str, StoredTensor]
    others: dict[str, str]
    quantized: dict[str, QuantizedTensor] = field(default_factory=dict)
    beside: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> StoredTensor:
        return self.tensors[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.tensors)

    def __len__(self) -> int:
        return len(self.tensors)

    @property
    def title(self) -> str:
        """The file's name, and the key where there is one."""
        return f"{self.path.name} under {shorten(self.key)}" if self.key else self.path.name

    @property
    def num_bytes(self) -> int:
        """Bytes of all dense tensors, shared ones once."""
        return sum({each.place: each.num_bytes for each in self.tensors.values()}.values())

    @property
    def sources(self) -> set[FileBytes | Records]:
        """The open files."""
        stored = [*self.tensors.values(), *(each.integers for each in self.quantized.values())]
        return {tensor.source for tensor in stored}

    def check_bytes(self) -> None:
        """Compare all bytes, read so far or not, with the checksums that files of torch have.

        Raises:
            CheckpointError: A bit of one is not what was written.
        """
        for source in self.sources:
            if isinstance(source, Records):
                try:
                    source.check()
                except ValueError as error:
                    raise CheckpointError(f"{source.path}: {error}; copy it again") from error

    def close(self) -> None:
        """Close the files."""
        for source in self.sources:
            source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def open_tensor_file(path: Path | str, key: str | None = None) -> TensorFile:
    """Open an external checkpoint.

    Args:
        path: A file, the index of shards, or a folder with one of the customary names in it.
        key: The key that the state dict lies under, with dots between nested ones; None looks under
            the customary ones.

    Raises:
        CheckpointError: It holds no state dict that can be read; one line says why.
    """
    file = _find_file(Path(path))
    if file.name.endswith(INDEX_SUFFIX):
        return _open_shards(file, key)
    refuse_part(file)
    return _gather(file, _open_one(file, key))


def is_external(path: Path | str) -> bool:
    """Whether a path holds tensors that another program wrote, by a look at how it begins.

    False for a checkpoint of ours, and for a folder with one.

    Raises:
        CheckpointError: It is neither; one line says what it is.
    """
    file = Path(path)
    if file.is_dir() and (file / _OWN_FILE).exists():
        return False
    file = _find_file(file)
    if file.name.endswith(INDEX_SUFFIX):
        return True
    with FileBytes(file) as source:
        contents = _read(source)
    return not (isinstance(contents, dict) and contents.get("format") == _OWN_FORMAT)


def refuse_external(path: Path | str) -> NoReturn:
    """Say what a file is that is no checkpoint of ours, where only such a one can be taken.

    Raises:
        CheckpointError: Always.
    """
    is_external(path)
    raise CheckpointError(f"{path}: another program's network; {DESCRIBES_OTHERS}")


def _find_file(path: Path) -> Path:
    try:
        if not path.is_dir():
            if not path.exists():
                raise CheckpointError(f"{path}: {_explain_absence(path)}")
            return path
        for name in _FOLDER_FILES:
            if (path / name).exists():
                return path / name
        what = name_folder(path)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from error
    raise CheckpointError(f"{path}: {what}")


def _explain_absence(path: Path) -> str:
    """A name on a hub is told from a mistyped path: one slash, and before it no folder."""
    is_name = _HUB_NAME.fullmatch(str(path)) and path.suffix not in _SUFFIXES
    if is_name and not path.parent.exists():
        return (
            "no such file or folder; if it is the name of a model on a hub, download that first "
            f"(hf download {path} --local-dir FOLDER) and give the folder"
        )
    return "no such file or folder; give a checkpoint"


def _open_one(path: Path, key: str | None) -> FoundState:
    source = FileBytes(path)
    try:
        contents = _read(source)
        if (
            key is not None
            and contents
            and all(type(each) is StoredTensor for each in _values(contents))
        ):
            raise CheckpointError.naming(
                "{}: it is a state dict itself, without keys above it; leave {key} out", path
            )
        try:
            return find_state(contents, key)
        except ValueError as error:
            raise CheckpointError.naming("{}: {}", path, error) from error
    except BaseException:
        source.close()
        raise


def _read(source: FileBytes) -> Any:
    """The contents of a file in one of the forms that are read."""
    start = source.read(0, min(START_BYTES, source.num_bytes))
    if start.startswith(ZIP_START):
        if what := name_zip(source):
            raise CheckpointError(f"{source.path}: {what}")
        return read_torch_archive(source)
    if start.startswith(LEGACY_START):
        return read_legacy_torch(source)
    is_known = name_file(source.path, start)
    if looks_like_safetensors(start, source.num_bytes):
        return read_safetensors(source)
    if source.path.suffix == ".safetensors" and is_known.startswith(("neither", "it begins")):
        return read_safetensors(source)  # it says what is damaged
    raise CheckpointError(f"{source.path}: {is_known}")


def _values(contents: Any) -> list[Any]:
    return list(contents.values()) if isinstance(contents, dict) else []


def _gather(path: Path, found: FoundState) -> TensorFile:
    try:
        state = _flatten(strip_wrappers(found.state))
    except ValueError as error:
        _close(found.state)
        raise CheckpointError(f"{path}: {error}") from error
    return TensorFile(
        path=path,
        key=found.key,
        tensors={name: each for name, each in state.items() if isinstance(each, StoredTensor)},
        quantized={name: each for name, each in state.items() if isinstance(each, QuantizedTensor)},
        others={
            name: describe_value(each)
            for name, each in state.items()
            if not isinstance(each, StoredTensor | QuantizedTensor) and not _is_type(each)
        },
        beside=found.beside,
    )


def _flatten(state: Mapping[str, Any]) -> dict[str, Any]:
    """A list of tensors becomes tensors with names of their own."""
    flat: dict[str, Any] = {}
    for name, value in state.items():
        if isinstance(value, list | tuple) and any(map(is_tensor, value)):
            parts = {f"{name}[{place} of {len(value)}]": each for place, each in enumerate(value)}
            flat |= {part: each for part, each in parts.items() if each is not None}
        else:
            flat[name] = value
    return flat


def _is_type(value: Any) -> bool:
    """Whether it is a type of number, which is code and no number."""
    return isinstance(value, NumberType) or (
        isinstance(value, Opaque) and bool(_TYPE_NAME.fullmatch(value.name))
    )


def _open_shards(path: Path, key: str | None) -> TensorFile:
    placed = read_index(path)
    shards: dict[str, FoundState] = {}
    bad: dict[str, CheckpointError] = {}
    for shard in dict.fromkeys(placed.values()):
        try:
            shards[shard] = _open_one(path.parent / shard, key)
            named = {name for name, place in placed.items() if place == shard}
            for name in sorted(named ^ shards[shard].state.keys()):
                relation = "lacks" if name in named else "has, beside what the index names,"
                raise CheckpointError(
                    f"{path.parent / shard}: {relation} {shorten(name)}; copy the index and its "
                    "shards again"
                )
        except CheckpointError as error:
            bad[shard] = error
    if bad:
        for found in shards.values():
            _close(found.state)
        first = next(iter(bad.values()))
        if len(bad) == 1:
            raise first
        count = len(dict.fromkeys(placed.values()))
        raise CheckpointError.naming(
            "{}: {} of its {} cannot be used; the first one: {}",
            path,
            count_names("shard", bad),
            count,
            first,
        )
    state = {name: each for part in shards.values() for name, each in part.state.items()}
    return _gather(path, FoundState(key="", state=state, beside=()))


def _close(state: Mapping[str, Any]) -> None:
    for tensor in state.values():
        if isinstance(tensor, StoredTensor):
            tensor.source.close()
