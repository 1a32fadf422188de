"""The named policies, against the figures that their papers and published code print."""

from collections import Counter

import pytest

from training.spec.built_in_policies import (
    BUILT_IN_POLICIES,
    CIFAR10_TABLE,
    SVHN_TABLE,
    built_in_policy,
)
from training.spec.policy import OPERATIONS

# fmt: off
PAPER_RANGES = {
    "ShearX": (-0.3, 0.3), "ShearY": (-0.3, 0.3), "Rotate": (-30, 30), "Solarize": (0, 256),
    "Contrast": (0.1, 1.9), "Color": (0.1, 1.9), "Brightness": (0.1, 1.9),
    "Sharpness": (0.1, 1.9),
}
# fmt: on


@pytest.mark.parametrize("name", BUILT_IN_POLICIES)
def test_policies_hold_known_operations_and_the_same_object_comes_back(name):
    policy = built_in_policy(name)
    steps = [step for subpolicy in policy.subpolicies for step in subpolicy]
    assert {step.operation for step in steps} <= set(OPERATIONS)
    assert all(0 <= step.probability <= 1 for step in steps)
    assert all(1 <= step.magnitude <= 8 for step in steps if step.operation == "Posterize")
    assert built_in_policy(name) is policy


@pytest.mark.parametrize("table", [CIFAR10_TABLE, SVHN_TABLE])
def test_autoaugment_has_25_pairs_with_levels_from_0_to_9(table):
    assert len(table) == 25
    for row in table:
        assert len(row) == 2
        for name, probability, level in row:
            assert name in OPERATIONS
            assert round(10 * probability) / 10 == probability <= 0.9
            assert level in range(10)


@pytest.mark.parametrize("name", ["autoaugment-cifar10", "autoaugment-svhn", "rand"])
def test_magnitudes_lie_in_the_papers_ranges(name):
    for subpolicy in built_in_policy(name).subpolicies:
        for step in subpolicy:
            if step.operation in PAPER_RANGES:
                low, high = PAPER_RANGES[step.operation]
                assert low <= step.magnitude <= high
            if step.operation.startswith("Translate"):
                pixels = step.magnitude * 32
                assert pixels == int(pixels) <= 14


def test_some_magnitudes_by_hand():
    cifar10 = built_in_policy("autoaugment-cifar10").subpolicies
    assert [step.magnitude for step in cifar10[3]] == [pytest.approx(0.24), 9 / 32]
    assert cifar10[5][1].magnitude == 2  # Posterize at level 7: 4 - int(2.8) bits
    assert cifar10[6][0].magnitude == pytest.approx(0.64)  # Color at level 3: 0.1 + 1.8 * 0.3
    assert cifar10[14][0].magnitude == 205  # Solarize at level 2: 256 - int(51.2)
    rand = {s[0].operation: s[0].magnitude for s in built_in_policy("rand").subpolicies}
    assert (rand["Rotate"], rand["Solarize"], rand["Posterize"]) == (5, 214, 8)
    assert rand["TranslateX"] == 2 / 32
    assert rand["Contrast"] == pytest.approx(0.4)


def test_trivial_is_uniform_over_14_operations_and_31_levels():
    policy = built_in_policy("trivial")
    steps = [step for (step,) in policy.subpolicies]
    assert Counter(step.operation for step in steps) == dict.fromkeys(
        (name for name in OPERATIONS if name not in ("Invert", "Cutout")), 31
    )
    assert policy.rounds == 1
    last = {step.operation: step.magnitude for step in steps}  # the strongest of each
    assert last["ShearX"] == pytest.approx(0.99)
    assert (last["TranslateY"], last["Rotate"], last["Solarize"], last["Posterize"]) == (
        1,
        135,
        0,
        2,
    )
    assert last["Sharpness"] == pytest.approx(2)


def test_rand_draws_three_of_14():
    policy = built_in_policy("rand")
    assert (policy.rounds, len(policy.subpolicies)) == (3, 14)


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="policy must be one of trivial, rand, autoaugment"):
        built_in_policy("auto")
