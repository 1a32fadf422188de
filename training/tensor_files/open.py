"""An external checkpoint as an ordered mapping from names to tensors that stay in their files.

Read are `torch.save` files (a state dict, bare or wrapped), `.safetensors` files, and both of them
in shards with an index. Nothing in a file is run. A file of any size takes little memory: numbers
are read where they lie, when they are asked for.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from training.errors import CheckpointError, ConfigError
from training.system.checks import load_json
from training.system.files import FileBytes
from training.tensor_files.plain_pickle import Opaque
from training.tensor_files.safetensors_file import looks_like_safetensors, read_safetensors
from training.tensor_files.stored_tensor import StoredRows, StoredTensor, printable, shorten
from training.tensor_files.torch_archive import ZIP_START, read_torch_archive
from training.tensor_files.zip_records import Records

INDEX_SUFFIX = ".index.json"
MAX_INDEX_BYTES = 1 << 25
_FOLDER_FILES = (
    "model.safetensors.index.json",
    "model.safetensors",
    "pytorch_model.bin.index.json",
    "pytorch_model.bin",
)
_OWN_FORMAT = "mdl-checkpoint"
_START_BYTES = 16
_PICKLE_START = b"\x80"

WRAPPERS = ("state_dict_ema", "model_ema", "state_dict", "model", "model_state_dict")
"""Keys that a state dict may lie under; where there are several, the first one is taken."""
_PREFIX = "module."
_COMPILED = "_orig_mod."
_MAX_DEPTH = 3


@dataclass(frozen=True, kw_only=True, eq=False)
class TensorFile(Mapping[str, StoredTensor]):
    """The tensors of a checkpoint, by name in the order of the file; a context manager.

    Who leaves the context without an error has read what was written.

    Attributes:
        path: The file, or the index of its shards.
        key: Where in it the state dict lies; "" at its top.
        tensors: All dense tensors.
        others: What else lies in the state dict, by name: what it is.
    """

    path: Path
    key: str
    tensors: dict[str, StoredTensor]
    others: dict[str, str]

    def __getitem__(self, name: str) -> StoredTensor:
        return self.tensors[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.tensors)

    def __len__(self) -> int:
        return len(self.tensors)

    @property
    def num_bytes(self) -> int:
        """Bytes of all tensors, shared ones once."""
        return sum({each.place: each.num_bytes for each in self.tensors.values()}.values())

    def close(self) -> None:
        """Close the files."""
        for source in {tensor.source for tensor in self.tensors.values()}:
            source.close()

    def check_bytes(self) -> None:
        """Compare what has been read, and what has not, with the checksums that the files have.

        Raises:
            CheckpointError: A bit of one is not what was written.
        """
        for source in {tensor.source for tensor in self.tensors.values()}:
            if isinstance(source, Records):
                try:
                    source.check()
                except ValueError as error:
                    raise CheckpointError(f"{source.path}: {error}; copy it again") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        try:
            if kind is None:
                self.check_bytes()
        finally:
            self.close()


def open_tensor_file(path: Path | str, key: str | None = None) -> TensorFile:
    """Open an external checkpoint.

    Args:
        path: A file, the index of shards, or a folder with one of the customary names in it.
        key: The key that the state dict lies under; None looks under the customary ones.

    Raises:
        CheckpointError: It holds no state dict that can be read; one line says why.
    """
    file = _find_file(Path(path))
    if file.name.endswith(INDEX_SUFFIX):
        return _open_shards(file, key)
    where, state = _open_one(file, key)
    return _gather(file, where, state)


def is_external(path: Path | str) -> bool:
    """Whether a path holds tensors that another program wrote, by a look at how it begins.

    False also for what cannot be read at all: `load_checkpoint` says what is wrong with it.
    """
    file = Path(path)
    try:
        if file.is_dir():
            return any((file / name).exists() for name in _FOLDER_FILES)
        if file.name.endswith((INDEX_SUFFIX, ".safetensors")):
            return True
        with FileBytes(file) as source:
            start = source.read(0, min(_START_BYTES, source.num_bytes))
            if not start.startswith(ZIP_START):
                return looks_like_safetensors(start, source.num_bytes)
            contents = read_torch_archive(source)
    except (CheckpointError, OSError):
        return False
    return not (isinstance(contents, dict) and contents.get("format") == _OWN_FORMAT)


def _find_file(path: Path) -> Path:
    try:
        if not path.is_dir():
            return path
        for name in _FOLDER_FILES:
            if (path / name).exists():
                return path / name
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from error
    raise CheckpointError(f"{path}: a folder without {_FOLDER_FILES[1]}; give a file")


def _open_one(path: Path, key: str | None) -> tuple[str, dict[str, Any]]:
    source = FileBytes(path)
    try:
        start = source.read(0, min(_START_BYTES, source.num_bytes))
        if start.startswith(ZIP_START):
            contents = read_torch_archive(source)
        elif looks_like_safetensors(start, source.num_bytes) or path.suffix == ".safetensors":
            contents = read_safetensors(source)
            if key is not None:
                raise CheckpointError.naming(
                    "{}: a safetensors file has no keys; leave {key} out", path
                )
        elif start.startswith(_PICKLE_START):
            raise CheckpointError(
                f"{path}: a pickle, which could run code when it is read; nothing was run; save it "
                "with torch.save in its zip format"
            )
        else:
            raise CheckpointError(
                f"{path}: neither a torch file nor a safetensors file; give a state dict that "
                "torch.save wrote in its zip format, or a .safetensors file"
            )
        try:
            return find_state(contents, key)
        except ValueError as error:
            raise CheckpointError.naming("{}: {}", path, error) from error
    except BaseException:
        source.close()
        raise


def _gather(path: Path, where: str, found: Mapping[str, Any]) -> TensorFile:
    try:
        state = strip_wrappers(found)
    except ValueError as error:
        _close(found)
        raise CheckpointError(f"{path}: {error}") from error
    tensors = {name: each for name, each in state.items() if isinstance(each, StoredTensor)}
    others = {
        name: _describe(each) for name, each in state.items() if not isinstance(each, StoredTensor)
    }
    return TensorFile(path=path, key=where, tensors=tensors, others=others)


def _describe(value: Any) -> str:
    if isinstance(value, Opaque):
        name = printable(value.name)
        return name if name.startswith("a ") else f"an object of class {name}"
    kind = type(value).__name__
    return "a sparse tensor" if isinstance(value, StoredRows) else f"a value of type {kind}"


def _open_shards(path: Path, key: str | None) -> TensorFile:
    shards: dict[str, dict[str, Any]] = {}
    try:
        placed = _read_index(path)
        for shard in dict.fromkeys(placed.values()):
            _, shards[shard] = _open_one(path.parent / shard, key)
            named = {name for name, place in placed.items() if place == shard}
            for name in sorted(named ^ shards[shard].keys()):
                relation = "lacks" if name in named else "has, beside what the index names,"
                raise CheckpointError(
                    f"{path.parent / shard}: {relation} {shorten(name)}; copy the index and its "
                    "shards again"
                )
    except BaseException:
        for state in shards.values():
            _close(state)
        raise
    return _gather(
        path, "", {name: each for part in shards.values() for name, each in part.items()}
    )


def _read_index(path: Path) -> dict[str, str]:
    """Name of each tensor to the file name of its shard, in the index's own folder."""
    with FileBytes(path) as source:
        if source.num_bytes > MAX_INDEX_BYTES:
            raise CheckpointError(f"{path}: too long for an index of shards; give the index itself")
        text = source.read(0, source.num_bytes)
    try:
        index = load_json(text)
    except ValueError as error:
        raise CheckpointError(f"{path}: not an index of shards: it is not JSON") from error
    placed = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(placed, dict) or not placed:
        raise CheckpointError(f"{path}: not an index of shards: it has no weight_map")
    for name, shard in placed.items():
        is_plain = isinstance(shard, str) and shard not in ("", ".", "..")
        if not is_plain or Path(shard).name != shard or "\\" in shard or "\0" in shard:
            raise CheckpointError(
                f"{path}: the shard of {shorten(name)} must be a file beside the index, not "
                f"{shorten(str(shard))}"
            )
    return placed


def _close(state: Mapping[str, Any]) -> None:
    for tensor in state.values():
        if isinstance(tensor, StoredTensor):
            tensor.source.close()


def find_state(contents: Any, key: str | None = None) -> tuple[str, dict[str, Any]]:
    """Where the state dict lies, and it itself.

    Args:
        contents: What the file holds.
        key: The key that it lies under; None looks under `WRAPPERS` and then at the top.

    Raises:
        ValueError: There is none.
    """
    where = []
    if key is not None:
        if not isinstance(contents, dict) or key not in contents:
            raise ConfigError.naming("has no key {}; give another {key}", shorten(key))
        where.append(key)
        contents = contents[key]
    while len(where) < _MAX_DEPTH and isinstance(contents, dict):
        # A dict comes before an object: a whole model may lie beside its state dict.
        found = [name for name in WRAPPERS if isinstance(contents.get(name), dict)]
        found += [name for name in WRAPPERS if isinstance(contents.get(name), Opaque)]
        if not found:
            break
        where.append(found[0])
        contents = contents[found[0]]
    if isinstance(contents, Opaque):
        raise ValueError(
            f"holds an object of class {printable(contents.name)}, which is not made here; save "
            "its state_dict()"
        )
    if not isinstance(contents, dict) or not _has_tensor(contents):
        raise ValueError("no state dict was found in it; save model.state_dict()")
    for name in contents:
        if not isinstance(name, str):
            raise ValueError(f"a tensor's name must be text, not {type(name).__name__}")
    return ".".join(where), dict(contents)


def strip_wrappers(state: Mapping[str, Any]) -> dict[str, Any]:
    """The same tensors under the names that the bare module has.

    DataParallel puts `module.` in front of every name, torch.compile puts `_orig_mod.` in front of
    the names of what it compiled. `module.` goes only where every name has it.

    Raises:
        ValueError: Two names become one.

    >>> strip_wrappers({"module._orig_mod.a": 1, "module.b._orig_mod.c": 2})
    {'a': 1, 'b.c': 2}
    """
    names = {name: name.replace(_COMPILED, "") for name in state}
    while names and all(short.startswith(_PREFIX) for short in names.values()):
        names = {name: short.removeprefix(_PREFIX) for name, short in names.items()}
    stripped: dict[str, Any] = {}
    for name, short in names.items():
        if short in stripped:
            raise ValueError(f"two tensors have the name {shorten(short)} without their prefixes")
        stripped[short] = state[name]
    return stripped


def _has_tensor(contents: Mapping[Any, Any]) -> bool:
    return any(isinstance(value, StoredTensor | StoredRows) for value in contents.values())
