"""Every file that is read is opened by `training.system.files`; a short list says where not."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PACKAGES = ("training", "analysis", "figures", "mdl")

METHODS = {"read_bytes", "read_text"}  # of a path; those of the opener are plain functions
LOADERS = {
    *("FileIO", "ZipFile", "ParquetFile", "ParquetDataset", "TarFile", "open_code", "safe_open"),
    *("fromfile", "memmap", "loadtxt", "genfromtxt", "mmap", "memory_map", "OSFile", "read_table"),
    *("read_csv", "read_parquet", "read_schema", "read_metadata", "imread"),
}
"""Names of functions that open what they are given, if that is not an open file already."""
LOADS = {f"{owner}.load" for owner in ("np", "torch", "json", "pickle", "tomllib")}
NOT_FILES = {"webbrowser.open", "archive.open"}  # of a zip that is open

WHY_NOT = {
    "training/system/files.py": "the opener itself",
    "training/system/memory.py": "files of the kernel in /proc and /sys, which state no size",
    "training/run/precision.py": "/proc/cpuinfo",
    "training/run/provenance.py": "/proc/cpuinfo, and what pip installed of mdl itself",
    "training/kernels/compiled.py": "mdl's own source",
    "mdl/report/page.py": "mdl's own style sheet and script",
    "mdl/bench/report.py": "/proc/cpuinfo",
    "mdl/bench/stored_lines.py": "files that it has just written",
    "mdl/timing/floors.py": "files that it has just written",
    "mdl/experiments/engines/local_engine.py": "the log that it has opened to write",
    "mdl/terminal/process.py": "the null device in place of a closed stream",
    "training/system/locks.py": "locks, of which a line is read, and /proc/self/mounts",
}


def name_of(function: ast.expr) -> str:
    """`open`, or `pq.ParquetFile`: the last two parts."""
    if isinstance(function, ast.Name):
        return function.id
    if isinstance(function, ast.Attribute):
        owner = function.value
        return f"{owner.id if isinstance(owner, ast.Name) else ''}.{function.attr}"
    return ""


def writes(call: ast.Call) -> bool:
    """Whether a call of open has a mode that does not read."""
    given = [*call.args, *(each.value for each in call.keywords if each.arg == "mode")]
    modes = [each.value for each in given if isinstance(each, ast.Constant)]
    return any(isinstance(mode, str) and set(mode) & set("wax") for mode in modes)


def is_open_already(call: ast.Call) -> bool:
    """Whether the first argument is bytes in memory, or the file that the opener opened."""
    if not call.args:
        return True
    first = call.args[0]
    if isinstance(first, ast.Call):
        return name_of(first.func).rpartition(".")[2] in ("BytesIO", "StringIO")
    return isinstance(first, ast.Attribute) and first.attr == "file"


def openings(tree: ast.AST) -> Iterator[str]:
    """The calls that open a file to read it, by line and name."""
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        name = name_of(call.func)
        _, dot, last = name.rpartition(".")
        opens = last == "open" and name not in NOT_FILES and not writes(call)
        if last == "open" and dot and is_open_already(call) and call.args:
            opens = False  # Image.open of bytes
        reads = bool(dot) and last in METHODS
        if opens or reads or ((last in LOADERS or name in LOADS) and not is_open_already(call)):
            yield f"line {call.lineno}: {name}"


def found() -> dict[str, list[str]]:
    places = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            lines = list(openings(ast.parse(path.read_text(encoding="utf-8"))))
            if lines:
                places[path.relative_to(ROOT).as_posix()] = lines
    return places


def test_no_file_is_read_beside_the_opener() -> None:
    beside = {path: lines for path, lines in found().items() if path not in WHY_NOT}
    assert not beside, "open these by FileBytes, read_bytes or read_text of training.system.files"


def test_the_list_of_exceptions_has_no_more_than_there_are() -> None:
    assert set(WHY_NOT) == set(found()) & set(WHY_NOT)


def test_the_scan_sees_every_way_to_open_a_file() -> None:
    seen = """
open(path)
open(path, "rb")
path.open()
path.open("rb")
io.open(path)
os.open(path, os.O_RDONLY)
path.read_bytes()
path.read_text(encoding="utf-8")
np.load(path)
torch.load(path, weights_only=True)
json.load(file)
zipfile.ZipFile(path)
pq.ParquetFile(path)
pq.read_table(path)
Image.open(path)
tarfile.open(path)
np.fromfile(path)
FileIO(path)
safe_open(path)
"""
    unseen = """
open(path, "w")
path.open("ab")
path.open(mode="x")
np.load(BytesIO(data))
Image.open(io.BytesIO(data))
zipfile.ZipFile(source.file)
pq.ParquetFile(source.file)
read_bytes(path, what="a file", cap=1)
webbrowser.open(address)
"""
    lines = [line for line in seen.splitlines() if line]
    assert len(list(openings(ast.parse(seen)))) == len(lines)
    assert list(openings(ast.parse(unseen))) == []
