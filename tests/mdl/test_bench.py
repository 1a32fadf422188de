"""`mdl bench` as a process, on tiny pieces: what it reports, and that its numbers agree."""

import json

import pytest

TINY = ("--rounds", "2", "--width", "1", "--weights", "20000", "--batch-size", "8")
GROUPS = {"optimizer", "step", "augmentation", "checkpoint", "bound", "encode"}
NETWORKS = ["s-fc", "s-local", "s-conv", "d-fc", "d-local", "d-conv", "3-fc", "resnet18"]
UNITS = {"weights", "images", "bytes"}


@pytest.fixture(scope="module")
def report(mdl):
    done = mdl("bench", "--quick", "--json", "--device", "cpu", "--threads", "1", *TINY)
    assert done.returncode == 0, done.stderr
    for group in ("optimizer", "step, s-fc", "step, resnet18", "encode"):
        assert f"measuring: {group}\n" in done.stderr
    return json.loads(done.stdout)


def lines_of(report):
    return [line for lines in report["groups"].values() for line in lines]


def test_every_group_says_what_it_ran_against(report):
    assert set(report["groups"]) == GROUPS
    for line in lines_of(report):
        assert line["unit"] in UNITS
        assert line["amount"] > 0
        assert line["piece"]
        assert line["floor"]


def test_times_rates_and_ratios_agree(report):
    for line in lines_of(report):
        median, floor = line["median_seconds"], line["floor_seconds"]
        assert 0 < line["fastest_seconds"] <= median <= line["slowest_seconds"]
        assert line["rounds"] == 2
        assert line["ratio_to_floor"] == pytest.approx(median / floor)
        assert line["rate_per_second"] == pytest.approx(line["amount"] / median)
        for naive in line["naive"]:
            assert naive["speedup"] == pytest.approx(naive["median_seconds"] / median)


def test_the_machine_is_described(report):
    machine = report["machine"]
    assert machine["threads"] == 1
    assert machine["device"] == "cpu"
    assert machine["torch"]
    assert [peak["dtype"] for peak in report["matmul_peaks"]] == ["bf16", "fp32"]
    assert report["copy_bytes_per_second"] > 0
    assert report["quick"] is True


def test_the_optimizer_leaves_the_weights_that_the_reference_leaves(report):
    plain = [line["facts"] for line in report["groups"]["optimizer"] if "β-lasso" in line["piece"]]
    assert len(plain) == 2
    for facts in plain:
        assert facts["support_is_the_reference's"]
        assert facts["bits_are_the_reference's"]


def test_the_parts_of_a_step_add_up(report):
    steps = report["groups"]["step"]
    assert [line["facts"]["network"] for line in steps] == NETWORKS
    for line in steps:
        facts = line["facts"]
        parts = sum(facts[f"{part}_seconds"] for part in ("augmentation", "optimizer", "rest"))
        assert parts == pytest.approx(line["median_seconds"])
        products = facts["flop"] / facts["peak_flop_per_second"]
        assert facts["products_seconds"] == pytest.approx(products)
        assert line["floor_seconds"] == pytest.approx(products + facts["copy_seconds"])


def test_a_sparse_file_is_smaller_than_a_dense_one(report):
    write, handover, read = report["groups"]["checkpoint"]
    assert write["amount"] == read["amount"]
    assert write["facts"]["dense_bytes"] > 10 * write["amount"]
    assert handover["floor_seconds"] == pytest.approx(2 * write["facts"]["pass_seconds"])


def test_tables_of_the_groups_that_were_asked_for(mdl):
    done = mdl(
        "bench", "--quick", "--only", "step", "--only", "optimizer", "--network", "s-conv", *TINY
    )
    assert done.returncode == 0, done.stderr
    text = done.stdout
    for part in (
        "Training step", "Where the step goes", "Optimizer step", "s-conv α=1, batch 8", "Floor",
        "is as in the reference", "speed-up", "Next:", "matmul peak",
    ):  # fmt: skip
        assert part in text, part
    assert text.index("Training step") < text.index("Optimizer step")
    assert "Encode" not in text
    assert "s-fc" not in text.replace("mdl train s-fc", "")


def test_what_is_refused(mdl):
    done = mdl("bench", "--network", "tiny-conv")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: network must be one of s-fc")
    assert mdl("bench", "--only", "everything").returncode == 2
    assert mdl("bench", "--rounds", "0").returncode == 2
