"""The one pass of the optimizers, with and without working copy: the paper's form, torch's SGD."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.examples import examples
from training.kernels.backends import backend_name
from training.optim.beta_lasso import BetaLasso, beta_lasso_reference_step
from training.optim.fused_step import beta_lasso_pass, sgd_pass
from training.optim.sgd import MomentumSgd

BF16 = torch.bfloat16


def draw(num: int, dtype: torch.dtype, seed: int) -> tuple[Tensor, Tensor]:
    torch.manual_seed(seed)
    weights = torch.randn(num, dtype=dtype) * 0.02
    weights[::3] = 0
    return weights, torch.randn(num, dtype=dtype) * 0.05


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("num", [0, 1, 1000, 300_000])
def test_beta_lasso_is_the_reference_bit_for_bit(num, dtype):
    weights, gradients = draw(num, dtype, num)
    expected = beta_lasso_reference_step(weights, gradients, lr=0.1, l1_coef=1e-4, beta=50)
    count = beta_lasso_pass(weights, gradients, None, lr=0.1, l1_coef=1e-4, threshold=50 * 1e-4)
    assert torch.equal(weights, expected)
    assert not torch.signbit(weights[weights == 0]).any()
    assert int(count) == int(torch.count_nonzero(expected))


def test_the_working_copy_is_the_weight_rounded_and_its_gradient_moves_it():
    weights, gradients = draw(200_000, torch.float32, 0)
    low, working_copy = gradients.to(BF16), weights.to(BF16)
    expected = beta_lasso_reference_step(weights, low, lr=0.1, l1_coef=1e-4, beta=50)
    beta_lasso_pass(weights, low, working_copy, lr=0.1, l1_coef=1e-4, threshold=50 * 1e-4)
    assert torch.equal(weights, expected)
    assert torch.equal(working_copy, expected.to(BF16))


@given(st.lists(st.floats(width=32), min_size=1, max_size=50))
@examples(2)
def test_rounding_to_a_working_copy_is_torch_own(numbers):
    weights = torch.tensor(numbers)
    working_copy, zeros = (
        torch.empty(len(weights), dtype=BF16),
        torch.zeros(len(weights), dtype=BF16),
    )
    expected = (weights + 0.0).to(BF16)  # the step makes -0 into 0
    beta_lasso_pass(weights, zeros, working_copy, lr=0.0, l1_coef=0.0, threshold=0.0)
    finite = ~expected.isnan()
    assert torch.equal(working_copy[finite], expected[finite])
    assert working_copy[~finite].isnan().all()


def test_threads_do_not_change_a_bit():
    threads, found = torch.get_num_threads(), []
    try:
        for number in (1, 3):
            torch.set_num_threads(number)
            weights, gradients = draw(500_001, torch.float32, 1)
            count = beta_lasso_pass(weights, gradients, None, lr=0.1, l1_coef=1e-4, threshold=5e-3)
            found.append((weights, count))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(found[0][0], found[1][0])
    assert found[0][1] == found[1][1]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_sgd_agrees_with_torch_over_many_steps(dtype):
    torch.manual_seed(0)
    ours, theirs = (nn.Parameter(torch.ones(5000, dtype=dtype)) for _ in range(2))
    settings_ = {"lr": 0.1, "momentum": 0.9, "weight_decay": 5e-2}
    mine = MomentumSgd([ours], **settings_)
    reference = torch.optim.SGD([theirs], **settings_)
    for _ in range(60):
        ours.grad = torch.randn(5000, dtype=dtype)
        theirs.grad = ours.grad.clone()
        mine.step()
        reference.step()
    tolerance = 1e-12 if dtype == torch.float64 else 1e-5
    torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)
    assert int(mine.num_nonzeros(ours)) == int(torch.count_nonzero(ours))


@pytest.mark.parametrize("kind", [BetaLasso, MomentumSgd])
def test_working_copies_follow_their_weights(kind):
    torch.manual_seed(0)
    weight = nn.Parameter(torch.randn(6, 4, 3, 3).contiguous(memory_format=torch.channels_last))
    optimizer = kind([weight], lr=0.1)
    optimizer.attach_working_copies([weight])
    working_copy = optimizer.working_copies[weight]
    twin = nn.Parameter(weight.detach().clone())
    plain = kind([twin], lr=0.1)
    for _ in range(3):
        working_copy.grad = torch.randn(6, 4, 3, 3).to(BF16)
        twin.grad = working_copy.grad.float()
        optimizer.step()
        plain.step()
        assert torch.equal(weight, twin)
        assert torch.equal(working_copy, weight.to(BF16))
    optimizer.zero_grad()
    assert working_copy.grad is None
    with torch.no_grad():
        weight.fill_(3.0)
    optimizer.refresh_working_copies()
    assert torch.equal(working_copy, torch.full_like(working_copy, 3.0))


@pytest.mark.parametrize("kind", [BetaLasso, MomentumSgd])
def test_without_a_kernel_the_steps_are_the_same(kind, monkeypatch):
    found = []
    for backend in ("numba", "torch"):
        monkeypatch.setattr("training.optim.fused_step.backend_name", lambda _, name=backend: name)
        torch.manual_seed(0)
        weight = nn.Parameter(torch.randn(7, 5))
        optimizer = kind([weight], lr=0.1)
        optimizer.attach_working_copies([weight])
        for _ in range(5):
            optimizer.working_copies[weight].grad = torch.randn(7, 5).to(BF16)
            optimizer.step()
        found.append((weight.detach(), optimizer.working_copies[weight].detach()))
        assert int(optimizer.num_nonzeros(weight)) == int(torch.count_nonzero(weight))
    exact = kind is BetaLasso
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=0 if exact else 1e-2, atol=0 if exact else 1e-5)


def test_a_learning_rate_may_be_a_tensor():
    weights = [nn.Parameter(torch.ones(3)) for _ in range(2)]
    for weight, lr in zip(weights, (0.25, torch.tensor(0.25)), strict=True):
        weight.grad = torch.ones(3)
        BetaLasso([weight], lr=lr, l1_coef=0.0).step()
    assert torch.equal(*weights)


def test_a_kernel_runs_on_this_machine():
    assert backend_name(torch.device("cpu")) == "numba"
    assert backend_name(torch.device("meta")) == "torch"


TRITON_SCRIPT = """
import torch
from training.optim.beta_lasso import beta_lasso_reference_step
from training.optim.fused_step import launch, sgd_pass

for dtype, low in ((torch.float32, False), (torch.float64, False), (torch.float32, True)):
    torch.manual_seed(0)
    weights = torch.randn(3000, dtype=dtype) * 0.02
    weights[::3] = 0
    weights[7] = torch.nan
    gradients = torch.randn(3000).to(torch.bfloat16 if low else dtype) * 0.05
    working_copy = torch.empty(3000, dtype=torch.bfloat16) if low else None
    expected = beta_lasso_reference_step(weights, gradients, lr=0.1, l1_coef=1e-4, beta=50)
    moved = weights.clone()
    numbers = (1e-4, 50 * 1e-4)
    count = launch("beta_lasso", moved, gradients, working_copy, lr=0.1, settings=numbers)
    assert torch.equal(moved.nan_to_num(9.0), expected.nan_to_num(9.0))
    assert int(count) == int(torch.count_nonzero(expected))
    if low:  # the interpreter cuts bits off where a device rounds
        found = working_copy.float()
        torch.testing.assert_close(found, expected, rtol=2**-7, atol=0, equal_nan=True)
    speeds = [torch.ones(3000, dtype=dtype) for _ in range(2)]
    ours, theirs = weights.clone(), weights.clone()
    launch("sgd", ours, gradients, None, speeds[0], lr=0.1, settings=(0.9, 0.5))
    full = gradients.to(dtype)
    sgd_pass(theirs, full, None, speeds[1], lr=0.1, momentum=0.9, weight_decay=0.5)
    torch.testing.assert_close(ours, theirs, equal_nan=True)
    torch.testing.assert_close(*speeds, equal_nan=True)
print("same")
"""


COMPILE_SCRIPT = """
import itertools
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from training.kernels import triton_step

for name, (wide, low) in itertools.product(
    ("beta_lasso", "sgd"), (("fp32", False), ("fp64", False), ("fp32", True))
):
    narrow = "bf16" if low else wide
    signature = {"weights": f"*{wide}", "gradients": f"*{narrow}", "working_copy": f"*{narrow}"}
    signature |= {"velocity": f"*{wide}"} if name == "sgd" else {}
    signature |= {"lr": f"*{wide}", "settings": f"*{wide}", "count": "*i64", "num_weights": "i64"}
    signature |= {"HAS_COPY": "constexpr", "BLOCK": "constexpr"}
    constants = {"HAS_COPY": low, "BLOCK": 1024}
    kernel = getattr(triton_step, name)
    source = ASTSource(fn=kernel, signature=signature, constexprs=constants)
    target = GPUTarget("cuda", 90, 32)
    code = triton.compile(source, target=target, options={"enable_fp_fusion": False}).asm["ptx"]
    assert "fma.rn" not in code
    assert ("cvt.rn.bf16" in code) == low
print("compiled")
"""


@pytest.mark.slow
@pytest.mark.process
def test_the_kernels_for_cuda_in_triton_interpreter(run_triton_script):
    assert run_triton_script(TRITON_SCRIPT, TRITON_INTERPRET="1") == "same\n"


@pytest.mark.slow
@pytest.mark.process
def test_the_kernels_compile_for_a_device_without_fused_products(run_triton_script, tmp_path):
    assert run_triton_script(COMPILE_SCRIPT, TRITON_CACHE_DIR=str(tmp_path)) == "compiled\n"


@pytest.mark.cuda
@pytest.mark.parametrize("low", [False, True])
def test_the_pass_on_cuda_has_the_bits_of_the_reference(low):
    weights, gradients = draw(100_003, torch.float32, 0)
    gradients = gradients.to(BF16) if low else gradients
    working_copy = weights.to(BF16).cuda() if low else None
    expected = beta_lasso_reference_step(weights, gradients, lr=0.1, l1_coef=1e-4, beta=50)
    moved = weights.cuda()
    count = beta_lasso_pass(
        moved,
        gradients.cuda(),
        working_copy,
        lr=torch.tensor(0.1).cuda(),
        l1_coef=1e-4,
        threshold=50 * 1e-4,
    )
    assert torch.equal(moved.cpu(), expected)
    assert int(count) == int(torch.count_nonzero(expected))
    assert working_copy is None or torch.equal(working_copy.cpu(), expected.to(BF16))


@pytest.mark.cuda
def test_sgd_on_cuda_agrees_with_the_cpu():
    weights, gradients = draw(100_003, torch.float32, 0)
    found = []
    for device in ("cpu", "cuda"):
        moved, speed = weights.to(device, copy=True), torch.ones(100_003, device=device)
        sgd_pass(moved, gradients.to(device), None, speed, lr=0.1, momentum=0.9, weight_decay=0.5)
        found.append(moved.cpu())
    torch.testing.assert_close(*found, rtol=1e-6, atol=1e-7)
