"""The fuzzer in CI: every fault found so far is mended, and 2,000 files of all kinds are tried."""

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fuzz import judge as judging
from tests.fuzz import pool
from tests.fuzz.cases import Case, draw_of, find_kept, load_case
from tests.fuzz.damage import change_tree, damage, flip_bit
from tests.fuzz.judge import FAULTS, GOOD, judge
from tests.fuzz.kinds import KINDS, Kind
from tests.fuzz.make_corpus import CORPUS, MOST_BYTES
from training.errors import DataError

ROOT = Path(__file__).resolve().parents[2]
KEPT = find_kept(CORPUS)


@pytest.fixture
def _limited_memory() -> Iterator[None]:
    """No file gets more memory than in the fuzzer's own processes."""
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pool.memory_limit(), limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, limits)


@pytest.mark.sample(4)
@pytest.mark.usefixtures("_limited_memory")
@pytest.mark.parametrize("place", KEPT, ids=lambda place: place.name)
def test_no_fault_comes_back(place: Path, tmp_path: Path) -> None:
    case = load_case(place)
    outcome = judge(case, tmp_path, {})
    assert outcome.verdict in GOOD, outcome.said
    if case.origin and KINDS[case.kind].is_sealed:  # damage that changed what the file says
        assert outcome.verdict == "rejected"


def test_the_corpus_is_small_and_has_every_kind() -> None:
    cases = [load_case(place) for place in KEPT]
    assert max(len(data) for case in cases for data in case.files.values()) <= MOST_BYTES
    assert sum(len(data) for case in cases for data in case.files.values()) <= 50 * MOST_BYTES
    assert {case.kind for case in cases} <= KINDS.keys()


@pytest.mark.slow
@pytest.mark.process
def test_two_thousand_files(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.fuzz", "--files", "2000", "--keep", tmp_path / "kept"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2000:]
    (last,) = (line.split() for line in done.stdout.splitlines() if line.startswith("all "))
    assert last[1] == "2,000"
    assert all(name in done.stdout for name in KINDS)


class _LoopError(Exception):
    """An error whose context is itself."""


def _raise(error: Exception) -> str:
    raise error


def _fill_memory() -> str:
    return str(bytearray(1 << 40))


def _take_memory() -> str:
    return str(len(b"x" * (1 << 29)))


@pytest.mark.parametrize(
    ("read", "verdict"),
    [
        (lambda folder: "good", "unchanged"),
        (lambda folder: "other", "unnoticed"),
        (lambda folder: _raise(DataError(f"{folder}: bad")), "rejected"),
        (lambda folder: _raise(DataError("bad")), "other"),
        (lambda folder: _raise(ValueError("cannot reshape")), "other"),
        (lambda folder: _raise(DataError(f"{folder}: {'x' * 5000}")), "rejected"),
        (lambda folder: _raise(KeyError(f"{folder}")), "other"),
        (lambda folder: (folder / "no such file").read_text(), "rejected"),
        (lambda folder: _fill_memory(), "memory"),
        (lambda folder: _take_memory(), "memory"),
    ],
)
def test_verdicts(read, verdict, tmp_path, monkeypatch) -> None:
    kind = Kind(goods=(), change=lambda files, draw: files, read=read, is_sealed=True)
    monkeypatch.setitem(judging.KINDS, "run", kind)
    case = Case(kind="run", files={"a/file": b"x"}, origin="one")
    assert judge(case, tmp_path, {"one": "good"}).verdict == verdict
    if verdict == "unnoticed":
        assert judge(replace(case, origin=""), tmp_path, {}).verdict == "accepted"


@pytest.mark.process
def test_a_process_that_dies_or_hangs_is_told_of_and_replaced(tmp_path, monkeypatch) -> None:
    def read(folder: Path) -> str:
        text = (folder / "a").read_text()
        if text == "1":
            os.kill(os.getpid(), signal.SIGSEGV)
        while text == "2":
            pass
        return text

    kind = Kind(goods=(), change=lambda files, draw: files, read=read)
    monkeypatch.setitem(judging.KINDS, "run", kind)
    monkeypatch.setattr(pool, "CPU_S", 0.2)

    def make(number: int) -> Case:
        return Case(kind="run", files={"a": str(number).encode()}, number=number)

    found = pool.judge_all(range(5), make, tmp_path / "work", {}, num_processes=2)
    verdicts = {outcome.case.number: outcome.verdict for outcome in found}
    assert verdicts == {0: "accepted", 1: "crash", 2: "hang", 3: "accepted", 4: "accepted"}


def test_a_kept_case_comes_back(tmp_path: Path) -> None:
    case = Case(kind="run", files={"a/b": b"\0\xff", "c": b""}, origin="x/y", seed=3, number=4)
    case.keep(tmp_path / case.name, FAULTS[0], "line")
    assert find_kept(tmp_path) == [tmp_path / case.name]
    assert load_case(tmp_path / case.name) == case


def test_equal_seeds_make_equal_files() -> None:
    data, tree = bytes(range(200)), {"a": [1, 2.5, "x"], "b": {"c": None}}
    for number in range(50):
        first, second, other = draw_of(1, number), draw_of(1, number), draw_of(2, number)
        assert damage(data, first) == damage(data, second)
        assert repr(change_tree(tree, first)) == repr(change_tree(tree, second))
        assert draw_of(1, number).random() != other.random()


def test_a_flipped_bit_flips_back() -> None:
    data = b"\x00\x80"
    assert [flip_bit(data, place) for place in (0, 15)] == [b"\x01\x80", b"\x00\x00"]
    assert all(flip_bit(flip_bit(data, place), place) == data for place in range(16))
