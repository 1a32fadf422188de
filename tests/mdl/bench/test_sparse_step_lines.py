"""Steps hold their share of screened rows, and neither supports nor weights go anywhere."""

import bisect

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mdl.bench.sparse_lines import draw_sparse_weights
from mdl.bench.sparse_step_lines import (
    SMALL_L1_COEF,
    SMALL_LR,
    ScreenedSteps,
    find_thresholds,
    set_weights,
)
from mdl.bench.step_lines import NORMALIZATION, random_images
from training.data.input_map import InputMap
from training.distributed.run_options import RunOptions
from training.run.state import TrainingState
from training.spec.config import TrainConfig

WIDTH = 14  # The least at which both layers are large enough.
BATCH = 64
SHARES = (0.0, 0.5, 1.0)
CPU = torch.device("cpu")


def make_state(width, sparsity):
    config = TrainConfig(
        network="s-fc",
        base_channels=width,
        batch_size=BATCH,
        epochs=10**6,
        lr=SMALL_LR,
        l1_conv=SMALL_L1_COEF,
        l1_fc=SMALL_L1_COEF,
    )
    spec = config.network_spec(image_size=32, num_classes=10, in_channels=3)
    return TrainingState(
        config=config,
        spec=spec,
        train_set=random_images(2 * BATCH, CPU),
        inputs=InputMap(NORMALIZATION),
        options=RunOptions(sparsity=sparsity),
    )


@pytest.fixture(scope="module")
def stepped():
    state = make_state(WIDTH, "auto")
    weights = draw_sparse_weights(state.network.spec)
    steps = ScreenedSteps(state, weights, shares=SHARES)
    for _ in range(3):  # more steps than an epoch has
        for share in SHARES:
            steps.take_step(share)
    return state, weights, steps


def test_both_layers_are_sparse_for_good(stepped):
    state, weights, steps = stepped
    assert state.weights.sparse_layers == list(weights) == list(steps.sparse_weights())
    assert state.step > 3 * state.steps_per_epoch


def test_about_the_chosen_share_of_rows_is_screened(stepped):
    _, weights, steps = stepped
    for share, slack in zip(SHARES, (0.1, 0.25, 0.0), strict=True):
        notes = steps.notes[share]
        assert notes.num_steps == 3
        for name in weights:
            assert notes.mean_screened()[name] == pytest.approx(share, abs=slack)


def test_the_steps_leave_the_weights_that_they_found(stepped):
    _, weights, steps = stepped
    for name, sparse in steps.sparse_weights().items():
        dense = weights[name]
        # In so small a batch some weights come back; the next steps at other shares cut them.
        assert sparse.support.num_entries == pytest.approx(int(dense.count_nonzero()), rel=0.1)
        torch.testing.assert_close(sparse.dense(), dense, rtol=0, atol=1e-5)


def test_weights_that_come_back_are_counted():
    state = make_state(2, "auto")
    weights = draw_sparse_weights(state.network.spec)
    steps = ScreenedSteps(state, weights, shares=(0.0,))
    before = steps.sparse_weights()["conv1"].support.num_entries
    steps.take_step(0.0)
    after = steps.sparse_weights()["conv1"].support.num_entries
    assert steps.notes[0.0].mean_regrown() == {"conv1": max(0, after - before)}
    assert list(steps.sparse_weights()) == ["conv1"]  # the other layer is too small


def test_a_dense_state_is_refused():
    state = make_state(1, "never")
    with pytest.raises(ValueError, match="layers may become sparse"):
        ScreenedSteps(state, draw_sparse_weights(state.network.spec), shares=SHARES)


def test_weights_are_given_to_layers_and_their_working_copies():
    state = make_state(1, "never")
    weights = draw_sparse_weights(state.network.spec)
    set_weights(state, weights)
    for name, weight in weights.items():
        parameter = state.network.get_parameter(f"{name}.weight")
        assert torch.equal(parameter, weight)
        assert torch.equal(state.optimizer.working_copies[parameter], weight.to(torch.bfloat16))


@given(bounds=st.lists(st.floats(1e-3, 10), min_size=50, max_size=300))
def test_thresholds_screen_their_share(bounds):
    """Of rows with known bounds, not a row fewer than the share; and just below it, fewer."""
    bounds.sort()

    def screened(threshold):
        return bisect.bisect_left(bounds, threshold) / len(bounds)

    found = find_thresholds(screened, (0.0, 0.5, 0.9, 1.0), lr=1.0)
    assert screened(found[1.0] / 1.5) == 1.0
    for share in (0.5, 0.9):
        assert screened(found[share]) >= share
    assert sorted(found.values()) == [found[share] for share in (0.0, 0.5, 0.9, 1.0)]
