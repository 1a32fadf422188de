"""Files and folders that hold networks in forms that are not read here: what they are.

Whoever is told "not a checkpoint" has to find out what the file is. Its first bytes say it, or the
names in its archive, or those in its folder.
"""

import re
from collections.abc import Iterable
from pathlib import Path

from training.system.files import FileBytes
from training.tensor_files.zip_records import record_names

START_BYTES = 512
"""Of a file, enough to know it by."""

_ARRAYS = "write its arrays by name with safetensors.numpy.save_file"
_STATE = "save its tensors alone"
_STARTS: tuple[tuple[bytes, str], ...] = (
    (rb"\Z", "the file is empty; copy it again"),
    (rb"version https://git-lfs", "a Git LFS pointer, not the file; fetch it with git lfs pull"),
    (rb"/annex/objects/", "a git-annex pointer, not the file; fetch it with git annex get"),
    (rb"mdl-(bits|rela)", "a file of bits that mdl encode wrote; mdl decode makes a network of it"),
    (rb"GGUF|lmgg|tjgg|fmgg", "a GGUF or GGML file of llama.cpp; give what it was made from"),
    (rb"\x89HDF\r\n", f"an HDF5 file, such as Keras and TensorFlow write (.h5); {_ARRAYS}"),
    (rb"\x93NUMPY", f"a NumPy array (.npy); {_ARRAYS}"),
    (rb"PAR1", "a Parquet file: data, not a network; give a checkpoint"),
    (rb"\x1f\x8b", "compressed by gzip; unpack it first"),
    (rb"\x28\xb5\x2f\xfd", "compressed by zstd; unpack it first"),
    (rb"BZh", "compressed by bzip2; unpack it first"),
    (rb"\xfd7zXZ", "compressed by xz; unpack it first"),
    (rb"7z\xbc\xaf|Rar!|.{257}ustar", "an archive (7z, RAR or tar); unpack it first"),
    (rb".{4}TFL3", f"a TensorFlow Lite file; of the model that it was made from, {_ARRAYS}"),
    (rb".{4}ET12", f"an ExecuTorch program; of the model that it was made from, {_STATE}"),
    (rb"\x08.\x12.[ -~]", f"an ONNX graph; {_STATE} where it was made, or {_ARRAYS}"),
    (
        rb"\x80|\(?[dl]p0\n|c[a-z_.]+\n[A-Za-z_]\w*\n(p\d|q[\0-\x1f]|[()}.])",
        "a Python pickle, which could run code when it is read; nothing was run; save the tensors "
        "with torch.save, or in a .safetensors file",
    ),
    (rb"\0{32}", "it begins with zeros, as a download that was cut off does; copy it again"),
    (rb"(?i:\s*<(!doctype|html|\?xml))", "a web page, not the file; download the file itself"),
    (
        rb"\s*[{\[]\s*[\"\]}\[{]",
        "a JSON file, such as a configuration; give the file of the tensors",
    ),
)
_SUFFIXES = {
    ".onnx": f"an ONNX graph; {_STATE} where it was made, or {_ARRAYS}",
    ".pb": f"a TensorFlow graph; {_ARRAYS}",
    ".msgpack": f"weights for Flax; {_ARRAYS}",
}
_ZIPS: tuple[tuple[str, str], ...] = (
    (
        r"(.*/)?(code/.*|constants\.pkl)",
        f"a TorchScript program; {_STATE}: torch.save(torch.jit.load(FILE).state_dict(), NEW)",
    ),
    (
        r"(.*/)?(serialized_exported_program\.json|archive_format|models/.*\.json)",
        f"a program of torch.export; {_STATE}: torch.save(torch.export.load(FILE).state_dict, NEW)",
    ),
    (r"model\.weights\.h5", f"a Keras file; {_ARRAYS}"),
    (r".*\.npy", f"a NumPy archive (.npz); {_ARRAYS}"),
)
_FOLDERS = {
    "adapter_config.json": (
        "a PEFT adapter: a change to a base model, not a network; merge it (merge_and_unload) and "
        "save the whole, or give its adapter_model file for the change alone"
    ),
    "model_index.json": "a diffusers pipeline of several networks; give the folder of one{part}",
    ".metadata": (
        "a distributed checkpoint of torch (DCP); make one file of it: python -m "
        "torch.distributed.checkpoint.format_utils dcp_to_torch FOLDER FILE"
    ),
    "zero_to_fp32.py": (
        "a DeepSpeed checkpoint; make one file of it by the zero_to_fp32.py that lies in it"
    ),
    "saved_model.pb": f"a TensorFlow SavedModel; {_ARRAYS}",
    "tf_model.h5": "weights for TensorFlow; save them for torch (from_pretrained, from_tf=True)",
    "flax_model.msgpack": "weights for Flax; save them for torch (from_pretrained, from_flax=True)",
    "_CHECKPOINT_METADATA": f"a checkpoint of Orbax (JAX); {_ARRAYS}",
    "checkpoint": f"a checkpoint of TensorFlow; {_ARRAYS}",
}
_SLICES = re.compile(r"(mp|zero_pp|bf16_zero_pp)_rank_\d+.*\.pt")
PART = re.compile(r"(?P<stem>.+)-(?P<part>\d+)-of-(?P<parts>\d+)(?P<suffix>\.\w+)")
"""The name of a shard: which part it is, of how many."""
_TENSOR_SUFFIXES = (".safetensors", ".pt", ".pth", ".ckpt", ".bin")


def name_file(path: Path, start: bytes) -> str:
    """What a file is that is neither torch's nor a safetensors file, and what to do.

    Args:
        path: The file, for its name's ending.
        start: Its first `START_BYTES`, or all of it.

    >>> name_file(Path("a.pt"), b""), name_file(Path("a.pt"), b"GGUF and more").partition(";")[0]
    ('the file is empty; copy it again', 'a GGUF or GGML file of llama.cpp')
    """
    for known, words in _STARTS:
        if re.match(known, start, re.DOTALL):
            return words
    if path.suffix in _SUFFIXES:
        return _SUFFIXES[path.suffix]
    text = start.decode("utf-8", errors="ignore")  # a letter may be cut in two
    is_text = len(text.encode()) > len(start) - 4 and all(
        each.isprintable() or each.isspace() for each in text
    )
    what = "a text file, not tensors" if is_text else "neither a torch nor a safetensors file"
    return f"{what}; give a checkpoint of mdl train, a state dict, or a .safetensors file"


def name_zip(source: FileBytes) -> str | None:
    """What a zip archive is that torch.save did not write, and what to do; None if unknown."""
    try:
        names = record_names(source)
    except ValueError:
        return None
    for pattern, words in _ZIPS:
        if any(re.fullmatch(pattern, name) for name in names):
            return words
    return None


def name_folder(folder: Path) -> str:
    """What a folder is in which no network was found, and what to do.

    Raises:
        OSError: It cannot be listed.
    """
    entries = sorted(folder.iterdir())
    names = [entry.name for entry in entries]
    for name, words in _FOLDERS.items():
        if name in names:
            part = next((f", such as {each.name}" for each in entries if _has_tensors(each)), "")
            return words.format(part=part)
    if any(map(_SLICES.fullmatch, names)):
        return "slices of a DeepSpeed checkpoint; make one file by the zero_to_fp32.py above it"
    files = [name for name in names if name.endswith(_TENSOR_SUFFIXES)]
    if any(map(PART.fullmatch, files)):
        return f"parts of a network ({count_names('file', files)}) without their index; add it"
    if files:
        return f"a folder with {count_names('file', files)} that may hold tensors; give one of them"
    runs = [entry.name for entry in entries if (entry / "checkpoint.pt").is_file()]
    if runs:
        return f"a folder of {count_names('run', runs)}; give one of them"
    return "a folder without model.safetensors or another file of tensors; give a file"


def count_names(noun: str, names: Iterable[str]) -> str:
    """How many there are, and the first few.

    >>> count_names("file", ["a", "b", "c", "d"]), count_names("file", ["a"])
    ('4 files (a, b, c, ...)', '1 file (a)')
    """
    listed = list(names)
    more = ", ..." if len(listed) > 3 else ""
    what = noun if len(listed) == 1 else f"{noun}s"
    return f"{len(listed):,} {what} ({', '.join(listed[:3])}{more})"


def _has_tensors(folder: Path) -> bool:
    return folder.is_dir() and any(each.suffix in _TENSOR_SUFFIXES for each in folder.iterdir())
