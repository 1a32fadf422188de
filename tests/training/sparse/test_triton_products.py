"""The kernels for CUDA: in Triton's interpreter, compiled for a device, and on one if there is one.

The same tests run on both. In the interpreter they run in a process of its own, which is this file
with TRITON_INTERPRET=1.
"""

import os

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from training.sparse import products, torch_products, triton_products
from training.sparse.products import multiply, multiply_transposed, sum_products
from training.sparse.support import Support, collect, compact, merge, spread, transpose

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICES = ["cpu"] if INTERPRETED else [pytest.param("cuda", marks=pytest.mark.cuda)]
BF16 = torch.bfloat16
TYPES = [BF16, torch.float32, torch.float64]
ROWS, COLUMNS, BATCHES = (4, 24, 40) if INTERPRETED else (40, 300, 300)
SIZES = st.tuples(st.integers(0, ROWS), st.integers(0, COLUMNS), st.integers(0, BATCHES))
NUM_EXAMPLES = 8 if INTERPRETED else 100


@pytest.fixture(params=DEVICES)
def device(request, monkeypatch):
    """Where the kernels run; rows are cut into pieces rest sooner than for speed."""
    monkeypatch.setattr(products, "backend_name", lambda _: "triton")
    monkeypatch.setattr(triton_products, "_SHORTEST_PIECE", 16)
    return torch.device(request.param)


def draw_weight(rows: int, columns: int, density: float, seed: int) -> Tensor:
    """Integers of -1 and 1: their products and sums are exact in every type."""
    torch.manual_seed(seed)
    return torch.randn(rows, columns).sign() * (torch.rand(rows, columns) < density)


def draw_batch(features: int, batch: int, dtype: torch.dtype) -> Tensor:
    return torch.randint(-1, 2, (features, batch)).to(dtype)


def all_products(weight: Tensor, inputs: Tensor, gradients: Tensor) -> list[Tensor]:
    support, values = collect(weight)
    values = values.to(inputs.dtype)
    return [
        multiply(support, values, inputs),
        multiply_transposed(transpose(support), values, gradients),
        sum_products(support, gradients, inputs),
    ]


def assert_exact(weight: Tensor, inputs: Tensor, gradients: Tensor, device: torch.device) -> None:
    found = all_products(*(part.to(device) for part in (weight, inputs, gradients)))
    wide = [part.double() for part in (weight, inputs, gradients)]
    expected = [wide[0] @ wide[1], wide[0].T @ wide[2], (wide[2] @ wide[1].T)[weight != 0]]
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one.cpu().double(), other)
    assert [one.dtype for one in found[:2]] == [inputs.dtype] * 2
    assert found[2].dtype == torch.promote_types(inputs.dtype, torch.float32)


@pytest.mark.parametrize("dtype", TYPES)
def test_whole_numbers_are_exact(dtype, device):
    @given(SIZES, st.floats(0, 1), st.integers(0, 2**32), st.integers(1, 2000))
    @settings(max_examples=NUM_EXAMPLES, deadline=None, database=None)
    def check(sizes, density, seed, num_pieces):
        triton_products._NUM_PIECES = num_pieces  # so that long rows are cut, or are not
        rows, columns, batch = sizes
        weight = draw_weight(rows, columns, density, seed)
        assert_exact(weight, *(draw_batch(n, batch, dtype) for n in (columns, rows)), device)

    before = triton_products._NUM_PIECES
    try:
        check()
    finally:
        triton_products._NUM_PIECES = before


HOSTILE = {
    "no rows": (0, 5, [], 3),
    "no columns": (5, 0, [], 3),
    "nothing in it": (4, 7, [], 9),
    "one nonzero, the last": (4, 7, [(3, 6)], 9),
    "one weight": (1, 1, [(0, 0)], 1),
    "one image": (3, 40, [(1, n) for n in range(40)], 1),
    "one full row among empty ones": (6, 35, [(4, n) for n in range(35)], 130),
    "one full column": (20, 3, [(n, 1) for n in range(20)], 17),
    "full": (3, 34, [(n, m) for n in range(3) for m in range(34)], 16),
    "columns of 32 bits": (2, 70_000, [(0, 69_999), (1, 0), (1, 65_536)], 5),
    "the last column of 16 bits": (1, 65_536, [(0, 65_535), (0, 40_000)], 5),
}


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("case", HOSTILE.values(), ids=HOSTILE)
def test_hostile_supports(case, dtype, device):
    rows, columns, places, batch = case
    torch.manual_seed(0)
    weight = torch.zeros(rows, columns)
    for i, place in enumerate(places):
        weight[place] = 1 - 2 * (i % 2)
    inputs = draw_batch(columns, batch, dtype)
    if columns > 1000:  # what is transposed has a program a row
        support, values = collect(weight.to(device))
        found = multiply(support, values.to(dtype), inputs.to(device))
        assert torch.equal(found.cpu().double(), weight.double() @ inputs.double())
        return
    assert_exact(weight, inputs, draw_batch(rows, batch, dtype), device)


def test_the_parts_of_a_batch_add_up(monkeypatch, device):
    """Parts of 64 images, the last of them shorter; and pieces in every row."""
    monkeypatch.setattr(triton_products, "_CACHE_BYTES", 1)
    weight = draw_weight(2, 50, 0.8, 0)
    assert_exact(weight, *(draw_batch(n, 130, torch.float32) for n in (50, 2)), device)


@pytest.mark.parametrize("dtype", TYPES)
def test_sums_are_as_close_as_their_type_allows(dtype, device):
    torch.manual_seed(0)
    weight = torch.randn(3, 60) * (torch.rand(3, 60) < 0.7)
    weight = weight.to(dtype).float()
    inputs, gradients = torch.randn(60, 40).to(dtype), torch.randn(3, 40).to(dtype)
    found = all_products(*(part.to(device) for part in (weight, inputs, gradients)))
    support, values = collect(weight)
    flipped = transpose(support)
    exact = [
        torch_products.multiply(support, values.double(), inputs.double()),
        torch_products.multiply(
            flipped.support, flipped.gather(values).double(), gradients.double()
        ),
        torch_products.sum_products(support, gradients.double(), inputs.double()),
    ]
    # Triton's interpreter cuts bits off where a device rounds to bfloat16.
    tolerances = {BF16: 2**-7, torch.float32: 1e-5, torch.float64: 1e-12}
    for i, (one, other) in enumerate(zip(found, exact, strict=True)):
        share = 1e-5 if dtype == BF16 and i == 2 else tolerances[dtype]
        scale = 1e-4 if dtype == BF16 else share
        torch.testing.assert_close(one.cpu().double(), other, rtol=share, atol=10 * scale)


@pytest.mark.parametrize("batch", [1, 17, 70])
def test_nan_goes_only_where_entries_lead(batch, device):
    weight = torch.tensor([[1.0, 0.0, 2.0], [0.0, 3.0, 0.0], [0.0, 0.0, 1.0]])
    inputs, gradients = torch.ones(3, batch), torch.ones(3, batch)
    inputs[0, 0] = gradients[1, 0] = torch.nan
    outputs, back, own = all_products(*(part.to(device) for part in (weight, inputs, gradients)))
    assert outputs.isnan().nonzero().tolist() == [[0, 0]]
    assert back.isnan().nonzero().tolist() == [[1, 0]]
    assert own.isnan().tolist() == [True, False, True, False]  # (0, 0), (0, 2), (1, 1), (2, 2)


def test_other_entries_do_not_change_a_sum_of_products(device):
    """A gradient is the same when its row gains entries: regrown weights move nothing else."""
    torch.manual_seed(0)
    weight = torch.randn(3, 60) * (torch.rand(3, 60) < 0.5)
    inputs, gradients = torch.randn(60, 70).to(device), torch.randn(3, 70).to(device)
    support, _ = collect(weight.to(device))
    zeros = (weight == 0).nonzero()[::3].to(device)
    larger, sources = merge(support, zeros[:, 0].contiguous(), zeros[:, 1].contiguous())
    before = sum_products(support, gradients, inputs)
    after = sum_products(larger, gradients, inputs)[sources < len(before)]
    assert torch.equal(before, after)


@pytest.mark.cuda
@pytest.mark.parametrize("dtype", TYPES)
def test_runs_on_cuda_have_the_same_bits_and_wait_for_nothing(dtype):
    torch.manual_seed(0)
    weight = (torch.randn(300, 5000) * (torch.rand(300, 5000) < 0.3)).cuda()
    weight[7] = 1
    support, values = collect(weight)
    flipped, values = transpose(support), values.to(dtype)
    inputs = torch.randn(5000, 200, device="cuda").to(dtype)
    gradients = torch.randn(300, 200, device="cuda").to(dtype)
    multiply(support, values, inputs)  # compiles
    sum_products(support, gradients, inputs)
    torch.cuda.set_sync_debug_mode("error")
    try:
        found = [
            [
                multiply(support, values, inputs),
                multiply(flipped.support, flipped.gather(values), gradients),
                sum_products(support, gradients, inputs),
            ]
            for _ in range(3)
        ]
    finally:
        torch.cuda.set_sync_debug_mode("default")
    for other in found[1:]:
        assert all(torch.equal(one, two) for one, two in zip(found[0], other, strict=True))


@pytest.mark.cuda
def test_supports_change_on_cuda_as_on_a_cpu():
    torch.manual_seed(0)
    weight = torch.randn(300, 500) * (torch.rand(300, 500) < 0.2)
    zeros = (weight == 0).nonzero()[::11]
    found: list[list[Tensor]] = []
    for device in ("cpu", "cuda"):
        support, values = collect(weight.to(device), threshold=0.3)
        rows, columns = (part.contiguous() for part in zeros.to(device).unbind(1))
        larger, sources = merge(support, rows, columns)
        values = torch.cat([values, torch.zeros(len(rows), device=device)])[sources]
        smaller, kept = compact(larger, values)
        flipped = transpose(larger)
        larger.check()
        parts = [
            larger.row_starts,
            larger.columns,
            sources,
            smaller.row_starts,
            smaller.columns,
            kept,
            flipped.support.row_starts,
            flipped.support.columns,
            flipped.gather(values),
            spread(larger, values),
        ]
        assert {part.device.type for part in parts} == {device}
        found.append([part.cpu() for part in parts])
    assert all(torch.equal(one, two) for one, two in zip(*found, strict=True))
    assert isinstance(support, Support)


COMPILED = """
import itertools
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from training.kernels import triton_sparse

def compile(name, low, kind, constants):
    kernel = getattr(triton_sparse, name)
    wide = "fp64" if low == "fp64" else "fp32"
    pointers = {part: f"*{low}" for part in ("values", "inputs", "outputs", "gradients")}
    pointers |= {part: f"*{wide}" for part in ("sums", "partial_sums")}
    pointers |= {part: "*i64" for part in ("row_starts", "piece_starts", "piece_rows", "long_rows")}
    pointers["columns"] = f"*{kind}"
    constants = {part: value for part, value in constants.items() if part in kernel.arg_names}
    signature = {
        part: "constexpr" if part in constants else pointers.get(part, "i32")
        for part in kernel.arg_names
    }
    source = ASTSource(fn=kernel, signature=signature, constexprs=constants)
    options = {"enable_fp_fusion": False, "num_warps": 4}
    return triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options).asm["ptx"]

cases = itertools.product(("bf16", "fp32", "fp64"), ("u16", "i32"), (False, True))
for low, kind, flag in cases:
    constants = {"IS_CUT": flag, "IS_FIRST": flag, "IS_WIDE": low == "fp64"}
    for name in ("multiply_rows", "sum_entries", "add_pieces"):
        code = compile(name, low, kind, constants | {"GROUP": 16, "LINE": 64})
        assert "atom" not in code and "red.global" not in code
        assert "fma.rn.f" not in code
        assert ("cvt.rn.bf16" in code) == (low == "bf16" and name != "sum_entries")
for name in ("multiply_rows", "sum_entries", "add_pieces"):  # one image and one row: constants
    sizes = {"batch": 1, "num_rows": 1, "right": 1, "IS_CUT": True, "IS_FIRST": True}
    compile(name, "fp32", "u16", sizes | {"IS_WIDE": False, "GROUP": 16, "LINE": 16})
print("compiled")
"""


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.skipif(INTERPRETED, reason="runs outside the interpreter")
def test_the_kernels_compile_for_a_device(run_triton_script, tmp_path):
    """Without atomic sums, whose order would change, and without fused products."""
    assert run_triton_script(COMPILED, TRITON_CACHE_DIR=str(tmp_path)) == "compiled\n"


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.skipif(INTERPRETED, reason="runs outside the interpreter")
def test_these_tests_pass_in_triton_interpreter(run_triton_script):
    script = f"""
import sys
import pytest
sys.exit(pytest.main([{__file__!r}, "-q", "-p", "no:cacheprovider"]))
"""
    assert "passed" in run_triton_script(script, TRITON_INTERPRET="1")
