"""Every command refuses a file that is not one, and memory that it would need, in one line."""

import os
import re
import shutil
from pathlib import Path

import pytest

TAKES = {
    "nonzeros": ("nonzeros", "IN"),
    "evaluate": ("evaluate", "IN"),
    "bound": ("bound", "IN"),
    "lengths": ("bound", "IN", "--lengths-only"),
    "bound of bits": ("bound", "IN", "--data", "glyphs"),
    "encode": ("encode", "IN", "-o", "OUT"),
    "decode": ("decode", "IN", "-o", "OUT"),
    "certify": ("certify", "IN", "-o", "OUT"),
    "compress": ("compress", "IN", "-o", "OUT"),
    "embed": ("embed", "IN", "--as", "s-fc", "--out", "OUT"),
    "filters": ("filters", "IN", "--out", "OUT.png"),
    "report": ("report", "IN", "--out", "OUT.html"),
    "verify": ("verify", "IN"),
    "resume": ("train", "--resume", "IN"),
    "data": ("train", "s-fc", "--data", "IN", "--out", "OUT"),
    "policy": ("train", "s-fc", "--policy", "IN", "--out", "OUT"),
}
"""Every command that reads a file."""


@pytest.fixture(params=["pipe", "zero", "sparse"])
def no_file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """What stands where a file should be: to read it would wait, or fill the memory."""
    path = tmp_path / request.param
    if request.param == "pipe":
        os.mkfifo(path)
    elif request.param == "zero":
        path.symlink_to("/dev/zero")
    else:
        path.touch()
        os.truncate(path, 200 * 10**9)
    return path


@pytest.fixture(scope="module")
def certificate(mdl, trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("certificate") / "cert"
    assert mdl("certify", str(trained), "-o", str(path)).returncode == 0
    return path


def call(mdl, command: tuple[str, ...], path: Path):
    out = str(path.parent / "out")
    parts = (str(path) if part == "IN" else part.replace("OUT", out) for part in command)
    return mdl(*parts)


def check_refused(done, path: Path, words: str) -> None:
    lines = [line for line in done.stderr.splitlines() if not line.startswith(("Loading", "Try"))]
    assert done.returncode in (1, 2), done.stderr
    assert len(lines) == 1, done.stderr
    assert re.search(words, lines[0]), lines[0]
    assert str(path) in lines[0] or str(path.resolve()) in lines[0]
    assert not list(path.parent.glob("out*"))


@pytest.mark.sample(3)
@pytest.mark.parametrize("command", TAKES.values(), ids=TAKES)
def test_what_is_no_regular_file_is_one_line(mdl, command: tuple[str, ...], no_file: Path) -> None:
    words = "not a regular file|at most|is not a (folder|run folder|file)|is a file; pass the"
    check_refused(call(mdl, command, no_file), no_file, words)


@pytest.mark.parametrize("name", ["checkpoint.pt", "config.json", "metrics.jsonl"])
def test_in_a_run_folder(mdl, name: str, trained: Path, no_file: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    (run / name).unlink()
    (run / name).symlink_to(no_file)
    check_refused(call(mdl, TAKES["report"], run), run / name, "not a regular file|at most")


@pytest.mark.parametrize("name", ["certificate.json", "network.mdl"])
def test_in_a_certificate(mdl, name: str, certificate: Path, no_file: Path, tmp_path: Path) -> None:
    cert = tmp_path / "cert"
    shutil.copytree(certificate, cert)
    (cert / name).unlink()
    (cert / name).symlink_to(no_file)
    check_refused(call(mdl, TAKES["verify"], cert), cert / name, "not a regular file|at most")


def test_in_a_store(mdl, no_file: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.mkdir()
    (store / "results.jsonl").symlink_to(no_file)
    done = mdl(*("reproduce", "table2", "--scale", "smoke", "--only-draw", "--store", str(store)))
    check_refused(done, store / "results.jsonl", "not a regular file|at most")


@pytest.mark.sample(3)
@pytest.mark.parametrize(
    "name", ["nonzeros", "evaluate", "bound", "encode", "certify", "filters", "report"]
)
def test_memory_is_asked_for_until_it_suffices(
    mdl, name: str, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At each budget a command ends in one line with both sizes, or does its work."""
    path = tmp_path / "network.pt"
    shutil.copy(trained / "checkpoint.pt", path)
    available = 1000
    monkeypatch.setattr("training.system.memory.available_memory", lambda: available)
    while (done := call(mdl, TAKES[name], path)).returncode:
        words = r"needs about [\d.]+ (kB|MB|GB) of memory, and \d+.\d (kB|MB|GB) is available; "
        errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
        assert [bool(re.search(words, line)) for line in errors] == [True], done.stderr
        available *= 100
    assert available <= 10**9
