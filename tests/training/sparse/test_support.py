"""Supports against dense matrices and scipy.sparse, by compiled kernels and by plain torch."""

import numpy as np
import pytest
import scipy.sparse
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import Tensor

from tests.examples import examples
from training.kernels.compiled import can_compile
from training.sparse import compiled_support, support, torch_support
from training.sparse.support import Support, collect, compact, merge, spread, transpose

BACKENDS = [torch_support] + [compiled_support] * can_compile()
NUMBERS = st.sampled_from([0.0, 0.0, 0.0, -0.0, 1.0, -2.5, 0.125])
MATRICES = hnp.arrays(
    np.float64, hnp.array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=9), elements=NUMBERS
)


@pytest.fixture(params=BACKENDS, ids=lambda module: module.__name__.split(".")[-1])
def forms(request, monkeypatch):
    """Each backend in turn."""
    monkeypatch.setattr(support, "_forms", lambda _: request.param)
    return request.param


def as_scipy(dense: np.ndarray) -> scipy.sparse.csr_array:
    return scipy.sparse.csr_array(dense)


def assert_is(found: Support, values: Tensor, dense: np.ndarray) -> None:
    expected = as_scipy(dense)
    found.check()
    assert found.shape == dense.shape
    assert found.row_starts.tolist() == expected.indptr.tolist()
    assert found.columns.tolist() == expected.indices.tolist()
    assert values.tolist() == expected.data.tolist()


@pytest.mark.usefixtures("forms")
@given(MATRICES)
def test_collect_finds_the_nonzeros_and_spread_puts_them_back(dense):
    found, values = collect(torch.from_numpy(dense))
    assert_is(found, values, dense)
    assert np.array_equal(spread(found, values).numpy(), dense)
    low = values.to(torch.bfloat16)  # these numbers are exact in 8 bits
    assert np.array_equal(spread(found, low).double().numpy(), dense)


@pytest.mark.usefixtures("forms")
@given(MATRICES, st.floats(0, 3))
@examples(0.3)
def test_collect_with_a_threshold(dense, threshold):
    found, values = collect(torch.from_numpy(dense).float(), threshold=threshold)
    kept = np.abs(dense) > np.float32(threshold)
    assert_is(found, values.double(), np.where(kept, dense, 0))


@pytest.mark.usefixtures("forms")
@given(MATRICES, st.data())
def test_compact_drops_what_became_zero(dense, data):
    found, values = collect(torch.from_numpy(dense))
    zeroed = data.draw(hnp.arrays(np.bool_, len(values)))
    values[torch.from_numpy(zeroed)] = -0.0
    smaller, sources = compact(found, values)
    assert_is(smaller, values[sources], spread(found, values).numpy())
    assert (np.diff(sources.numpy()) > 0).all()


@pytest.mark.usefixtures("forms")
@given(MATRICES, st.data())
def test_merge_takes_up_regrown_entries(dense, data):
    found, values = collect(torch.from_numpy(dense))
    regrown = data.draw(hnp.arrays(np.bool_, dense.shape)) & (dense == 0)
    rows, columns = (torch.from_numpy(part) for part in np.nonzero(regrown))
    more = torch.arange(len(rows), dtype=torch.float64) + 100
    larger, sources = merge(found, rows, columns)
    after = dense.copy()
    after[regrown] = more.numpy()
    assert_is(larger, torch.cat([values, more])[sources], after)


@pytest.mark.usefixtures("forms")
@given(MATRICES)
def test_transpose_is_the_transpose(dense):
    found, values = collect(torch.from_numpy(dense))
    flipped = transpose(found)
    assert_is(flipped.support, flipped.gather(values), dense.T)


@pytest.mark.usefixtures("forms")
def test_special_matrices():
    for shape in ((0, 0), (0, 3), (3, 0), (1, 1), (4, 5)):
        for dense in (np.zeros(shape), np.ones(shape)):
            found, values = collect(torch.from_numpy(dense))
            assert_is(found, values, dense)
            assert np.array_equal(spread(found, values).numpy(), dense)
            flipped = transpose(found)
            assert_is(flipped.support, flipped.gather(values), dense.T)
            assert_is(*_emptied(found), np.zeros(shape))
    for place in ((0, 0), (2, 3), (4, 6)):
        dense = np.zeros((5, 7))
        dense[place] = 3
        assert_is(*collect(torch.from_numpy(dense)), dense)


def _emptied(found: Support) -> tuple[Support, Tensor]:
    values = torch.zeros(found.num_entries)
    smaller, sources = compact(found, values)
    return smaller, values[sources]


@pytest.mark.usefixtures("forms")
def test_nan_is_an_entry_and_stays_one():
    dense = torch.tensor([[0.0, torch.nan, 1.0]])
    found, values = collect(dense, threshold=0.5)
    assert found.columns.tolist() == [1, 2]
    smaller, _ = compact(found, values)
    assert smaller.columns.tolist() == [1, 2]


@pytest.mark.usefixtures("forms")
def test_many_columns_take_32_bits():
    dense = torch.zeros(2, 70_000)
    dense[0, 69_999] = dense[1, 0] = 2
    found, values = collect(dense)
    assert found.columns.dtype == torch.int32
    assert found.columns.tolist() == [69_999, 0]
    assert torch.equal(spread(found, values), dense)
    larger, _ = merge(found, torch.tensor([0]), torch.tensor([5]))
    assert larger.columns.tolist() == [5, 69_999, 0]
    flipped = transpose(larger)
    assert flipped.support.columns.dtype == torch.uint16
    assert flipped.support.columns.tolist() == [1, 0, 0]


def test_the_last_of_65536_columns_fits_16_bits():
    dense = torch.zeros(1, 2**16)
    dense[0, -1] = 1
    found, _ = collect(dense)
    assert found.columns.dtype == torch.uint16
    assert found.columns.tolist() == [2**16 - 1]


@pytest.mark.skipif(not can_compile(), reason="needs numba")
def test_threads_change_nothing(monkeypatch):
    monkeypatch.setattr(compiled_support, "_GRAIN", 1)
    torch.manual_seed(0)
    dense = torch.randn(61, 37) * (torch.rand(61, 37) < 0.2)
    zeros = (dense[::7] == 0).nonzero()
    rows, columns = 7 * zeros[:, 0], zeros[:, 1].contiguous()
    threads, found = torch.get_num_threads(), []
    try:
        for num in (1, 2, 5):
            torch.set_num_threads(num)
            first, values = collect(dense)
            larger, sources = merge(first, rows, columns)
            flipped = transpose(larger)
            smaller, _ = compact(larger, torch.cat([values, torch.zeros(len(rows))])[sources])
            parts = (flipped.support.row_starts, flipped.support.columns, flipped.offsets)
            found.append([first.columns, values, larger.columns, sources, smaller.columns, *parts])
    finally:
        torch.set_num_threads(threads)
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


@pytest.mark.usefixtures("forms")
def test_merge_refuses_what_is_not_new_or_not_in_order():
    found, _ = collect(torch.tensor([[0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]))

    def attempt(rows, columns, message):
        with pytest.raises(ValueError, match=message):
            merge(found, torch.tensor(rows), torch.tensor(columns))

    attempt([0], [1], "not be in the support")
    attempt([0, 0], [3, 2], "ascend in each row")
    attempt([0, 0], [3, 3], "ascend in each row")
    attempt([1, 0], [0, 0], "rows must ascend")
    attempt([2], [0], "rows must be from 0 to 1")
    attempt([0], [-1], "columns must be from 0 to 3")
    attempt([0], [4], "columns must be from 0 to 3")
    attempt([0], [1, 2], "one length")


def test_values_must_fit():
    found, values = collect(torch.eye(3))
    for function in (compact, spread):
        with pytest.raises(ValueError, match="values must be a list of 3"):
            function(found, values[:2])
    with pytest.raises(ValueError, match="weights must be a matrix"):
        collect(torch.zeros(3))
    with pytest.raises(ValueError, match="threshold must be >= 0; is nan"):
        collect(torch.eye(3), threshold=float("nan"))


def test_a_support_is_checked():
    narrow = torch.tensor([0, 1]).to(torch.uint16)
    with pytest.raises(ValueError, match="row_starts must be a list of int64"):
        Support(torch.tensor([0, 2], dtype=torch.int32), narrow, 3)
    with pytest.raises(ValueError, match="row_starts must have one number more"):
        Support(torch.tensor([], dtype=torch.int64), narrow, 3)
    with pytest.raises(ValueError, match=r"columns must be a list of torch\.int32 for 70000"):
        Support(torch.tensor([0, 2]), narrow, 70_000)
    Support(torch.tensor([0, 2]), narrow, 3).check()
    for starts in ([0, 1], [1, 2], [0, 3, 2]):
        with pytest.raises(ValueError, match="row_starts must ascend from 0 to 2"):
            Support(torch.tensor(starts), narrow, 3).check()
    with pytest.raises(ValueError, match="columns must ascend"):
        Support(torch.tensor([0, 2]), torch.tensor([1, 0]).to(torch.uint16), 3).check()
    with pytest.raises(ValueError, match="be below 1"):
        Support(torch.tensor([0, 2]), narrow, 1).check()
