"""The scales: what they say about themselves, and that equal runs have equal keys."""

from dataclasses import replace

import pytest

from mdl.experiments.reproduce.footnotes import reductions
from mdl.experiments.reproduce.scales import SCALES, scale_on
from mdl.experiments.store.run_result import run_key
from training.spec.architectures import PAPER_NETWORKS, NetworkSpec


def num_weights(config):
    side = config.data.image_size or 32
    return config.network_spec(image_size=side, num_classes=10, in_channels=3).num_weights


def test_the_paper_scale_has_the_papers_sizes() -> None:
    scale = SCALES["paper"]
    embeddings = [num_weights(scale.config(network)) for network in ("d-fc", "s-fc", "3-fc")]
    assert all(abs(weights - 256e6) / 256e6 < 0.11 for weights in embeddings)
    assert (scale.short_epochs, scale.long_epochs) == (400, 4000)
    assert len(scale.trials("s-fc", "beta-lasso")) == 50
    assert len(scale.trials("s-fc", "sgd")) == 20
    assert reductions(scale) == ()


@pytest.mark.parametrize("name", ["smoke", "laptop"])
def test_reduced_scales_say_what_they_reduce(name: str) -> None:
    text = " ".join(reductions(SCALES[name]))
    for word in ("Widths", "paper: 150", "Epochs", "4000", "Images", "Augmentation", "no cutout"):
        assert word in text


def test_the_laptops_embeddings_are_near_in_size() -> None:
    scale = SCALES["laptop"]
    s_fc, three_fc, d_fc = (num_weights(scale.config(each)) for each in ("s-fc", "3-fc", "d-fc"))
    assert 1 <= three_fc / s_fc < 1.05
    assert 1 <= d_fc / s_fc < 1.7  # with the least α at which depth helps


@pytest.mark.parametrize("scale", SCALES.values(), ids=SCALES)
def test_every_network_has_a_valid_run(scale) -> None:
    for network in PAPER_NETWORKS:
        config = scale.config(network, epochs=scale.long_epochs, seed=1)
        spec = config.network_spec(image_size=32, num_classes=10, in_channels=3)
        assert isinstance(spec, NetworkSpec)
        assert config.batch_size <= (scale.data.num_train or 50_000)
    for network, widths in scale.ladders.items():
        assert list(widths) == sorted(set(widths)), network
    assert all(size % 2 for size in scale.kernel_sizes)


def test_the_length_of_trials_is_that_of_the_runs_that_they_choose_for() -> None:
    laptop = SCALES["laptop"]
    assert laptop.trial_epochs == laptop.long_epochs
    kernels = laptop.trials("resnet18", "beta-lasso")
    assert {trial.epochs for trial in kernels} == {laptop.ladder_epochs}


@pytest.mark.parametrize("scale", SCALES.values(), ids=SCALES)
def test_trials_hold_out_images_and_differ(scale) -> None:
    for method, betas in (("sgd", [None]), ("beta-lasso", [0.0, 1.0, 50.0])):
        for beta in betas:
            trials = scale.trials("s-fc", method, beta=beta)
            assert all(trial.data.validation > 0 for trial in trials)
            assert all(trial.epochs == scale.trial_epochs for trial in trials)
            assert len({run_key(trial) for trial in trials}) == len(trials)
            held_out = {trial.data.validation for trial in trials}
            assert held_out == {scale.grid.validation}
            if scale.data.num_train is not None:  # trials train on as many as the final runs
                assert {trial.data.num_train for trial in trials} == {
                    scale.data.num_train + scale.grid.validation
                }
            assert {scale.final(trial).data for trial in trials} == {scale.data}
            assert beta is None or {trial.beta for trial in trials} == {beta}


def test_numbers_are_floats_so_that_keys_agree() -> None:
    """`run_key` reads 50 and 50.0 as two settings; the scales must not mix them."""
    for scale in SCALES.values():
        for beta in (0.0, 1.0, 50.0):
            for trial in scale.trials("s-fc", "beta-lasso", beta=beta):
                numbers = (trial.beta, trial.l1_conv, trial.l1_fc, trial.dropout, trial.momentum)
                assert all(isinstance(number, float) for number in numbers)


def test_a_scale_on_other_data() -> None:
    scale = scale_on("smoke", ("glyphs", "some/where/cifar100"))
    assert [one.data.source for one in scale.by_data_set()] == ["glyphs", "some/where/cifar100"]
    assert all(one.data.num_train == 2048 and not one.more_data for one in scale.by_data_set())
    digits, photos = (one.config("s-fc") for one in scale.by_data_set())
    assert (digits.augmentation.flip, photos.augmentation.flip) == (False, True)
    near, far = replace(photos, data=replace(photos.data, source="cifar100")), photos
    assert run_key(near) == run_key(far)


def test_precision_is_the_same_everywhere_unless_asked_for() -> None:
    assert scale_on("laptop", ()).config("s-fc").precision == "bf16"
    assert scale_on("laptop", ()).gain_precision == "fp32"
    assert scale_on("smoke", ()).gain_precision == scale_on("smoke", ()).precision
    for precision in ("fp32", "bf16"):
        asked = scale_on("laptop", (), precision=precision)
        assert asked.config("s-fc").precision == asked.gain_precision == precision


def test_a_policy_takes_the_place_of_that_of_the_runs_that_have_one() -> None:
    table = [[["Invert", 0.5, 0.5]]]
    given = {"policy": "table.json", "policy_table": table}
    paper, laptop = (scale_on(name, (), policy=given) for name in ("paper", "laptop"))
    assert paper.config("s-fc").augmentation.policy == "table.json"
    assert SCALES["paper"].config("s-fc").augmentation.policy == "autoaugment-cifar10"
    assert laptop.config("s-fc").augmentation.policy is None
    for scale in (paper, laptop):
        for regime in scale.gain.cells:
            for config in scale.gain.by_sgd("s-fc", regime, scale.data, "bf16"):
                named = "table.json" if regime.has_policy else None
                assert config.augmentation.policy == named


def test_mistakes_are_named() -> None:
    with pytest.raises(ValueError, match="--scale must be one of smoke, laptop, paper"):
        scale_on("huge", ())
    with pytest.raises(ValueError, match="--data names a data set twice: a, a"):
        scale_on("smoke", ("a", "a"))
