"""`mdl reproduce`: from nothing to a table and a figure, and what it refuses."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from unittest import mock

import pytest

from mdl.experiments.reproduce.scales import SCALES
from tests.mdl.calls import Command
from tests.mdl.experiments.answers import fits_a_screen

pytestmark = pytest.mark.usefixtures("trials_here", "tiny_scale")

GLYPHS = ("--scale", "smoke", "--data", "glyphs", "--device", "cpu")
FAST = ("--workers", "2", "--threads", "1")


@pytest.fixture(scope="module")
def tiny_scale() -> Iterator[None]:
    """The smoke scale, on images of a smaller side and fewer of them."""
    smoke = SCALES["smoke"]
    data = replace(smoke.data, image_size=12, num_train=512, num_test=128)
    with mock.patch.dict(SCALES, smoke=replace(smoke, data=data)):
        yield


@pytest.fixture(scope="module")
def reproduced(
    mdl: Command, trials_here: None, tiny_scale: None, tmp_path_factory: pytest.TempPathFactory
):
    """Figure 3 at smoke size, trained here: two trials, then a run with the better settings."""
    store = tmp_path_factory.mktemp("store")
    done = mdl("reproduce", "figure3", *GLYPHS, *FAST, "--json", "--store", store)
    assert done.returncode == 0, done.stderr
    return store, json.loads(done.stdout), done.stderr


@pytest.mark.slow
def test_a_figure_from_nothing(reproduced) -> None:
    store, values, log = reproduced
    assert values["failed"] == {} and values["scale"] == "smoke"
    figure = values["artefacts"]["figure3"]
    assert figure["num_missing"] == 0
    folder = store / "smoke-glyphs"
    assert (folder / "figure3.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / "figure3.pdf").read_bytes().startswith(b"%PDF")
    assert "smoke, reduced" in (folder / "figure3.md").read_text()
    layers = figure["tables"][0]["rows"]
    assert [row["layer"] for row in layers] == ["conv1", "fc1", "fc2"]
    assert layers[0]["s_conv"] < layers[0]["s_local"] < layers[0]["s_fc"]
    assert 0 < layers[0]["nonzeros"]["mean"] < layers[0]["s_fc"]
    assert "[2/2]" in log and "[1/1]" in log and "Traceback" not in log


@pytest.mark.slow
def test_the_second_time_nothing_is_trained(reproduced, mdl) -> None:
    store, before, _ = reproduced
    time = (store / "results.jsonl").stat().st_mtime_ns
    done = mdl("reproduce", "figure3", *GLYPHS, "--store", str(store), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == before
    assert (store / "results.jsonl").stat().st_mtime_ns == time


@pytest.mark.slow
def test_table_2_shares_the_runs_of_figure_3(reproduced, mdl) -> None:
    store, _, _ = reproduced
    done = mdl("reproduce", "table2", *GLYPHS, "--only-draw", "--store", str(store), "--json")
    assert done.returncode == 0, done.stderr
    values = json.loads(done.stdout)["artefacts"]["table2"]
    assert values["num_missing"] == 6
    rows = {row["training"]: row for row in values["tables"][0]["rows"] if row["network"] == "s-fc"}
    there = [name for name, row in rows.items() if row["test"] is not None]
    assert there == ["β-lasso (β = 50)"]
    assert rows[there[0]]["test"]["num_seeds"] == 1


def test_only_drawing_leaves_dashes(mdl, tmp_path) -> None:
    out = tmp_path / "new" / "folder"
    done = mdl(
        "reproduce",
        "table1",
        "figure2",
        "claims",
        "--only-draw",
        "--store",
        str(tmp_path),
        "--out",
        str(out),
        "--full",
    )
    assert done.returncode == 0, done.stderr
    assert "Missing: 16 of 16 runs" in done.stdout
    assert "88.84" in done.stdout  # the paper's own figures are there all the same
    assert (out / "table1.csv").exists() and not (out / "figure2.png").exists()
    assert "--dry-run" in done.stdout.splitlines()[-1]


def test_a_dry_run_trains_nothing(mdl, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("training.data.hub_source._hub_answers", lambda: True)
    arguments = ("reproduce", "all", "--dry-run", "--scale", "smoke", "--store", "none")
    done = mdl(*arguments)
    assert done.returncode == 0, done.stderr
    assert re.match(
        r"(\d+) of \1 runs are missing: about \d+ (s|min|h) here, with all cores, ", done.stdout
    )
    assert fits_a_screen(done.stdout)
    done = mdl(*arguments[:-1], str(tmp_path), "--full")
    assert done.returncode == 0, done.stderr
    for text in ("s-fc α=2", "TFLOP", "together", "mdl-view", "held out"):
        assert text in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("is_there", [True, False])
def test_the_next_command_of_a_dry_run_works_here(mdl, tmp_path, monkeypatch, is_there) -> None:
    monkeypatch.setattr("training.data.hub_source._hub_answers", lambda: False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HOME", str(tmp_path))
    if is_there:
        (tmp_path / "datasets" / "uoft-cs___cifar10").mkdir(parents=True)
    done = mdl("reproduce", "table1", "--scale", "smoke", "--dry-run", "--store", "none")
    assert done.returncode == 0, done.stderr
    command = done.stdout.splitlines()[-1].strip()
    data = "" if is_there else " --data FOLDER"
    assert command == f"mdl reproduce table1 --scale smoke{data} --store none"
    why = "note: cifar10: the hub cannot be reached and this machine has no copy of the data set"
    assert done.stderr.startswith(why) is not is_there


def test_a_dry_run_counts_what_measuring_costs(mdl, tmp_path, monkeypatch) -> None:
    done = mdl("reproduce", "table2", *GLYPHS[:4], "--dry-run", "--json", "--store", str(tmp_path))
    plan = json.loads(done.stdout)
    for run in plan["runs"]:
        held_out = run["config"]["data"]["validation"] > 0
        assert run["measuring_seconds"] == pytest.approx(
            5 + (0 if held_out else 4e-6 * run["num_weights"])
        )
    parts = sum(run["seconds"] + run["measuring_seconds"] for run in plan["runs"])
    assert plan["total"]["seconds"] == pytest.approx(parts)


STORE = Path(__file__).parents[4] / "results" / "laptop"
LAPTOP = ("--store", str(STORE), "--data", "cifar10", "--only-draw")


def test_answers_come_first(mdl, tmp_path) -> None:
    done = mdl("reproduce", "table2", "claims", *LAPTOP, "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == f"9 files in {tmp_path}. --full prints the tables."
    assert lines[1] == "table2      β-lasso (β = 50): 59.74% (paper 85.19, proceedings 84.50)"
    verdicts = re.fullmatch(r"claims +([^;]+)(; \d+ missing)?", lines[2])
    assert verdicts is not None, lines[2]
    assert sum(int(number) for number in re.findall(r"\d+", verdicts[1])) == 13
    one = mdl("reproduce", "table2", *LAPTOP, "--out", str(tmp_path)).stdout.splitlines()
    assert [line.strip() for line in one[2:5]] == [
        str(tmp_path / f"table2.{suffix}") for suffix in ("md", "csv", "json")
    ]
    for text in ("84.50", "57.76", "93.84", "85.19", "59.56", "94.07"):
        assert text in (tmp_path / "table2.md").read_text()
    assert "0.845" in (tmp_path / "table2.csv").read_text()


def test_a_policy_goes_to_the_runs_that_have_one(mdl, tmp_path) -> None:
    table = tmp_path / "table.json"
    table.write_text('[[["Invert", 0.5, 0.5], ["Rotate", 0.5, 0.5]]]')
    asked = ("reproduce", "gain-map", "--scale", "laptop", "--store", str(tmp_path / "store"))
    done = mdl(*asked, "--policy", str(table), "--dry-run")
    assert done.returncode == 0, done.stderr
    assert f"--policy {table}" in done.stdout
    assert "--precision" not in done.stdout
    with_others = mdl(*asked, "table3", "--policy", str(table), "--dry-run")
    assert with_others.returncode == 0, with_others.stderr
    done = mdl("reproduce", "table2", "--policy", str(table), "--dry-run")
    assert done.returncode == 2
    assert "--policy: at scale laptop only gain-map has runs with a policy" in done.stderr
    done = mdl(*asked, "--policy", "none.json", "--dry-run")
    assert done.returncode == 2
    assert "none.json is not a file" in done.stderr


def test_the_gain_map_has_an_arithmetic_of_its_own_unless_one_is_asked_for(mdl, tmp_path) -> None:
    asked = ("reproduce", "gain-map", "table2", "--scale", "laptop", "--store", str(tmp_path))

    def arithmetic(*given: str) -> set[tuple[str, str]]:
        done = mdl(*asked, *given, "--dry-run", "--full", "--json")
        assert done.returncode == 0, done.stderr
        runs = json.loads(done.stdout)["runs"]
        return {(name, run["config"]["precision"]) for run in runs for name in run["artefacts"]}

    assert arithmetic() == {("table2", "bf16"), ("gain-map", "fp32")}
    for each in ("bf16", "fp32"):
        assert arithmetic("--precision", each) == {("table2", each), ("gain-map", each)}


def test_the_tables_of_a_page_are_drawn_anew(mdl, tmp_path) -> None:
    page, start = tmp_path / "page.md", "# Ours\n\n<!-- table: laptop/cifar10/table3 layer -->\n"
    page.write_text(f"{start}old\n<!-- end -->\nprose\n")
    command = ("reproduce", "table3", *LAPTOP, "--out", str(tmp_path / "out"), "--page", str(page))
    done = mdl(*command)
    assert done.returncode == 0, done.stderr
    assert f"Tables of {page} are drawn anew." in done.stdout
    text = page.read_text()
    assert text.startswith(f"{start}**Table 3") and text.endswith("|\n<!-- end -->\nprose\n")
    page.write_text("prose\n")
    refused = mdl(*command)
    assert refused.returncode == 1
    assert f"error: {page}: no table of these stands there" in refused.stderr
    assert page.read_text() == "prose\n"


@pytest.mark.slow
def test_a_dry_run_as_json(mdl, tmp_path) -> None:
    done = mdl(
        "reproduce", "table2", "--dry-run", "--scale", "paper", "--json", "--store", str(tmp_path)
    )
    values = json.loads(done.stdout)
    assert values["scale"] == "paper"
    assert max(run["num_weights"] for run in values["runs"]) == 256_240_800
    assert values["total"]["num_missing"] == len(values["runs"])


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("table7",), 2, "NAME must be one of table1"),
        (("table1", "--dry-run", "--only-draw"), 2, "choose one of --dry-run and --only-draw"),
        (("table1", "--dry-run", "--page", "p.md"), 2, "choose one of --dry-run and --page"),
        (("table1", "--page", "p.md"), 2, "--page p.md is not a file; give a Markdown page"),
        (("table1", "--data", "a", "--data", "a"), 2, "--data names a data set twice"),
        (("table1", "--scale", "large"), 2, "--scale: 'large' is not one of"),
        (("figure3", "--data", "./no-such-folder", "--scale", "smoke"), 1, "no-such-folder"),
    ],
)
def test_mistakes_are_one_clear_line(mdl, arguments, code, words, tmp_path) -> None:
    done = mdl("reproduce", *arguments, "--store", str(tmp_path))
    assert done.returncode == code
    assert words in done.stderr
    assert "Traceback" not in done.stderr and done.stdout == ""


@pytest.mark.parametrize("option", ["--store", "--out"])
def test_a_file_is_no_folder(mdl, option, tmp_path) -> None:
    (tmp_path / "file").write_text("kept")
    done = mdl("reproduce", "table3", option, str(tmp_path / "file"))
    assert done.returncode == 2
    assert f"{option} {tmp_path / 'file'} is not a folder" in done.stderr
    assert (tmp_path / "file").read_text() == "kept"


def test_a_store_that_is_not_there_cannot_be_drawn(mdl, tmp_path) -> None:
    done = mdl("reproduce", "table1", "--only-draw", "--store", str(tmp_path / "none"))
    assert done.returncode == 2
    assert "is not there; pass the folder of an earlier reproduction" in done.stderr


@pytest.mark.slow
def test_a_data_set_without_any_result_is_said(mdl, reproduced) -> None:
    store, _, _ = reproduced
    done = mdl("reproduce", "table1", "--only-draw", "--data", "cifr10", "--store", str(store))
    assert done.returncode == 0
    assert done.stderr == f"note: {store} has no result on cifr10, only on glyphs\n"


def test_a_dry_run_says_where_there_are_no_images(mdl, tmp_path) -> None:
    done = mdl(
        "reproduce", "table1", "--dry-run", "--data", "./none", "--store", str(tmp_path), "--json"
    )
    assert done.returncode == 0
    assert done.stderr.startswith("note: no data at './none'")
    assert len(json.loads(done.stdout)["runs"]) == 58


@pytest.mark.slow
def test_what_to_run_next_keeps_the_options(mdl, reproduced) -> None:
    store, _, _ = reproduced
    done = mdl("reproduce", "figure3", *GLYPHS, "--store", str(store))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].strip() == (
        f"mdl reproduce claims --scale smoke --data glyphs --store {store} --dry-run"
    )


def test_a_broken_result_is_named(mdl, tmp_path) -> None:
    (tmp_path / "results.jsonl").write_text("{")
    done = mdl("reproduce", "table2", *GLYPHS, "--only-draw", "--store", str(tmp_path))
    assert done.returncode == 1
    assert "results.jsonl: line 1 is damaged" in done.stderr and len(done.stderr.splitlines()) == 1
