"""`mdl bench` on tiny pieces: what it reports, and that its numbers agree."""

import json

import pytest
import torch

from training.run.precision import choose_precision, vector_instructions

TINY = ("--rounds", "2", "--width", "1", "--weights", "20000", "--batch-size", "8")
GROUPS = {
    *("optimizer", "step", "sparse", "qat", "augmentation", "checkpoint", "bound", "encode"),
    "count",
}
NETWORKS = ["s-fc", "s-local", "s-conv", "d-fc", "d-local", "d-conv", "3-fc", "resnet18"]
PRECISIONS = list(dict.fromkeys([choose_precision(torch.device("cpu"))[0], "fp32"]))
"""Training's arithmetic on this machine, and float32."""
UNITS = {"weights", "nonzeros", "images", "bytes"}


@pytest.fixture(scope="module")
def report(mdl):
    done = mdl("bench", "--quick", "--json", "--device", "cpu", "--threads", "1", *TINY)
    assert done.returncode == 0, done.stderr
    none_is_large = "sparse, no steps: no layer of s-fc α=1 has 1,048,576 weights"
    for group in ("optimizer", "step, s-fc", "step, resnet18", none_is_large, "encode"):
        assert f"measuring: {group}\n" in done.stderr
    return json.loads(done.stdout)


def lines_of(report):
    return [line for lines in report["groups"].values() for line in lines]


@pytest.mark.slow
def test_every_group_says_what_it_ran_against(report):
    assert set(report["groups"]) == GROUPS
    for line in lines_of(report):
        assert line["unit"] in UNITS
        assert line["amount"] > 0
        assert line["piece"]
        assert line["floor"]


@pytest.mark.slow
def test_times_rates_and_ratios_agree(report):
    for line in lines_of(report):
        median, floor = line["median_seconds"], line["floor_seconds"]
        assert 0 < line["fastest_seconds"] <= median <= line["slowest_seconds"]
        assert 1 <= line["rounds"] <= 2
        assert line["ratio_to_floor"] == pytest.approx(median / floor)
        assert line["rate_per_second"] == pytest.approx(line["amount"] / median)
        for naive in line["naive"]:
            assert naive["speedup"] == pytest.approx(naive["median_seconds"] / median)


@pytest.mark.slow
def test_the_machine_is_described(report):
    machine = report["machine"]
    assert machine["threads"] == 1
    assert machine["device"] == "cpu"
    assert machine["torch"]
    assert machine["instructions"] == vector_instructions()
    assert [peak["dtype"] for peak in report["matmul_peaks"]] == PRECISIONS
    commit = machine["commit"]
    is_clean = commit is not None and not commit.endswith("-dirty")
    assert (report["not_for_publication"] is None) == is_clean
    assert report["copy_bytes_per_second"] > 0
    assert report["quick"] is True


@pytest.mark.slow
def test_the_optimizer_leaves_the_weights_that_the_reference_leaves(report):
    plain = [line["facts"] for line in report["groups"]["optimizer"] if "β-lasso" in line["piece"]]
    assert len(plain) == len(PRECISIONS)
    for facts in plain:
        assert facts["support_is_the_reference's"]
        assert facts["bits_are_the_reference's"]


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_network_without_large_layers_has_sparse_products_alone(report):
    lines = report["groups"]["sparse"]
    assert [line["piece"].split(" s-fc")[0] for line in lines] == [
        product
        for product in ("SpMM + SDDMM, layer 1 of", "2 SpMM + SDDMM, layer 2 of")
        for _ in PRECISIONS
    ]
    assert all(line["unit"] == "nonzeros" for line in lines)


@pytest.mark.slow
def test_steps_by_screened_rows(mdl):
    sizes = ("--rounds", "1", "--width", "2", "--batch-size", "32", "--device", "cpu")
    done = mdl("bench", "--quick", "--only", "sparse", *sizes)
    assert done.returncode == 0, done.stderr
    assert "measuring: sparse, products\nmeasuring: sparse, steps\n" in done.stderr
    text = done.stdout
    for part in (
        "Sparse layers",
        "Step with sparse layers, by screened rows",
        "measured, conv1",
        f"over dense {PRECISIONS[0]} step",
        "Bytes an entry: conv1",
        "matmul peak",
    ):
        assert part in text, part
    table = text[text.index("Step with sparse layers") :]
    cells = [line.split("│")[1].strip() for line in table.splitlines() if line.startswith("│")]
    assert cells == ["0%", "50%", "90%", "100%"]


@pytest.mark.slow
def test_a_sparse_file_is_smaller_than_a_dense_one(report):
    write, handover, read = report["groups"]["checkpoint"]
    assert write["amount"] == read["amount"]
    assert write["facts"]["dense_bytes"] > 10 * write["amount"]
    assert handover["floor_seconds"] == pytest.approx(2 * write["facts"]["pass_seconds"])


@pytest.mark.slow
def test_tables_of_the_groups_that_were_asked_for(mdl):
    done = mdl(
        "bench", "--quick", "--only", "step", "--only", "optimizer", "--network", "s-conv", *TINY
    )
    assert done.returncode == 0, done.stderr
    text = done.stdout
    for part in (
        "Training step",
        "Where the step goes",
        "Optimizer step",
        "s-conv α=1, batch 8",
        "Floor",
        "is as in the reference",
        "speed-up",
        "Next:",
        "matmul peak",
    ):
        assert part in text, part
    assert text.index("Training step") < text.index("Optimizer step")
    assert "Encode" not in text
    assert "s-fc" not in text.replace("mdl train s-fc", "")


@pytest.mark.slow
def test_without_bf16_instructions_nothing_is_timed_in_bf16(mdl, monkeypatch):
    monkeypatch.setattr("training.run.precision.bf16_instructions", lambda: "")
    done = mdl("bench", "--quick", "--json", "--device", "cpu", *TINY)
    assert done.returncode == 0, done.stderr
    assert "bf16" not in done.stdout.replace("lzma of the bf16 numbers", "").replace(
        "avx512_bf16", ""
    ).replace("AVX512_BF16", "").replace("amx_bf16", "")
    report = json.loads(done.stdout)
    assert report["precision"] == "fp32"
    assert [line["facts"]["precision"] for line in report["groups"]["step"]] == ["fp32"] * 8
    assert "emulated" not in done.stderr


@pytest.mark.parametrize(("instructions", "times"), [("", 1), ("AMX", 0)])
@pytest.mark.slow
def test_emulated_arithmetic_that_was_asked_for_is_said_once(mdl, monkeypatch, instructions, times):
    monkeypatch.setattr("training.run.precision.bf16_instructions", lambda: instructions)
    sizes = (*TINY, "--device", "cpu", "--network", "s-fc")
    done = mdl("bench", "--quick", "--only", "step", "--precision", "bf16", *sizes)
    assert done.returncode == 0, done.stderr
    assert words_of(done).count("bf16 is emulated on this processor") == times
    assert "Training step, bf16 on " in done.stdout


def words_of(done):
    return " ".join(done.stderr.split())


def test_what_is_refused(mdl):
    done = mdl("bench", "--network", "tiny-conv")
    assert (done.returncode, done.stdout) == (2, "")
    assert "mdl bench: --network: network must be one of s-fc" in words_of(done)
    assert mdl("bench", "--only", "everything").returncode == 2
    assert mdl("bench", "--rounds", "0").returncode == 2


@pytest.mark.parametrize(
    ("only", "option", "value", "groups"),
    [
        ("encode", "--network", "s-fc", "step"),
        ("augmentation", "--width", "2", "step, sparse, qat, checkpoint, bound, encode or count"),
        ("optimizer", "--batch-size", "8", "step, sparse, qat or augmentation"),
    ],
)
def test_an_option_that_no_chosen_group_heeds_is_refused(mdl, only, option, value, groups):
    done = mdl("bench", "--only", only, option, value)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"mdl bench: {option}: only {groups}" in words_of(done)
    assert "measuring" not in done.stderr
