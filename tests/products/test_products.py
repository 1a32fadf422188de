"""Narrow networks' products at this processor's instructions and at lower ones."""

import subprocess
import sys

import pytest
import torch

import tests.products.steps
from tests.products.cases import all_cases, some_cases
from tests.products.kernels import KERNEL_TESTS
from tests.products.levels import known_levels, level_environment
from tests.products.steps import PRECISIONS, StepCase, measure_step, tolerance
from tests.products.sweep import Outcome, run_cases
from training.networks.layers import PixelwiseConv2d
from training.spec.architectures import NETWORKS

NARROW = StepCase(network="resnet18", width=2, precision="fp32", image_size=16, batch_size=8)
IN_CI = [level for level in known_levels() if level in ("own", "avx2")]


def test_the_sweep_has_every_network_in_both_kinds_of_arithmetic():
    for cases in (all_cases(), some_cases()):
        assert {(case.network, case.precision) for case in cases} == {
            (network, precision) for network in NETWORKS for precision in PRECISIONS
        }


@pytest.mark.slow
@pytest.mark.parametrize("num_threads", [1, 2])
@pytest.mark.parametrize("level", IN_CI)
def test_every_product_is_right_at_every_level(level, num_threads):
    outcomes = list(run_cases(some_cases(), level=level, num_threads=num_threads))
    assert [str(outcome) for outcome in outcomes if not outcome.is_right] == []
    assert len(outcomes) == len(some_cases())


@pytest.mark.slow
@pytest.mark.skipif("avx2" not in known_levels(), reason="not an x86-64 processor")
def test_compiled_kernels_are_right_with_lower_instructions():
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-m", "not slow", *KERNEL_TESTS]
    done = subprocess.run(
        command, env=level_environment("avx2"), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_a_step_in_this_process_is_right():
    errors = measure_step(NARROW)
    assert all(error <= tolerance(name, "fp32") for name, error in errors.items())
    for kind in ("outputs", "input gradient", "weight gradient"):
        assert f"stage2_block1_shortcut {kind}" in errors
        assert f"stage2_block1_conv2_norm {kind}" in errors
    assert "stage2_block1_conv2_norm residual gradient" in errors


@pytest.mark.parametrize("what", ["weight gradient", "input gradient", "outputs"])
def test_a_wrong_product_is_found(what, monkeypatch):
    plain = PixelwiseConv2d.forward

    def forward(layer, images):
        outputs = plain(layer, images)
        if what == "outputs":
            return outputs + outputs.detach() * 0.001
        pixels = images.detach() if what == "weight gradient" else images
        weight = layer.weight.detach() if what == "input gradient" else layer.weight
        beside = torch.einsum("oixy,nihw->nohw", weight, pixels[:, :, ::2, ::2])
        return outputs + (beside - beside.detach()) * 0.001

    monkeypatch.setattr(PixelwiseConv2d, "forward", forward)
    errors = measure_step(NARROW)
    wrong = {name for name, error in errors.items() if error > tolerance(name, "fp32")}
    assert wrong == {f"stage{stage}_block1_shortcut {what}" for stage in (2, 3, 4)}


def test_nan_is_infinitely_far():
    values = torch.tensor([1.0, float("nan")])
    ones = torch.ones(2).double()
    assert tests.products.steps._distance(values, ones, ones) == float("inf")


@pytest.mark.parametrize(
    ("outcome", "is_right"),
    [
        (Outcome(case=NARROW, worst="fc outputs", error=1e-6), True),
        (Outcome(case=NARROW, worst="fc outputs", error=1e-3), False),
        (Outcome(case=NARROW, worst="conv1_norm outputs", error=1e-3), True),
        (Outcome(case=NARROW, worst="fc outputs", error=float("inf")), False),
        (Outcome(case=NARROW, failure="hangs"), False),
    ],
)
def test_what_counts_as_right(outcome, is_right):
    assert outcome.is_right == is_right


@pytest.mark.slow
def test_a_process_that_dies_names_its_case_and_the_rest_goes_on():
    impossible = StepCase(network="no-such-network", width=2, precision="fp32")
    outcomes = list(run_cases([NARROW, impossible, NARROW], level="own", num_threads=1))
    assert [outcome.is_right for outcome in outcomes] == [True, False, True]
    assert "no-such-network" in outcomes[1].failure
