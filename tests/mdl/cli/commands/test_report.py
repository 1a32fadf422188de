"""`mdl report` as a process: the page, the JSON object, what is missing, and mistakes."""

import json
import shutil
from pathlib import Path

import pytest

from tests.mdl.calls import Command


def test_a_page_of_two_runs(trained: Path, mdl: Command, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path / "other")
    out = tmp_path / "page.html"
    done = mdl("report", str(trained), str(tmp_path / "other"), "-o", str(out), "--bits", "8")
    assert done.returncode == 0, done.stderr
    assert f"Page: {out}" in done.stdout and "Next:" in done.stdout
    assert "counting its errors on 400 images" in done.stderr
    page = out.read_text()
    assert len(page) < 2_000_000
    for text in ("No setting differs", "conv1", "e4m3fn (b = 8)", "binomial tail", "hold-out"):
        assert text in page
    assert "http://" not in page.replace("http://www.w3.org/2000/svg", "")


def test_json_is_alone_on_stdout_and_agrees_with_mdl_bound(
    trained: Path, mdl: Command, tmp_path: Path
) -> None:
    out = tmp_path / "page.html"
    done = mdl("report", str(trained), "-o", str(out), "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["page"] == str(out) and report["num_bytes"] == out.stat().st_size
    (run,) = report["runs"]
    bound = json.loads(mdl("bound", str(trained), "--json").stdout)
    assert run["description_bits"] == bound["description_bits"]
    assert run["bound"] == bound["bound"]
    assert (run["finished"], run["epochs_done"], run["network"]) == (True, 4, "s-fc")
    assert f"{bound['description_bits']:,}" in out.read_text()


def test_without_a_bound_the_bits_are_still_there(
    trained: Path, mdl: Command, tmp_path: Path
) -> None:
    out = tmp_path / "page.html"
    done = mdl("report", str(trained), "-o", str(out), "--no-bound", "--json")
    (run,) = json.loads(done.stdout)["runs"]
    assert run["bound"] is None and run["description_bits"] > 0
    assert "The errors were not counted (--no-bound)." in out.read_text()


def test_a_run_on_its_way_makes_a_page_too(trained: Path, mdl: Command, tmp_path: Path) -> None:
    going = tmp_path / "going"
    shutil.copytree(trained, going)
    (going / "checkpoint.pt").unlink()
    first = (going / "metrics.jsonl").read_text().splitlines()[0]
    (going / "metrics.jsonl").write_text(first + '\n{"epoch": 2, "tr')
    out = tmp_path / "page.html"
    done = mdl("report", str(going), "-o", str(out), "--json")
    assert done.returncode == 0, done.stderr
    (run,) = json.loads(done.stdout)["runs"]
    assert (run["finished"], run["epochs_done"], run["description_bits"]) == (False, 1, None)
    page = out.read_text()
    assert "not finished: epoch 1 of 4" in page and "has saved no network yet" in page


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("RUN", "-o", "page.pdf"), 2, "must end in .html"),
        (("RUN", "-o", "no/such/page.html"), 2, "there is no folder"),
        (("RUN", "--bits", "7"), 2, "bits must be one of"),
        (("RUN", "--no-bound", "--data", "glyphs"), 2, "leave out"),
        (("RUN",) * 9, 2, "room for 8 runs"),
        (("RUN", "RUN"), 1, "given twice"),
        (("nothing",), 1, "no such run"),
        ((), 2, "Missing argument"),
    ],
)
def test_mistakes_are_one_clear_line(
    arguments: tuple[str, ...], code: int, words: str, trained: Path, mdl: Command
) -> None:
    done = mdl("report", *(str(trained) if each == "RUN" else each for each in arguments))
    assert done.returncode == code
    assert words in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr and done.stdout == ""
