"""Sparse products against dense ones, by compiled kernels and by plain torch.

Small integers have exact products and sums in every type, so there nothing may differ.
"""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from training.kernels.backends import backend_name
from training.kernels.compiled import can_compile
from training.sparse import compiled_products, products, torch_products
from training.sparse.products import multiply, multiply_transposed, sum_products
from training.sparse.support import Support, collect, merge, transpose

BF16 = torch.bfloat16
TYPES = [BF16, torch.float32, torch.float64]
BACKENDS = ["torch"] + ["numba"] * can_compile()
SIZES = st.tuples(st.integers(0, 12), st.integers(0, 40), st.integers(0, 300))
needs_numba = pytest.mark.skipif(not can_compile(), reason="needs numba")


@pytest.fixture(params=BACKENDS)
def backend(request, monkeypatch):
    """Each backend in turn."""
    monkeypatch.setattr(products, "backend_name", lambda _: request.param)
    return request.param


def draw_weight(rows: int, columns: int, density: float, *, whole: bool = False) -> Tensor:
    weight = torch.randn(rows, columns, dtype=torch.float64)
    if whole:
        weight = weight.sign()
    return weight * (torch.rand(rows, columns) < density)


def draw_batch(features: int, batch: int, dtype: torch.dtype, *, whole: bool = False) -> Tensor:
    if whole:
        return torch.randint(-1, 2, (features, batch)).to(dtype)
    return torch.randn(features, batch, dtype=torch.float64).to(dtype)


def all_products(weight: Tensor, inputs: Tensor, gradients: Tensor) -> list[Tensor]:
    support, values = collect(weight)
    values = values.to(inputs.dtype)
    return [
        multiply(support, values, inputs),
        multiply_transposed(transpose(support), values, gradients),
        sum_products(support, gradients, inputs),
    ]


def dense_products(weight: Tensor, inputs: Tensor, gradients: Tensor) -> list[Tensor]:
    inputs, gradients = inputs.double(), gradients.double()
    return [weight @ inputs, weight.T @ gradients, (gradients @ inputs.T)[weight != 0]]


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("dtype", TYPES)
@given(SIZES, st.floats(0, 1), st.integers(0, 2**32))
def test_whole_numbers_are_exact(dtype, sizes, density, seed):
    torch.manual_seed(seed)
    rows, columns, batch = sizes
    weight = draw_weight(rows, columns, density, whole=True)
    inputs = draw_batch(columns, batch, dtype, whole=True)
    gradients = draw_batch(rows, batch, dtype, whole=True)
    found = all_products(weight, inputs, gradients)
    for one, other in zip(found, dense_products(weight, inputs, gradients), strict=True):
        assert torch.equal(one.double(), other)
    assert [one.dtype for one in found[:2]] == [dtype] * 2
    assert found[2].dtype == torch.promote_types(dtype, torch.float32)


# Vectors of 256 and of 128 bytes, one tile of columns and several, columns of 16 and 32 bits.
SHAPES = [(9, 200, 130), (40, 3072, 64), (7, 3073, 129), (5, 10_000, 40), (3, 70_000, 33)]


@pytest.mark.sample(3)
@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(("rows", "columns", "batch"), SHAPES)
def test_sums_are_as_close_as_their_type_allows(dtype, rows, columns, batch):
    torch.manual_seed(columns)
    weight = draw_weight(rows, columns, 0.05).to(dtype).double()
    inputs, gradients = draw_batch(columns, batch, dtype), draw_batch(rows, batch, dtype)
    found = all_products(weight, inputs, gradients)
    exact = dense_products(weight, inputs, gradients)
    sizes = dense_products(weight.abs(), inputs.abs(), gradients.abs())  # Σ |w x|
    sum_error = 1e-12 if dtype == torch.float64 else 2e-5
    for i, (one, other, size) in enumerate(zip(found, exact, sizes, strict=True)):
        rounding = 2**-8 if dtype == BF16 and i < 2 else 0
        assert ((one.double() - other).abs() <= sum_error * size + rounding * other.abs()).all()


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("dtype", TYPES)
def test_some_rows_are_empty_and_some_full(dtype):
    weight = torch.zeros(200, 64, dtype=torch.float64)
    weight[3] = weight[150, 7] = weight[199, 63] = 1
    weight[160:165] = -1
    torch.manual_seed(0)
    inputs = draw_batch(64, 70, dtype, whole=True)
    gradients = draw_batch(200, 70, dtype, whole=True)
    found = all_products(weight, inputs, gradients)
    for one, other in zip(found, dense_products(weight, inputs, gradients), strict=True):
        assert torch.equal(one.double(), other)


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("batch", [1, 31, 33, 100])
def test_nan_goes_only_where_entries_lead(dtype, batch):
    weight = torch.tensor([[1.0, 0.0, 2.0], [0.0, 3.0, 0.0], [0.0, 0.0, 1.0]])
    inputs, gradients = torch.ones(3, batch, dtype=dtype), torch.ones(3, batch, dtype=dtype)
    inputs[0, 0] = gradients[1, 0] = torch.nan
    outputs, back, own = all_products(weight, inputs, gradients)
    assert outputs.isnan().nonzero().tolist() == [[0, 0]]
    assert back.isnan().nonzero().tolist() == [[1, 0]]
    assert own.isnan().tolist() == [True, False, True, False]  # (0, 0), (0, 2), (1, 1), (2, 2)


@needs_numba
@pytest.mark.parametrize("dtype", TYPES)
def test_threads_do_not_change_a_bit(monkeypatch, dtype):
    monkeypatch.setattr(compiled_products, "_GRAIN", 1)
    torch.manual_seed(0)
    weight = draw_weight(50, 3500, 0.03)
    inputs, gradients = draw_batch(3500, 150, dtype), draw_batch(50, 150, dtype)
    threads, found = torch.get_num_threads(), []
    try:
        for num in (1, 2, 7):
            torch.set_num_threads(num)
            found.append(all_products(weight, inputs, gradients))
    finally:
        torch.set_num_threads(threads)
    for other in found[1:]:
        assert all(torch.equal(one, two) for one, two in zip(found[0], other, strict=True))


@pytest.mark.usefixtures("backend")
def test_other_entries_do_not_change_a_sum_of_products():
    """A gradient is the same when its row gains entries: regrown weights move nothing else."""
    torch.manual_seed(0)
    weight = draw_weight(6, 40, 0.3)
    inputs, gradients = draw_batch(40, 64, BF16), draw_batch(6, 64, BF16)
    support, _ = collect(weight)
    zeros = (weight == 0).nonzero()[::3]
    larger, sources = merge(support, zeros[:, 0].contiguous(), zeros[:, 1].contiguous())
    before = sum_products(support, gradients, inputs)
    after = sum_products(larger, gradients, inputs)[sources < len(before)]
    assert torch.equal(before, after)


@pytest.mark.usefixtures("backend")
def test_any_layout_is_taken():
    torch.manual_seed(0)
    weight = draw_weight(5, 8, 0.5, whole=True)
    inputs = draw_batch(6, 8, torch.float32, whole=True).T
    gradients = draw_batch(5, 12, torch.float32, whole=True)[:, ::2].requires_grad_()
    found = all_products(weight, inputs, gradients)
    for one, other in zip(found, dense_products(weight, inputs, gradients), strict=True):
        assert torch.equal(one.double(), other)
        assert not one.requires_grad


def test_the_backend_has_a_name(monkeypatch):
    assert backend_name(torch.device("cpu")) == ("numba" if can_compile() else "torch")
    monkeypatch.setattr("training.kernels.backends.find_spec", lambda name: name == "triton")
    assert backend_name(torch.device("cuda")) == "triton"
    monkeypatch.setattr("training.kernels.backends.find_spec", lambda _: None)
    assert backend_name(torch.device("cuda")) == "torch"
    monkeypatch.setattr("training.kernels.backends.can_compile", lambda: False)
    assert backend_name(torch.device("cpu")) == "torch"


def test_torch_form_and_compiled_form_take_the_same_arguments():
    support, values = collect(torch.eye(3))
    inputs = torch.ones(3, 2)
    for module in (torch_products,) + (compiled_products,) * can_compile():
        assert torch.equal(module.multiply(support, values, inputs), inputs)
        assert torch.equal(module.sum_products(support, inputs, inputs), torch.full((3,), 2.0))


def test_what_does_not_fit_is_refused():
    support, values = collect(torch.ones(2, 3))
    inputs, gradients = torch.ones(3, 4), torch.ones(2, 4)

    def attempt(message, function, *arguments):
        with pytest.raises(ValueError, match=message):
            function(*arguments)

    attempt(r"inputs must be \(3, N\)", multiply, support, values, gradients)
    attempt("inputs must be bfloat16, float32", multiply, support, values, inputs.half())
    attempt("values must be 6 numbers", multiply, support, values[:5], inputs)
    attempt("values must be 6 numbers of torch.float64", multiply, support, values, inputs.double())
    flipped = transpose(support)
    attempt("values must be a list of 6", multiply_transposed, flipped, values[:5], gradients)
    attempt("one batch and one type", sum_products, support, gradients[:, :3], inputs)
    attempt("one batch and one type", sum_products, support, gradients.double(), inputs)
    attempt(r"gradients must be \(2, N\)", sum_products, support, inputs, inputs)
    assert isinstance(support, Support)
