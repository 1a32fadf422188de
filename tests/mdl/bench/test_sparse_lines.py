"""Lines of sparse products and steps: their operations, baselines and facts."""

from dataclasses import replace

import pytest
import torch

from mdl.bench.settings import choose_settings
from mdl.bench.sparse_lines import draw_sparse_weight, measure_sparse_products
from mdl.bench.sparse_step_lines import SHARES, measure_sparse_steps, why_no_sparse_steps
from mdl.timing.floors import find_peak
from training.sparse.support import collect

CPU = torch.device("cpu")
LAYERS = {1: (2 * 256, 3072, 0.01, 2), 2: (2 * 24, 2 * 256, 0.05, 3)}


@pytest.fixture(scope="module")
def settings():
    return choose_settings(CPU, quick=True, rounds=1, width=2, batch_size=32, precision="bf16")


@pytest.fixture(scope="module")
def peaks(settings):
    types = (torch.bfloat16, torch.float32)
    return {peak.dtype: peak for peak in (find_peak(each, [], settings.pace) for each in types)}


@pytest.fixture(scope="module")
def products(settings, peaks):
    return measure_sparse_products(settings, peaks)


@pytest.fixture(scope="module")
def steps(settings, peaks):
    return measure_sparse_steps(settings, peaks["bf16"])


def test_products_are_counted_at_the_nonzeros(products):
    assert len(products) == 4
    for line, layer in zip(products, (1, 1, 2, 2), strict=True):
        rows, columns, density, num_products = LAYERS[layer]
        facts = line.facts
        assert (facts["rows"], facts["columns"]) == (rows, columns)
        assert facts["entries"] == line.amount
        assert facts["density"] == pytest.approx(density, rel=0.1)
        assert facts["flop"] == 2 * num_products * facts["entries"] * 32
        assert line.floor_s == pytest.approx(facts["flop"] / facts["peak_flop_per_second"])


def test_products_are_the_dense_ones_but_for_rounding(products):
    for line, most in zip(products, (0.01, 1e-5, 0.01, 1e-5), strict=True):
        assert line.facts["difference_from_dense"] < most


def test_products_run_beside_dense_ones_of_their_type_and_torchs_sparse_ones(products):
    for line, dtype in zip(products, ("bf16", "fp32", "bf16", "fp32"), strict=True):
        names = [baseline.name for baseline in line.baselines]
        assert names[0] == f"dense products in {dtype}"
        if torch.backends.mkl.is_available():
            assert names[1:] == ["torch CSR, sampled_addmm in fp32"]


def test_weights_are_zero_or_well_away_from_it():
    weight = draw_sparse_weight((400, 100), 0.05, torch.Generator().manual_seed(0))
    kept = weight[weight != 0].abs()
    assert len(kept) / weight.numel() == pytest.approx(0.05, rel=0.1)
    assert kept.min() >= 0.05
    assert kept.max() <= 0.1
    assert (weight > 0).sum() == pytest.approx(len(kept) / 2, rel=0.1)
    assert collect(weight)[0].num_entries == len(kept)


def test_a_step_for_each_share(steps, settings):
    assert why_no_sparse_steps(settings) is None
    assert [line.facts["nominal_screened"] for line in steps] == list(SHARES)
    for line in steps:
        assert line.amount == 32
        assert [each.name for each in line.baselines] == ["dense bf16 step", "plain torch in fp32"]
        facts = line.facts
        assert list(facts["entries"]) == ["conv1"]  # the other layer is too small
        assert facts["bytes_per_entry"]["conv1"] < 12
        assert facts["weight_bytes"] < 0.1 * facts["dense_weight_bytes"]
        assert facts["regrown_per_step"]["conv1"] >= 0
    shares = [line.facts["screened"]["conv1"] for line in steps]
    assert shares == sorted(shares)
    assert shares[0] < 0.2
    assert shares[-1] == 1


def test_the_floor_of_a_step_counts_sparse_layers_by_their_nonzeros(steps):
    facts = steps[0].facts
    dense = 2 * 24 * 512 + 10 * 2 * 24  # fc1 and fc2
    assert facts["flop"] == 2 * 32 * (2 * facts["entries"]["conv1"] + 3 * dense)
    assert steps[0].floor_s == pytest.approx(facts["products_seconds"] + facts["copy_seconds"])


@pytest.mark.slow
def test_without_bfloat16_all_is_float32(settings, peaks):
    settings = replace(settings, precision="fp32")
    products = measure_sparse_products(settings, {"fp32": peaks["fp32"]})
    steps = measure_sparse_steps(settings, peaks["fp32"])
    assert [line.piece[-4:] for line in products] == ["fp32", "fp32"]
    names = {each.name for line in (*products, *steps) for each in line.baselines}
    assert {"dense products in fp32", "dense fp32 step", "plain torch in fp32"} <= names
    assert not any("bf16" in name for name in names)
    assert all("the fp32 matmul peak" in line.floor for line in steps)


def test_small_networks_have_no_sparse_steps():
    settings = choose_settings(CPU, quick=True, width=1)
    assert why_no_sparse_steps(settings) == "no layer of s-fc α=1 has 1,048,576 weights"
