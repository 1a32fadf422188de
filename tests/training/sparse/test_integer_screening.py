"""The screen by integers: it must hold on hostile numbers, and leave little else."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from training.kernels.compiled import can_compile
from training.sparse import integer_screening
from training.sparse.integer_screening import screen_by_integers
from training.sparse.screening import Screen, measure_lines

pytestmark = pytest.mark.skipif(not can_compile(), reason="needs numba")

ROWS, COLUMNS = 20, 37  # No multiples of a tile's.


def draw_lines(seed: int, *, batch: int, kind: str, scale: float) -> tuple[Tensor, Tensor]:
    """Δ and X, (lines, batch), float64."""
    generator = torch.Generator().manual_seed(seed)
    deltas = torch.randn(ROWS, batch, generator=generator, dtype=torch.float64)
    inputs = torch.randn(COLUMNS, batch, generator=generator, dtype=torch.float64)
    if kind == "aligned":
        deltas[::2] = inputs[:ROWS:2] * 3
        inputs[1::5] = -inputs[::5][: len(inputs[1::5])]
    elif kind == "constant":
        deltas[::3], inputs[::4] = 1.0, -2.0
    elif kind == "spikes":
        deltas[:, 0] *= 1e4
        inputs[:, -1] *= 1e4
    elif kind == "zeros":
        deltas[::2], inputs[::3] = 0, 0
    elif kind == "sizes":
        deltas *= 10.0 ** torch.randint(-6, 6, (ROWS, 1), generator=generator)
        inputs *= 10.0 ** torch.randint(-6, 6, (COLUMNS, 1), generator=generator)
    return deltas * scale, inputs / scale


def screen_lines(deltas: Tensor, inputs: Tensor, *, lr: float, threshold: float) -> Screen | None:
    lines = measure_lines(deltas), measure_lines(inputs)
    return screen_by_integers(deltas, inputs, lines, lr=lr, threshold=threshold)


def named(found: Screen) -> Tensor:
    """bool (ROWS, COLUMNS): the weights that a screen names."""
    assert found.entries is not None
    starts, columns = found.entries.row_starts, found.entries.columns.long()
    rows = torch.repeat_interleave(starts.diff())
    is_named = torch.zeros(ROWS, COLUMNS, dtype=torch.bool)
    is_named[rows, columns] = True
    assert int(is_named.sum()) == len(columns)
    assert torch.equal(found.rows, rows.unique())
    return is_named


cases = given(
    seed=st.integers(0, 10_000),
    batch=st.sampled_from([1, 2, 7, 16, 129]),
    kind=st.sampled_from(["plain", "aligned", "constant", "spikes", "zeros", "sizes"]),
    scale=st.sampled_from([1.0, 1e-18, 1e18]),
    dtype=st.sampled_from([torch.float64, torch.float32, torch.bfloat16]),
    quantile=st.sampled_from([0.95, 0.99, 1.0]),
    lr=st.sampled_from([1.0, 0.1]),
)


def find_missed(*, seed, batch, kind, scale, dtype, quantile, lr) -> int:
    """Weights that reach a threshold, one of the gradients themselves, and are not named."""
    deltas, inputs = (
        lines.to(dtype) for lines in draw_lines(seed, batch=batch, kind=kind, scale=scale)
    )
    reach = lr * (deltas @ inputs.t()).abs().double()
    threshold = float(reach.flatten().kthvalue(max(1, int(quantile * reach.numel())))[0])
    if not 1e-37 < threshold < float("inf"):
        return 0
    found = screen_lines(deltas, inputs, lr=lr, threshold=threshold)
    return 0 if found is None else int(((reach >= threshold) & ~named(found)).sum())


@cases
def test_every_weight_that_reaches_the_threshold_is_named(**case):
    assert find_missed(**case) == 0


def test_without_the_error_of_the_integers_weights_are_missed(monkeypatch):
    """The bound needs its last two terms: an invalid one is caught by the same cases."""
    monkeypatch.setattr(integer_screening, "_HALF_STEP", 0.0)
    monkeypatch.setattr(integer_screening, "_LARGEST_INTEGER", 15)  # so that errors are large
    missed = [
        find_missed(
            seed=seed,
            batch=16,
            kind="plain",
            scale=1.0,
            dtype=torch.float64,
            quantile=quantile,
            lr=1.0,
        )
        for seed in range(20)
        for quantile in (0.95, 0.99, 1.0)
    ]
    assert sum(missed) > 0


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_few_others_are_named(dtype):
    """Below 1% of the norms' product apart, the gradient and its bound."""
    deltas, inputs = (
        lines.to(dtype) for lines in draw_lines(0, batch=128, kind="plain", scale=1.0)
    )
    reach = (deltas.double() @ inputs.double().t()).abs()
    sizes = deltas.double().norm(dim=1)[:, None] * inputs.double().norm(dim=1).max()
    threshold = float(reach.flatten().kthvalue(int(0.99 * reach.numel()))[0])
    found = screen_lines(deltas, inputs, lr=1.0, threshold=threshold)
    assert found is not None
    assert not (named(found) & (reach + 0.01 * sizes < threshold)).any()
    assert 0 < len(found.rows) < ROWS / 2
    assert found.screened_share == 1 - len(found.rows) / ROWS


def test_nothing_is_named_where_cauchy_schwarz_closes_all():
    deltas, inputs = draw_lines(0, batch=16, kind="plain", scale=1.0)
    found = screen_lines(deltas, inputs, lr=1e-9, threshold=1.0)
    assert found is not None
    assert not named(found).any()
    assert found.screened_share == 1


@pytest.mark.parametrize("where", ["deltas", "inputs"])
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_numbers_that_are_not_finite_are_left_to_the_other_screen(where, value):
    deltas, inputs = draw_lines(0, batch=16, kind="plain", scale=1.0)
    (deltas if where == "deltas" else inputs)[3, 5] = value
    assert screen_lines(deltas, inputs, lr=1e-9, threshold=1.0) is None


def test_where_most_weights_are_left_it_names_none():
    deltas, inputs = draw_lines(0, batch=16, kind="plain", scale=1.0)
    assert screen_lines(deltas, inputs, lr=1.0, threshold=1e-6) is None


def test_sums_of_the_largest_integers_do_not_overflow():
    """Every product is the largest there is, of either sign."""
    for batch in (1, 2, 128, 129, 1000):
        deltas = torch.ones(ROWS, batch, dtype=torch.float64)
        inputs = torch.ones(COLUMNS, batch, dtype=torch.float64)
        inputs[1:] *= -1e-9
        inputs[0] *= -1
        found = screen_lines(deltas, inputs, lr=1.0, threshold=float(batch))
        assert found is not None
        assert named(found)[:, 0].all()
        assert not named(found)[:, 1:].any()


def test_more_products_than_there_is_room_for_are_looked_for_again(monkeypatch):
    deltas, inputs = draw_lines(0, batch=16, kind="plain", scale=1.0)
    reach = (deltas @ inputs.t()).abs()
    threshold = float(reach.flatten().kthvalue(int(0.96 * reach.numel()))[0])
    expected = screen_lines(deltas, inputs, lr=1.0, threshold=threshold)
    monkeypatch.setattr(integer_screening, "_ROOM", 1)
    again = screen_lines(deltas, inputs, lr=1.0, threshold=threshold)
    assert expected is not None
    assert again is not None
    assert torch.equal(named(again), named(expected))


def test_the_number_of_threads_changes_nothing(monkeypatch):
    deltas, inputs = draw_lines(0, batch=64, kind="plain", scale=1.0)
    monkeypatch.setattr(integer_screening, "_GRAIN", 1)
    monkeypatch.setattr(integer_screening, "_LINES_GRAIN", 1)
    threads, results = torch.get_num_threads(), []
    for count in (1, 3):
        torch.set_num_threads(count)
        found = screen_lines(deltas, inputs, lr=1.0, threshold=20.0)
        assert found is not None
        results.append(named(found).numpy())
    torch.set_num_threads(threads)
    assert np.array_equal(*results)
    assert results[0].any()
