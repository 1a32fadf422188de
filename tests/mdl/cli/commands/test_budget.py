"""`mdl budget` as a process: tables, JSON and bad input."""

import json

import pytest

from analysis.bounds.bit_budget import bits_for_target


def test_table_for_people(mdl):
    done = mdl("budget", "--target", "0.116", "--samples", "60000")
    assert done.returncode == 0, done.stderr
    assert "bound of 11.60%" in done.stdout
    assert "5,704" in done.stdout  # at 2%
    assert "1% more errors" in done.stdout
    assert "mdl compress" in done.stdout


@pytest.mark.slow
def test_json_of_a_data_set(mdl):
    done = mdl(
        "budget",
        "--target",
        "0.2",
        "--data",
        "glyphs",
        "--train-error",
        "0.1",
        "--train-error",
        "0.01",
        "--train-error",
        "0.3",
        "--delta",
        "0.01",
        "--json",
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert {name: report[name] for name in ("target", "delta", "num_samples")} == {
        "target": 0.2,
        "delta": 0.01,
        "num_samples": 20_000,
    }
    assert [row["num_errors"] for row in report["rows"]] == [2_000, 200]
    for row in report["rows"]:
        expected = bits_for_target(0.2, row["num_errors"], 20_000, 0.01)
        assert row["description_bits"] == expected
        assert row["error"] == row["num_errors"] / 20_000
        assert row["bits_per_point"] > 0


def test_no_training_error_is_below_the_target(mdl):
    done = mdl("budget", "--target", "0.2", "--samples", "200", "--train-error", "0.3")
    assert done.returncode == 0
    assert "No bits at all" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--target", "0", "--samples", "100"), "must lie in (0, 1)"),
        (("--target", "1", "--samples", "100"), "must lie in (0, 1)"),
        (("--target", "0.2"), "give one of the two"),
        (("--target", "0.2", "--samples", "9", "--data", "glyphs"), "give one of the two"),
        (("--target", "0.2", "--samples", "9", "--train-error", "2"), "must lie in [0, 1]"),
        (("--target", "0.2", "--samples", "9", "--delta", "1"), "δ must lie in (0, 1)"),
        (("--target", "0.2", "--data", "./nowhere"), "nowhere"),
    ],
)
def test_mistakes(mdl, arguments, said):
    done = mdl("budget", *arguments)
    assert done.returncode in (1, 2)
    assert done.stdout == ""
    assert said in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
