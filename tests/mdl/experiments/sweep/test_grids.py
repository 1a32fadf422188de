from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdl.experiments.store.run_result import run_key
from mdl.experiments.sweep.grids import DROPOUT, GRIDS, Grid, grid
from training.spec.architectures import PAPER_NETWORKS
from training.spec.config import DataConfig, Method, TrainConfig
from training.spec.recipes import recipe_config

BASE = recipe_config("paper-400", "s-fc", data=DataConfig(source="cifar10"))
# Appendix A.2, as printed.
PAPER_L1 = {1e-6, 2e-6, 5e-6, 1e-5, 2e-5}
PAPER_DECAY = {0.0, 1e-4, 2e-4, 5e-4, 1e-3}


def test_the_paper_grid_of_beta_lasso_is_appendix_a() -> None:
    trials = grid("s-fc", "beta-lasso", "paper", BASE)
    tried = {(t.l1_conv, t.l1_fc, t.dropout) for t in trials}
    assert tried == {(a, b, d) for a in PAPER_L1 for b in PAPER_L1 for d in (0.0, DROPOUT)}
    assert len(trials) == 50
    for trial in trials:
        assert (trial.lr, trial.beta, trial.batch_size, trial.epochs) == (0.1, 50.0, 512, 400)
        assert trial.momentum == trial.weight_decay == 0.0


def test_the_paper_grid_of_sgd_is_appendix_a() -> None:
    trials = grid("s-fc", "sgd", "paper", BASE)
    tried = {(t.momentum, t.weight_decay, t.dropout) for t in trials}
    assert tried == {(m, w, d) for m in (0.0, 0.9) for w in PAPER_DECAY for d in (0.0, DROPOUT)}
    assert len(trials) == 20
    assert all(trial.l1_conv == trial.l1_fc == 0.0 for trial in trials)


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize("method", ["beta-lasso", "sgd"])
@pytest.mark.parametrize("network", PAPER_NETWORKS)
def test_trials_differ_and_hold_out_images(network: str, method: Method, name: str) -> None:
    base = recipe_config(GRIDS[name].recipe, network, method=method)
    trials = grid(network, method, name, base, learning_rates=(0.1, 1.0), seeds=(0, 1, 2))
    assert len({run_key(trial) for trial in trials}) == len(trials)
    assert {trial.network for trial in trials} == {network}
    assert {trial.method for trial in trials} == {method}
    assert all(trial.data.validation == GRIDS[name].validation for trial in trials)
    assert {(trial.lr, trial.seed) for trial in trials} == {
        (lr, seed) for lr in (0.1, 1.0) for seed in (0, 1, 2)
    }


def test_without_conv_like_layers_their_l1_is_not_tried() -> None:
    trials = grid("3-fc", "beta-lasso", "paper", recipe_config("paper-400", "3-fc"))
    assert len(trials) == 10
    assert {trial.l1_conv for trial in trials} == {0.0}


@given(
    num_train=st.none() | st.integers(1, 10**6),
    validation=st.integers(0, 10**4),
    name=st.sampled_from(sorted(GRIDS)),
)
def test_validation_is_never_empty(num_train: int | None, validation: int, name: str) -> None:
    data = DataConfig(num_train=num_train, validation=validation)
    trials = grid("s-fc", "sgd", name, replace(BASE, data=data))
    held_out = {trial.data.validation for trial in trials}
    assert len(held_out) == 1
    count = held_out.pop()
    assert count >= 1
    if validation:
        assert count == validation
    else:
        assert count <= max(1, (num_train or 10**9) // 10)


def test_the_base_decides_everything_else() -> None:
    base = replace(BASE, beta=1.0, epochs=7, seed=3, lr=0.01, base_channels=2)
    for trial in grid("s-fc", "beta-lasso", "small", base):
        names = ("l1_conv", "l1_fc", "shrinkage", "max_threshold")
        penalties = {name: getattr(base, name) for name in names}
        kept = replace(trial, **penalties, data=base.data)
        assert kept == base


def test_a_grid_of_ones_own() -> None:
    own = Grid(
        name="own",
        about="",
        recipe="quick",
        l1=((1e-4, 2e-5),),
        sgd=((0.9, 5e-4), (0.0, 1e-3)),
        dropout=(0.0,),
        validation=100,
    )
    base = TrainConfig(network="s-conv", base_channels=2)
    assert [(t.momentum, t.weight_decay) for t in grid("s-conv", "sgd", own, base)] == [
        (0.9, 5e-4),
        (0.0, 1e-3),
    ]
    assert len(grid("s-conv", "beta-lasso", own, base)) == 1


def test_repeated_values_are_tried_once() -> None:
    once = grid("s-fc", "sgd", "small", BASE, learning_rates=(0.1,), seeds=(0,))
    assert grid("s-fc", "sgd", "small", BASE, learning_rates=(0.1, 0.1), seeds=(0, 0)) == once


def test_an_unknown_grid_is_named() -> None:
    with pytest.raises(ValueError, match="grid must be one of paper, small, not 'large'"):
        grid("s-fc", "sgd", "large", BASE)


@pytest.mark.parametrize("name", GRIDS)
def test_shrinkages_stand_in_for_the_pairs_of_a_grid(name: str) -> None:
    asked = ((10.0, 10.0), (10.0, 2.5))
    trials = grid("s-fc", "beta-lasso", name, BASE, shrinkages=asked)
    assert {trial.shrinkage for trial in trials} == set(asked)
    assert {(trial.l1_conv, trial.l1_fc) for trial in trials} == {(0.0, 0.0)}
    assert len(trials) == 2 * len(GRIDS[name].dropout)
    alone = grid("3-fc", "beta-lasso", name, recipe_config("quick", "3-fc"), shrinkages=asked)
    assert {trial.shrinkage for trial in alone} == {(0.0, 10.0), (0.0, 2.5)}
