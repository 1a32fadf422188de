"""The tighter screen: it must hold on hostile numbers, and help on smooth ones."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from training.sparse.projected_screening import GROUPS, may_tighten, tighten
from training.sparse.screening import Screen, measure_lines, screen

BATCH = 160
ROWS, COLUMNS = 20, 130


def draw_lines(seed: int, *, rank: int, offset: float, noise: float) -> tuple[Tensor, Tensor]:
    """Δ and X, (lines, BATCH), float64, with most of their variance in a few shared directions."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    basis = torch.linalg.qr(draw(BATCH, max(1, rank)))[0].t()
    inputs = draw(COLUMNS, len(basis)) @ basis * 5 + noise * draw(COLUMNS, BATCH) + offset
    deltas = draw(ROWS, len(basis)) @ basis + draw(ROWS, BATCH) * 0.3
    deltas[::3] *= 100
    inputs[::4] *= 1e-3
    return deltas, inputs


def tighten_all(deltas: Tensor, inputs: Tensor, *, lr: float, threshold: float) -> Screen:
    lines = measure_lines(deltas), measure_lines(inputs)
    everything = Screen(
        torch.arange(len(deltas)),
        torch.arange(len(inputs)),
        len(deltas),
        torch.ones(len(deltas), dtype=torch.bool),
    )
    return tighten(everything, deltas, inputs, lines, lr=lr, threshold=threshold)


@given(
    case=st.tuples(
        st.integers(0, 10_000),
        st.integers(0, 100),
        st.sampled_from([0.0, 1.0, -30.0]),
        st.sampled_from([0.0, 1e-6, 1.0]),
    ),
    dtype=st.sampled_from([torch.float64, torch.float32, torch.bfloat16]),
    quantile=st.sampled_from([0.01, 0.5, 0.99, 1.0]),
)
def test_nothing_outside_can_reach_the_threshold(case, dtype, quantile):
    """The threshold is one of the gradients themselves, as a dense step computes them."""
    seed, rank, offset, noise = case
    drawn = draw_lines(seed, rank=rank, offset=offset, noise=noise)
    deltas, inputs = (lines.to(dtype) for lines in drawn)
    reach = (deltas @ inputs.t()).abs().to(torch.float64)
    threshold = float(reach.flatten().kthvalue(max(1, int(quantile * reach.numel())))[0])
    if threshold == 0:
        return
    found = tighten_all(deltas, inputs, lr=1.0, threshold=threshold)
    is_large = reach >= threshold
    is_large[found.rows[:, None], found.columns] = False
    assert not is_large.any()


def test_parallel_lines_are_open_up_to_their_gradient():
    """Equality in Cauchy-Schwarz: only the margin is between bound and gradient."""
    deltas, inputs = draw_lines(0, rank=4, offset=0.0, noise=1.0)
    deltas[0] = inputs[1]
    gradient = float(inputs[1] @ inputs[1])
    deltas[1:] = 0
    inputs[2:] = 0
    at, above = (
        tighten_all(deltas, inputs, lr=1.0, threshold=gradient * factor).rows.tolist()
        for factor in (1.0, 1.001)
    )
    assert (at, above) == ([0], [])


def test_smooth_images_close_rows_that_the_plain_bound_leaves_open():
    """Half of the rows look where the images do not vary; the plain bound cannot see that."""
    generator = torch.Generator().manual_seed(0)
    smooth = torch.randn(4, BATCH, generator=generator)  # as many as the first two groups take
    inputs = torch.randn(COLUMNS, 4, generator=generator) @ smooth * 10
    inputs += 0.1 * torch.randn(COLUMNS, BATCH, generator=generator)
    deltas = torch.randn(ROWS, BATCH, generator=generator)
    basis = torch.linalg.qr(torch.cat([smooth, torch.ones(1, BATCH)]).t())[0]
    deltas[::2] -= deltas[::2] @ basis @ basis.t()
    lines = measure_lines(deltas), measure_lines(inputs)
    threshold = 0.5 * float(lines[0].spreads.min() * lines[1].spreads.max())
    limit = {"lr": 1.0, "threshold": threshold}
    plain = screen(*lines, **limit)
    assert len(plain.rows) == ROWS
    found = tighten(plain, deltas, inputs, lines, **limit)
    assert not set(found.rows.tolist()) & set(range(0, ROWS, 2))


@pytest.mark.parametrize("where", ["deltas", "inputs"])
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_what_is_not_finite_is_screened_nowhere(where, value):
    deltas, inputs = draw_lines(0, rank=4, offset=0.0, noise=1.0)
    (deltas if where == "deltas" else inputs)[3, 5] = value
    found = tighten_all(deltas, inputs, lr=1e-12, threshold=1.0)
    assert 3 in (found.rows if where == "deltas" else found.columns)


def test_only_rows_that_are_near_are_looked_at():
    deltas, inputs = draw_lines(0, rank=4, offset=0.0, noise=1.0)
    lines = measure_lines(deltas), measure_lines(inputs)
    is_borderline = torch.arange(ROWS) % 2 == 0
    found = Screen(torch.arange(ROWS), torch.arange(COLUMNS), ROWS, is_borderline)
    tighter = tighten(found, deltas, inputs, lines, lr=1e-12, threshold=1.0)
    assert tighter.rows.tolist() == list(range(1, ROWS, 2))
    assert tighter.columns.tolist() == list(range(COLUMNS))


def test_near_is_up_to_two_and_a_half_thresholds():
    """Rows of bounds 1, 2, 2.4, 2.6 and NaN against the threshold 1 + 2⁻¹⁶."""
    inputs = torch.tensor([[1.0, -1.0]]).double() / 2**0.5
    sizes = torch.tensor([1.0, 2.0, 2.4, 2.6, torch.nan]).double()
    found = screen(
        measure_lines(sizes[:, None] * inputs), measure_lines(inputs), lr=1.0, threshold=1 + 2**-16
    )
    assert found.rows.tolist() == [1, 2, 3, 4]
    assert found.is_borderline.tolist() == [True, True, False, False]


def test_it_is_asked_for_where_much_is_open_and_near():
    def found(rows: int, columns: int, near: int) -> Screen:
        return Screen(torch.arange(rows), torch.arange(columns), 5000, torch.arange(rows) < near)

    assert may_tighten(found(4096, 3072, 4096), batch=512)
    assert not may_tighten(found(4096, 3072, 64), batch=512)
    assert not may_tighten(found(64, 3072, 64), batch=512)
    assert not may_tighten(found(4096, 64, 4096), batch=512)
    assert not may_tighten(found(4096, 3072, 4096), batch=sum(GROUPS))
