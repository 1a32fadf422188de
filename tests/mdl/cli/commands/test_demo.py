"""`mdl demo` on few images: what it prints and leaves, and that it claims no more than it found."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from unittest import mock

import pytest

from analysis.certify.verify import verify
from mdl.cli import demo
from mdl.cli.demo import TrainedRow, answer, findings
from tests.mdl.calls import Command

SMALL = {"_IMAGE_SIZE": 8, "_NUM_TRAIN": 300, "_NUM_TEST": 50, "_EPOCHS": 1, "_SHORT_EPOCHS": 1}
ROW = TrainedRow(
    title="s-fc",
    test_accuracy=0.5,
    num_nonzeros=10,
    num_weights=100,
    description_bits=1000,
    radius_ratio=0.9,
    bound=1.0,
)


@pytest.fixture(autouse=True)
def _small() -> Iterator[None]:
    with mock.patch.multiple(demo, **SMALL):
        yield


def test_the_answer_comes_first_and_what_to_try_next_works(mdl: Command, tmp_path: Path) -> None:
    out = tmp_path / "shown"
    done = mdl("demo", "-o", out, "--seed", "3")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith(("A network of ", "Vacuous: "))
    assert len(lines) + len(done.stderr.splitlines()) <= 24
    assert [line[:3] for line in done.stderr.splitlines()] == [f"{n}/6" for n in range(1, 7)]
    for line in (done.stdout + done.stderr).replace(str(out), "demo").splitlines():
        assert len(line) <= 80, line
    assert {path.name for path in out.iterdir()} == {
        "s-conv-sgd",
        "s-fc-sgd",
        "s-fc-beta-lasso",
        "short",
        "certificate",
        "report.html",
    }
    assert list(tmp_path.iterdir()) == [out]
    assert verify(out / "certificate").ok
    page = (out / "report.html").read_text()
    for text in ("s-conv-sgd", "s-fc-beta-lasso", "short", "Where the bits go"):
        assert text in page
    commands = lines[lines.index("Next:") + 1 :]
    for command in commands[:2]:
        assert mdl(*command.split()[1:]).returncode == 0
    assert commands[2:] == ["  mdl train s-fc"]


def test_json_is_one_object_and_the_page_opens(mdl: Command, tmp_path: Path) -> None:
    out = tmp_path / "demo"
    with mock.patch("webbrowser.open") as opened:
        done = mdl("demo", "--out", out, "--json", "--open")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found["trained"]) == 3
    stated = json.loads((out / "certificate" / "certificate.json").read_text())
    assert found["certificate"].items() <= stated.items()
    opened.assert_called_once_with((out / "report.html").as_uri())
    assert found["page"] == str(out / "report.html")


def test_a_folder_that_is_not_empty_stays_as_it_is(mdl: Command, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    done = mdl("demo", "-o", tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"error: {tmp_path} is not empty; give a new folder\n"
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_ctrl_c_leaves_nothing(mdl: Command, tmp_path: Path) -> None:
    with mock.patch.object(demo, "verify", side_effect=KeyboardInterrupt):
        done = mdl("demo", "-o", tmp_path / "demo")
    assert done.returncode == 130
    assert not list(tmp_path.iterdir())


def test_a_certificate_that_does_not_verify_is_an_error(mdl: Command, tmp_path: Path) -> None:
    refused = mock.Mock(ok=False, differences=("num_errors: differs",))
    with mock.patch.object(demo, "verify", return_value=refused):
        done = mdl("demo", "-o", tmp_path / "demo")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "error: num_errors: differs"
    assert not list(tmp_path.iterdir())


def test_findings_say_no_more_than_the_numbers() -> None:
    better = replace(ROW, description_bits=200, radius_ratio=0.6, test_accuracy=0.6)
    assert findings([ROW, ROW, better]) == [
        "β-lasso's description of s-fc is 5.0 times shorter than SGD's.",
        "Its filters are more local, though nothing tells it which pixels are near.",
        "It is right more often, too, as in the paper.",
    ]
    assert findings([ROW, ROW, ROW]) == [
        "β-lasso's description of s-fc is no shorter than SGD's here.",
        "Its filters are no more local here.",
        "It is right as often, as far as so few test images can tell.",
    ]
    worse = replace(better, test_accuracy=ROW.test_accuracy - 0.1)
    assert findings([ROW, ROW, worse])[2].startswith("It is right less often here; in the paper")
    assert "Too few" in findings([ROW, ROW, replace(better, radius_ratio=None)])[1]


def test_a_vacuous_bound_is_called_vacuous() -> None:
    made = mock.Mock(bound=1.0, description_bits=5000, test=None)
    made.spec.num_classes = 10
    assert answer(made) == [
        "Vacuous: 5,000 bits prove nothing about the true error of the network."
    ]
