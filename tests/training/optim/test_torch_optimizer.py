"""Both optimizers as optimizers of torch: what works with `torch.optim.SGD` works with them.

Without a penalty both take the steps of `torch.optim.SGD`, which is the other route here.
"""

import copy
import io
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Partial, Replicate, distribute_tensor
from torch.optim import lr_scheduler
from torch.optim.swa_utils import SWALR, AveragedModel

from training.optim import fused_step
from training.optim.beta_lasso import BetaLasso, beta_lasso_reference_step
from training.optim.sgd import MomentumSgd
from training.optim.working_copies import LowPrecisionNetwork, MixedPrecisionOptimizer
from training.sparse.weight import SparseLinear, SparseWeight

Make = Callable[..., torch.optim.Optimizer]


def beta_lasso(params: Any, **settings: Any) -> BetaLasso:
    return BetaLasso(params, **{"lr": 0.1, "l1_coef": 0.0} | settings)


def momentum_sgd(params: Any, **settings: Any) -> MomentumSgd:
    return MomentumSgd(params, **{"lr": 0.1, "momentum": 0.5, "weight_decay": 0.25} | settings)


def twin_of(make: Make) -> Make:
    """The optimizer of torch that takes the same steps."""
    own = {} if make is beta_lasso else {"momentum": 0.5, "weight_decay": 0.25}
    return lambda params, **settings: torch.optim.SGD(params, **{"lr": 0.1} | own | settings)


BOTH = pytest.mark.parametrize("make", [beta_lasso, momentum_sgd])


def small_network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 2))


def loss_of(network: nn.Module) -> Tensor:
    inputs = torch.linspace(-1, 1, 15).reshape(3, 5)
    return (network(inputs) ** 2).mean()


def train(network: nn.Module, optimizer: torch.optim.Optimizer, num_steps: int = 3) -> list[Tensor]:
    for _ in range(num_steps):
        optimizer.zero_grad()
        loss_of(network).backward()
        optimizer.step()
    return [parameter.detach().clone() for parameter in network.parameters()]


def assert_same(found: list[Tensor], expected: list[Tensor]) -> None:
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


# A step is a change in place.

CHANGED = "modified by an inplace operation"


def write_like_triton(
    kernel: str, weights: Tensor, gradients: Tensor, working_copy: Tensor | None, *_: Any, **__: Any
) -> Tensor:
    """A kernel that autograd does not see."""
    for tensor in [weights] if working_copy is None else [weights, working_copy]:
        tensor.data.sub_(gradients)
    return torch.zeros((), dtype=torch.int64)


@pytest.mark.parametrize("backend", ["numba", "torch", "triton"])
@pytest.mark.parametrize("low_precision", [False, True])
@BOTH
def test_a_backward_pass_through_weights_that_moved_is_refused(
    make: Make, low_precision: bool, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fused_step, "backend_name", lambda _: backend)
    monkeypatch.setattr(fused_step, "launch", write_like_triton)
    first, second = nn.Linear(4, 4, bias=False), nn.Linear(4, 1, bias=False)
    optimizer = make(second.parameters())
    assert isinstance(optimizer, MixedPrecisionOptimizer)
    inputs, head = torch.tanh(first(torch.ones(8, 4))), second
    if low_precision:
        optimizer.attach_working_copies(second.parameters())
        copies = {"weight": optimizer.working_copies[second.weight]}
        inputs, head = inputs.to(torch.bfloat16), LowPrecisionNetwork(second, copies)
    outputs = head(inputs)
    outputs.square().mean().backward(retain_graph=True)
    optimizer.step()
    with pytest.raises(RuntimeError, match=CHANGED):
        outputs.mean().backward()


@pytest.mark.parametrize("low_precision", [False, True])
def test_a_backward_pass_through_a_sparse_weight_that_moved_is_refused(low_precision: bool) -> None:
    layer = SparseLinear(SparseWeight(torch.eye(4), low_precision=low_precision))
    inputs = torch.ones(8, 4, requires_grad=True)
    outputs = layer(inputs)
    outputs.square().mean().backward(retain_graph=True)
    layer.take_step(lr=0.1, l1_coef=1e-3, beta=2.0)
    with pytest.raises(RuntimeError, match=CHANGED):
        outputs.mean().backward()


# Copies of an optimizer, and what it saves.

COPIES: dict[str, Callable[[Any], Any]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda both: pickle.loads(pickle.dumps(both)),
}


@pytest.mark.parametrize("how", COPIES)
@BOTH
def test_a_copy_continues_as_its_model_does(make: Make, how: str) -> None:
    network = small_network()
    optimizer = make(network.parameters())
    assert isinstance(optimizer, MixedPrecisionOptimizer)
    weight = network[0].weight
    optimizer.attach_working_copies([weight])
    optimizer.working_copies[weight].grad = torch.ones_like(weight, dtype=torch.bfloat16)
    optimizer.step()
    copied_network, copied = COPIES[how]((network, optimizer))
    copied = copy.copy(optimizer) if how == "copy" else copied
    copied_weight = copied_network[0].weight
    assert int(copied.num_nonzeros(copied_weight)) == weight.numel()
    assert copied.state_dict().keys() == optimizer.state_dict().keys()
    copied.zero_grad()
    assert copied.gradient_of(copied_weight) is None
    for each, parameter in ((copied, copied_weight), (optimizer, weight)):
        each.working_copies[parameter].grad = torch.ones_like(parameter, dtype=torch.bfloat16)
        if how != "copy" or each is copied:
            each.step()
    assert torch.equal(copied_weight, weight)
    assert torch.equal(copied.working_copies[copied_weight], weight.to(torch.bfloat16))


@BOTH
def test_a_state_dict_goes_through_a_file_of_weights_only(make: Make) -> None:
    settings = {"lr": np.float32(0.25)}
    network = small_network()
    optimizer = make(network.parameters(), **settings)
    train(network, optimizer)
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    other = copy.deepcopy(network)
    resumed = make(other.parameters(), lr=1.0)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    assert all(
        torch.equal(*each)
        for each in zip(train(network, optimizer), train(other, resumed), strict=True)
    )


@BOTH
def test_a_state_from_before_maximize_loads(make: Make) -> None:
    network = small_network()
    optimizer = make(network.parameters())
    saved = optimizer.state_dict()
    for group in saved["param_groups"]:
        del group["maximize"]
    optimizer.load_state_dict(saved)
    train(network, optimizer)


def test_the_state_of_torchs_sgd_continues_in_ours() -> None:
    network, other = small_network(), small_network()
    theirs = twin_of(momentum_sgd)(network.parameters())
    train(network, theirs)
    ours = MomentumSgd(other.parameters())
    other.load_state_dict(network.state_dict())
    ours.load_state_dict(copy.deepcopy(theirs.state_dict()))
    assert_same(train(other, ours), train(network, theirs))
    for flag, told in (("nesterov", "False"), ("dampening", r"0\.0")):
        saved = theirs.state_dict()
        saved["param_groups"][0][flag] = 0.5 if flag == "dampening" else True
        with pytest.raises(ValueError, match=f"^{flag} must be {told}: MomentumSgd has no"):
            ours.load_state_dict(saved)
    assert_same(train(other, ours), train(network, theirs))


def test_the_state_of_another_optimizer_changes_nothing() -> None:
    network = small_network()
    ours = MomentumSgd(network.parameters(), lr=0.5)
    with pytest.raises(ValueError, match="lacks momentum; it is not one of MomentumSgd's"):
        ours.load_state_dict(torch.optim.Adam(network.parameters()).state_dict())
    assert ours.param_groups[0]["lr"] == 0.5


def test_a_hook_may_mend_a_state_dict_before_it_loads() -> None:
    weight = nn.Parameter(torch.ones(2))
    optimizer = BetaLasso([weight])

    def mend(_: Any, state: dict[str, Any]) -> None:
        for group in state["param_groups"]:
            group.update(l1_coef=0.5, beta=1.0)

    optimizer.register_load_state_dict_pre_hook(mend)
    optimizer.load_state_dict(torch.optim.SGD([weight], lr=0.3).state_dict())
    assert optimizer.param_groups[0]["l1_coef"] == 0.5


# torch.compile and DTensor.


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, as it compiles
@pytest.mark.parametrize("whole_loop", [False, True])
@BOTH
def test_compiled_steps_are_the_same(make: Make, whole_loop: bool) -> None:
    network, other = small_network(), small_network()
    optimizer = make(other.parameters())
    expected = train(network, make(network.parameters()))

    def take_step() -> None:
        optimizer.zero_grad()
        loss_of(other).backward()
        optimizer.step()

    if whole_loop:
        compiled = torch.compile(take_step, backend="eager")
        for _ in range(3):
            compiled()
    else:
        optimizer.step = torch.compile(optimizer.step, backend="eager")  # type: ignore[method-assign]
        train(other, optimizer)
    torch._dynamo.reset()
    found = [parameter.detach() for parameter in other.parameters()]
    assert all(torch.equal(*each) for each in zip(found, expected, strict=True))


@pytest.fixture
def mesh() -> Iterator[DeviceMesh]:
    """A group of this process alone."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield init_device_mesh("cpu", (1,))
    dist.destroy_process_group()


@BOTH
def test_fully_sharded_weights_move_as_whole_ones(make: Make, mesh: DeviceMesh) -> None:
    network, sharded = small_network(), small_network()
    expected = train(network, make(network.parameters()))
    fully_shard(sharded, mesh=mesh)
    optimizer = make(sharded.parameters())
    version = next(sharded.parameters())._version
    found = train(sharded, optimizer)
    assert next(sharded.parameters())._version > version
    assert all(
        torch.equal(one.full_tensor(), other)  # type: ignore[attr-defined]
        for one, other in zip(found, expected, strict=True)
    )
    state = optimizer.state_dict()["state"]
    assert all(isinstance(each["momentum_buffer"], DTensor) for each in state.values())


@BOTH
def test_partial_gradients_are_added_up_and_partial_weights_refused(
    make: Make, mesh: DeviceMesh
) -> None:
    weight = nn.Parameter(distribute_tensor(torch.ones(3), mesh, [Replicate()]))
    gradient = DTensor.from_local(torch.ones(3), mesh, [Partial()])
    weight.grad = gradient
    make([weight], lr=0.5).step()
    plain = nn.Parameter(torch.ones(3))
    plain.grad = torch.ones(3)
    make([plain], lr=0.5).step()
    assert torch.equal(weight.full_tensor(), plain)  # type: ignore[attr-defined]
    partial = nn.Parameter(gradient)
    partial.grad = gradient
    with pytest.raises(ValueError, match="sharded or replicated, not partial"):
        make([partial]).step()


def test_the_state_dict_of_distributed_checkpoints(mesh: DeviceMesh) -> None:
    network = small_network()
    found = get_optimizer_state_dict(network, BetaLasso(network.parameters(), beta=0.0))
    assert found["state"] == {}
    assert found["param_groups"][0]["params"] == [name for name, _ in network.named_parameters()]


# Settings and flags.

NUMBERS = (
    np.float64(0.25),
    np.float32(0.25),
    np.float16(0.25),
    np.array(0.25),
    torch.tensor(0.25),
    torch.tensor([0.25]),
    np.int64(1),
    np.uint8(1),
    1,
)


@pytest.mark.parametrize("value", NUMBERS, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("name", ["lr", "l1_coef", "beta", "momentum", "weight_decay"])
def test_numbers_of_any_kind_are_taken(name: str, value: Any) -> None:
    found = []
    for each in (value, float(value)):
        weight = nn.Parameter(torch.ones(3))
        weight.grad = torch.full((3,), 0.25)
        make = beta_lasso if name in ("lr", "l1_coef", "beta") else momentum_sgd
        optimizer = make([{"params": [weight], name: each}])
        optimizer.step()
        found.append(weight.detach())
        if name != "lr" or not isinstance(value, Tensor):
            assert type(optimizer.param_groups[0][name]) is float
    assert torch.equal(*found)


@pytest.mark.parametrize("value", [-1, 10**400, np.nan, np.bool_(True), torch.tensor(-1.0), "1"])
@pytest.mark.parametrize("name", ["lr", "momentum", "weight_decay"])
def test_momentum_sgd_refuses_values_outside_their_range(name: str, value: Any) -> None:
    weight = nn.Parameter(torch.ones(2))
    with pytest.raises(ValueError, match=f"^{name} must be a finite number >= 0, not "):
        MomentumSgd([weight], **{name: value})


@BOTH
def test_a_refused_array_is_told_in_one_line(make: Make) -> None:
    with pytest.raises(ValueError, match=r"^lr must be a finite number") as told:
        make([nn.Parameter(torch.ones(2))], lr=torch.ones(9, 9))
    assert "\n" not in str(told.value)


@BOTH
def test_maximize_climbs_as_torchs_sgd(make: Make) -> None:
    network, other = small_network(), small_network()
    found = train(network, make(network.parameters(), maximize=True))
    expected = train(other, twin_of(make)(other.parameters(), maximize=True))
    assert_same(found, expected)


@pytest.mark.parametrize("flag", ["foreach", "fused", "capturable"])
@pytest.mark.parametrize("value", [False, True, None])
@BOTH
def test_flags_that_choose_a_form_change_nothing(make: Make, flag: str, value: bool) -> None:
    network, other = small_network(), small_network()
    found = train(network, make(network.parameters(), **{flag: value}))
    expected = train(other, make(other.parameters()))
    assert all(torch.equal(*each) for each in zip(found, expected, strict=True))


@BOTH
def test_flags_that_change_the_step_are_refused(make: Make) -> None:
    weight = nn.Parameter(torch.ones(2))
    rule = "^differentiable must be False: [A-Za-z]+ has no such step$"
    for params, settings in (
        ([weight], {"differentiable": True}),
        ([{"params": [weight], "differentiable": True}], {}),
    ):
        with pytest.raises(ValueError, match=rule):
            make(params, **settings)
    with pytest.raises(TypeError, match="has no setting 'learning_rate'"):
        make([weight], learning_rate=0.1)


# What a parameter may be.


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_momentum_sgd_takes_every_floating_point_type(dtype: torch.dtype) -> None:
    found = []
    for make in (momentum_sgd, twin_of(momentum_sgd)):
        weight = nn.Parameter(torch.linspace(-1, 1, 50).to(dtype))
        optimizer = make([weight])
        for _ in range(3):
            weight.grad = torch.cos(weight.detach())
            optimizer.step()
        found.append(weight.detach())
    torch.testing.assert_close(*found)


def test_momentum_sgd_turns_complex_weights_as_torchs() -> None:
    found = []
    for make in (momentum_sgd, twin_of(momentum_sgd)):
        weight = nn.Parameter(torch.tensor([1 + 2j, -0.5j]))
        weight.grad = torch.tensor([1j, 2.0 + 0j]).conj()
        make([weight]).step()
        found.append(weight.detach())
    torch.testing.assert_close(*found)


@BOTH
def test_types_and_layouts_it_does_not_take_are_told_before_anything_moves(make: Make) -> None:
    first = nn.Parameter(torch.ones(2))
    first.grad = torch.ones(2)
    tiny = nn.Parameter(torch.ones(2).to(torch.float8_e4m3fn))
    tiny.grad = torch.ones(2).to(torch.float8_e4m3fn)
    with pytest.raises(ValueError, match=r"not torch\.float8_e4m3fn; keep its master weight in fl"):
        make([first, tiny]).step()
    table = nn.Embedding(4, 2, sparse=True)
    table(torch.tensor([1])).sum().backward()
    with pytest.raises(ValueError, match=r"dense gradients, not torch\.sparse_coo; .*sparse=False"):
        make([first, table.weight]).step()
    assert first.tolist() == [1, 1]
    frozen = nn.Parameter(torch.ones(2, dtype=torch.int8), requires_grad=False)
    make([first, frozen, tiny.requires_grad_(False), nn.Parameter(torch.empty(0))]).zero_grad()


@BOTH
def test_memory_that_is_laid_out_anew_between_steps_still_moves(make: Make) -> None:
    found = []
    for kind in (make, twin_of(make)):
        weight = nn.Parameter(torch.linspace(-1, 1, 96).reshape(2, 3, 4, 4))
        optimizer = kind([weight])
        if isinstance(optimizer, MixedPrecisionOptimizer):
            optimizer.attach_working_copies([weight])
        for form in (torch.channels_last, torch.contiguous_format, torch.channels_last):
            gradient = torch.cos(weight.detach()).to(torch.bfloat16)
            if isinstance(optimizer, MixedPrecisionOptimizer):
                optimizer.working_copies[weight].grad = gradient
            else:
                weight.grad = gradient.float()
            optimizer.step()
            if isinstance(optimizer, MixedPrecisionOptimizer):
                assert torch.equal(optimizer.working_copies[weight], weight.to(torch.bfloat16))
            weight.data = weight.data.contiguous(memory_format=form)
        found.append(weight.detach())
    torch.testing.assert_close(*found, rtol=1e-5, atol=1e-6)


@BOTH
def test_weights_that_change_their_type_between_steps_still_move(make: Make) -> None:
    found = []
    for kind in (make, twin_of(make)):
        weight = nn.Parameter(torch.ones(20))
        optimizer = kind([weight])
        for dtype in (torch.float32, torch.float64, torch.float16):
            weight.data = weight.data.to(dtype)
            weight.grad = torch.ones(20, dtype=dtype)
            optimizer.step()
        found.append(weight.detach())
    torch.testing.assert_close(*found)


@BOTH
def test_expanded_weights_are_refused_as_torch_does(make: Make) -> None:
    weight = nn.Parameter(torch.ones(1).expand(4))
    weight.grad = torch.ones(4)
    with pytest.raises(RuntimeError, match="refers to a single memory location"):
        make([weight]).step()


@BOTH
def test_negated_views_of_gradients(make: Make) -> None:
    weight, plain = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    weight.grad = torch.tensor([1 + 2j, 1 + 3j]).conj().imag
    assert weight.grad.is_neg()
    plain.grad = torch.tensor([-2.0, -3.0])
    make([weight, plain]).step()
    torch.testing.assert_close(weight, plain)


@BOTH
def test_weights_without_memory_of_their_own(make: Make) -> None:
    weight = nn.Parameter(torch.ones(3, device="meta"))
    weight.grad = torch.ones_like(weight)
    make([weight]).step()
    torch.set_default_device("meta")
    try:
        for dtype in (torch.float32, torch.bfloat16):
            real = nn.Parameter(torch.ones(3, device="cpu", dtype=dtype))
            real.grad = torch.ones_like(real)
            make([real]).step()
            assert real.tolist() != [1, 1, 1]
    finally:
        torch.set_default_device(None)


# What a training loop has around an optimizer.

SCHEDULERS: dict[str, Callable[[torch.optim.Optimizer], Any]] = {
    "lambda": lambda each: lr_scheduler.LambdaLR(each, lambda step: np.float32(0.9) ** step),
    "multiplicative": lambda each: lr_scheduler.MultiplicativeLR(each, lambda _: 0.9),
    "step": lambda each: lr_scheduler.StepLR(each, 3),
    "multi step": lambda each: lr_scheduler.MultiStepLR(each, [2, 5]),
    "constant": lr_scheduler.ConstantLR,
    "linear": lr_scheduler.LinearLR,
    "exponential": lambda each: lr_scheduler.ExponentialLR(each, 0.8),
    "polynomial": lambda each: lr_scheduler.PolynomialLR(each, 8),
    "cosine": lambda each: lr_scheduler.CosineAnnealingLR(each, 8),
    "warm restarts": lambda each: lr_scheduler.CosineAnnealingWarmRestarts(each, 3),
    "cyclic": lambda each: lr_scheduler.CyclicLR(each, 0.01, 0.1, 3, cycle_momentum=False),
    "one cycle": lambda each: lr_scheduler.OneCycleLR(
        each, 0.1, total_steps=9, cycle_momentum=False
    ),
    "plateau": lambda each: lr_scheduler.ReduceLROnPlateau(each, patience=0),
    "chained": lambda each: lr_scheduler.ChainedScheduler(
        [lr_scheduler.StepLR(each, 2), lr_scheduler.ConstantLR(each)]
    ),
    "sequential": lambda each: lr_scheduler.SequentialLR(
        each, [lr_scheduler.ConstantLR(each), lr_scheduler.ExponentialLR(each, 0.9)], [4]
    ),
    "averaged": lambda each: SWALR(each, swa_lr=0.01, anneal_epochs=3),
}


@pytest.mark.parametrize("rate", [0.1, torch.tensor(0.1)], ids=["number", "tensor"])
@pytest.mark.parametrize("name", SCHEDULERS)
@BOTH
def test_schedules_of_the_learning_rate(make: Make, name: str, rate: Any) -> None:
    found = []
    for kind in (make, twin_of(make)):
        weight = nn.Parameter(torch.linspace(-1, 1, 9))
        optimizer = kind([weight], lr=copy.deepcopy(rate))
        schedule = SCHEDULERS[name](optimizer)
        for _ in range(8):
            weight.grad = torch.cos(weight.detach())
            optimizer.step()
            schedule.step(*([1.0] if name == "plateau" else []))
        found.append((weight.detach(), torch.tensor(float(optimizer.param_groups[0]["lr"]))))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_schedules_of_the_momentum() -> None:
    found = []
    for kind in (momentum_sgd, twin_of(momentum_sgd)):
        network = small_network()
        optimizer = kind(network.parameters())
        schedule = lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=4)
        for _ in range(3):
            train(network, optimizer, 1)
            schedule.step()
        found.append(train(network, optimizer, 1))
    assert_same(*found)
    with pytest.raises(ValueError, match="must support momentum"):
        lr_scheduler.OneCycleLR(beta_lasso([nn.Parameter(torch.ones(1))]), 0.1, total_steps=4)


@BOTH
def test_hooks_around_a_step_and_in_the_backward_pass(make: Make) -> None:
    network, other = small_network(), small_network()
    expected = train(network, make(network.parameters()))
    optimizers = {parameter: make([parameter]) for parameter in other.parameters()}
    heard = []
    for parameter, optimizer in optimizers.items():
        optimizer.register_step_pre_hook(lambda *_: heard.append("before"))
        optimizer.register_step_post_hook(lambda *_: heard.append("after"))

        def on_gradient(parameter: Tensor) -> None:
            own = optimizers.get(parameter)
            assert own is not None
            own.step()
            own.zero_grad()

        parameter.register_post_accumulate_grad_hook(on_gradient)
    for _ in range(3):
        loss_of(other).backward()
    assert heard == ["before", "after"] * 12
    found = [parameter.detach() for parameter in other.parameters()]
    assert all(torch.equal(*each) for each in zip(found, expected, strict=True))


@BOTH
def test_scaled_losses_and_clipped_gradients(make: Make) -> None:
    found = []
    for kind in (make, twin_of(make)):
        network = small_network()
        optimizer, scaler = kind(network.parameters()), torch.amp.GradScaler("cpu", init_scale=8.0)
        for factor in (1.0, float("inf"), 1.0):  # the second step is left out
            optimizer.zero_grad()
            scaler.scale(loss_of(network) * factor).backward()
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(network.parameters(), 0.1)
            scaler.step(optimizer)
            scaler.update()
        found.append([parameter.detach() for parameter in network.parameters()])
    assert_same(*found)


@BOTH
def test_working_copies_and_scaled_losses_do_not_go_together(make: Make) -> None:
    network = small_network()
    optimizer, scaler = make(network.parameters()), torch.amp.GradScaler("cpu")
    assert isinstance(optimizer, MixedPrecisionOptimizer)
    optimizer.attach_working_copies([network[0].weight])
    scaler.scale(loss_of(network)).backward()
    with pytest.raises(ValueError, match="working copies need no loss scaling"):
        scaler.step(optimizer)


@BOTH
def test_averages_groups_added_late_and_two_optimizers(make: Make) -> None:
    found = []
    for kind in (make, twin_of(make)):
        network = small_network()
        first, second = kind(network[0].parameters()), kind(network[2].named_parameters())
        averaged = AveragedModel(network)
        loss_of(network).backward()
        second.step()
        late = nn.Parameter(torch.ones(2))
        late.grad = torch.ones(2)
        first.add_param_group({"params": late, "lr": 0.5})
        first.step()
        averaged.update_parameters(network)
        found.append([*averaged.module.parameters(), *network.parameters(), late])
    assert_same(*found)


def test_gradients_of_torch_func() -> None:
    network = small_network()
    parameters = dict(network.named_parameters())
    optimizer = beta_lasso(parameters.values(), l1_coef=1e-3, beta=20.0)
    inputs = torch.ones(3, 5)

    def loss(values: dict[str, Tensor]) -> Tensor:
        return torch.func.functional_call(network, values, (inputs,)).square().mean()

    before = {name: parameter.detach().clone() for name, parameter in parameters.items()}
    gradients = torch.func.grad(loss)(parameters)
    for name, parameter in parameters.items():
        parameter.grad = gradients[name]
    optimizer.step()
    for name, parameter in parameters.items():
        expected = beta_lasso_reference_step(
            before[name], gradients[name].detach(), lr=0.1, l1_coef=1e-3, beta=20.0
        )
        assert torch.equal(parameter, expected)


@BOTH
def test_gradients_kept_at_zero_lose_their_graph(make: Make) -> None:
    weight = nn.Parameter(torch.ones(2))
    optimizer = make([weight])
    assert isinstance(optimizer, MixedPrecisionOptimizer)
    optimizer.attach_working_copies([weight])
    working_copy = optimizer.working_copies[weight]
    (working_copy.grad,) = torch.autograd.grad(
        (working_copy**2).sum(), working_copy, create_graph=True
    )
    optimizer.step()
    optimizer.zero_grad(set_to_none=False)
    assert working_copy.grad.tolist() == [0, 0]
    assert working_copy.grad.grad_fn is None
