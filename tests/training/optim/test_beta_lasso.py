"""Algorithm 1: by hand, against the paper's form bit for bit, and against closed forms."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils import prune

from training.networks.layers import LocallyConnected2d
from training.networks.models import build_model
from training.optim import beta_lasso
from training.optim.beta_lasso import BetaLasso, beta_lasso_groups, beta_lasso_reference_step
from training.spec.architectures import NETWORKS

DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
BITS = {2: torch.int16, 4: torch.int32, 8: torch.int64}


def same_bits(one: Tensor, other: Tensor) -> bool:
    """Equality that tells -0 from 0, and counts any NaN as equal to any other."""
    kind = BITS[one.element_size()]
    equal = one.contiguous().view(kind) == other.contiguous().view(kind)
    return bool((equal | (one.isnan() & other.isnan())).all())


def take_step(theta: Tensor, grad: Tensor, **values: float) -> Tensor:
    weight = nn.Parameter(theta.clone(memory_format=torch.preserve_format))
    weight.grad = grad
    BetaLasso([weight], **values).step()
    return weight.detach()


def one_step(theta: float, grad: float, *, lr: float, l1_coef: float, beta: float) -> float:
    values = {"lr": lr, "l1_coef": l1_coef, "beta": beta}
    tensors = torch.tensor([theta]), torch.tensor([grad])
    fast = take_step(*tensors, **values)
    assert same_bits(fast, beta_lasso_reference_step(*tensors, **values))
    return float(fast)


# All numbers are binary fractions, so that nothing is rounded.


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ((1.0, 0.0, 0.125, 0.5, 0.0), 0.9375),  # 1 - η λ
        ((-1.0, 0.0, 0.125, 0.5, 0.0), -0.9375),
        ((1.0, 2.0, 0.125, 0.5, 0.0), 0.6875),  # 1 - η (2 + λ)
        ((0.0, 2.0, 0.125, 0.5, 0.0), -0.25),  # sign(0) = 0
        ((0.0625, 0.0, 0.25, 0.5, 0.0), -0.0625),  # β = 0 cuts nothing, not even across zero
        ((0.25, 0.0, 0.5, 0.25, 1.0), 0.0),  # β = 1 cuts below λ: 0.125 < 0.25
        ((0.375, 0.0, 0.5, 0.25, 1.0), 0.25),  # a tie at the threshold stays
        ((-0.375, 0.0, 0.5, 0.25, 1.0), -0.25),
        ((0.5, 0.0, 0.0, 0.25, 4.0), 0.0),  # the threshold acts at a learning rate of zero
        ((1.0, 0.0, 0.0, 0.25, 4.0), 1.0),
        ((1.0, 4.0, 0.125, 0.0, 50.0), 0.5),  # λ = 0 is gradient descent
    ],
)
def test_single_steps_by_hand(numbers: tuple[float, ...], expected: float) -> None:
    theta, grad, lr, l1_coef, beta = numbers
    assert one_step(theta, grad, lr=lr, l1_coef=l1_coef, beta=beta) == expected


@pytest.mark.parametrize("sign", [1, -1])
def test_a_zero_weight_regrows_exactly_when_its_step_reaches_the_threshold(sign: int) -> None:
    values = {"lr": 0.125, "l1_coef": 0.25, "beta": 4.0}  # Threshold 1, so |∂f| ≥ 8.
    assert one_step(0.0, sign * 8.0, **values) == -sign
    below = torch.nextafter(torch.tensor(8.0), torch.tensor(0.0)).item()
    assert one_step(0.0, sign * below, **values) == 0


def test_cut_weights_are_plus_zero_and_diverged_ones_stay_visible() -> None:
    values = {"lr": 0.125, "l1_coef": 0.5, "beta": 4.0}
    assert math.copysign(1, one_step(-1.0, 0.0, **values)) == 1
    assert math.copysign(1, one_step(-0.0, 0.0, **values)) == 1
    assert math.isnan(one_step(math.nan, 0.0, **values))
    assert math.isnan(one_step(1.0, math.nan, **values))
    assert one_step(math.inf, 0.0, **values) == math.inf
    assert one_step(1.0, math.inf, **values) == -math.inf


def test_not_made_sign_after_the_gradient_half_step() -> None:
    # Right: 1/16 - 1/8 (1 + 1/2) = -1/8. With the sign of 1/16 - 1/8 < 0: -1/16 + 1/16 = 0.
    assert one_step(0.0625, 1.0, lr=0.125, l1_coef=0.5, beta=0.0) == -0.125


def test_not_made_threshold_scaled_by_the_learning_rate() -> None:
    # 0.5 - 0.0625 = 0.4375 lies below βλ = 1 and above ηβλ = 0.125.
    assert one_step(0.5, 0.0, lr=0.125, l1_coef=0.5, beta=2.0) == 0


def test_not_made_biases_and_normalisation_shrunk_or_cut() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 2))
    for parameter in model.parameters():
        nn.init.constant_(parameter, 0.25)
        parameter.grad = torch.zeros_like(parameter)
    groups = beta_lasso.beta_lasso_groups(model, l1_conv=1.0, l1_fc=0.5, beta=50.0)
    BetaLasso(groups, lr=0.1).step()
    for name, parameter in model.named_parameters():
        is_weight = name in ("0.weight", "3.weight")
        assert torch.all(parameter == (0 if is_weight else 0.25)), name


def test_not_made_schedule_by_batches_with_its_period_in_epochs() -> None:
    from training.run.state import cosine_lr

    num_epochs, steps_per_epoch = 5, 7
    num_steps = num_epochs * steps_per_epoch
    optimizer = BetaLasso([nn.Parameter(torch.ones(1))], lr=0.1)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=num_steps)
    rates = []
    for step in range(num_steps):
        rates.append(optimizer.param_groups[0]["lr"])
        assert rates[-1] == pytest.approx(cosine_lr(0.1, step, num_steps), rel=1e-9)
        optimizer.step()
        schedule.step()  # Once a batch.
    assert rates == sorted(rates, reverse=True)  # One descent; the mistake comes back up.
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0, abs=1e-12)


def random_weights(size: int, dtype: torch.dtype, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(size, generator=generator, dtype=torch.float64).mul(0.05).to(dtype)


@pytest.mark.sample(3)
@pytest.mark.parametrize("dtype", DTYPES)
def test_fast_and_paper_forms_agree_bit_for_bit_over_hundreds_of_steps(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beta_lasso, "_CPU_BUFFER_BYTES", 1000)  # Many chunks, an odd last one.
    size, num_steps = 5003, 400
    weight = nn.Parameter(random_weights(size, dtype, 1))
    optimizer = BetaLasso([weight], lr=0.1, l1_coef=1e-3, beta=20.0)
    paper = weight.detach().clone()
    target = random_weights(size, dtype, 2) * 4
    noise = torch.Generator().manual_seed(3)
    num_regrown = 0
    for step in range(num_steps):
        lr = 0.1 * (1 + math.cos(math.pi * step / num_steps)) / 2
        optimizer.param_groups[0]["lr"] = lr
        was_zero = weight.detach() == 0
        # The gradient depends on θ, so that a single wrong bit would grow.
        wave = torch.randn(size, generator=noise, dtype=torch.float64).to(dtype) * 0.1
        weight.grad = torch.sin(weight.detach() - target) + wave
        optimizer.step()
        paper = beta_lasso_reference_step(
            paper, torch.sin(paper - target) + wave, lr=lr, l1_coef=1e-3, beta=20.0
        )
        assert same_bits(weight.detach(), paper), step
        num_regrown += int((was_zero & (weight.detach() != 0)).sum())
    assert 0 < int(torch.count_nonzero(paper)) < size
    assert num_regrown > 100


@pytest.mark.parametrize("dtype", DTYPES)
def test_ties_at_the_threshold_stay_in_every_type(dtype: torch.dtype) -> None:
    for l1_coef, beta in [(1e-5, 50.0), (2e-6, 50.0), (0.3, 1.0), (1e-3, 7.0)]:
        threshold = torch.tensor(beta * l1_coef, dtype=dtype)
        below = beta_lasso._largest_below(beta * l1_coef, dtype)
        assert below < threshold.item()
        near = torch.stack([threshold, torch.tensor(below, dtype=dtype)])
        near = torch.cat([near, -near])
        kept = take_step(near, torch.zeros(4, dtype=dtype), lr=0.0, l1_coef=l1_coef, beta=beta)
        assert kept.tolist() == [threshold.item(), 0, -threshold.item(), 0]
    below_one = torch.finfo(dtype).eps / 2
    assert beta_lasso._largest_below(1.0, dtype) == 1 - below_one
    assert beta_lasso._largest_below(0.0, dtype) == 0


def floats(dtype: torch.dtype) -> st.SearchStrategy[list[float]]:
    special = [0.0, -0.0, math.nan, math.inf, -math.inf, 0.5, -0.5, 5e-4, 1e-40, 5e-324]
    width = 64 if dtype == torch.float64 else 32
    number = st.one_of(st.sampled_from(special), st.floats(width=width), st.floats(-1, 1))
    return st.lists(number, min_size=1, max_size=70)


coefficients = st.one_of(st.sampled_from([0.0, 1e-5, 0.1, 0.25]), st.floats(0, 1e3))


@given(data=st.data(), lr=coefficients, l1_coef=coefficients, beta=coefficients)
def test_fast_and_paper_forms_agree_on_any_numbers(
    data: st.DataObject, lr: float, l1_coef: float, beta: float
) -> None:
    dtype = data.draw(st.sampled_from(DTYPES))
    theta = torch.tensor(data.draw(floats(dtype)), dtype=torch.float64).to(dtype)
    grad = torch.tensor(data.draw(floats(dtype)), dtype=torch.float64).to(dtype)
    grad = grad.repeat(len(theta) // len(grad) + 1)[: len(theta)]
    values = {"lr": lr, "l1_coef": l1_coef, "beta": beta}
    paper = beta_lasso_reference_step(theta, grad, **values)
    assert same_bits(take_step(theta, grad, **values), paper)


LAYOUTS: dict[str, Callable[[], Tensor]] = {
    "transposed": lambda: torch.randn(7, 5).t(),
    "channels_last": lambda: torch.randn(4, 3, 5, 5).to(memory_format=torch.channels_last),
    "strided": lambda: torch.randn(9, 8)[::2, ::3],
    "permuted": lambda: torch.randn(2, 3, 4, 5).permute(2, 0, 3, 1),
    "one_row": lambda: torch.randn(1, 6, 1)[:, ::2],
    "scalar": lambda: torch.tensor(0.7),
    "empty": lambda: torch.randn(0, 3),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("grad_layout", ["same", "contiguous", "expanded"])
def test_any_layout(layout: str, grad_layout: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beta_lasso, "_CPU_BUFFER_BYTES", 64)
    torch.manual_seed(0)
    theta = LAYOUTS[layout]()
    grad = torch.randn(theta.shape)
    if grad_layout == "same":
        grad = torch.empty_like(theta).copy_(grad)
    elif grad_layout == "expanded":
        grad = torch.tensor(0.3).expand(theta.shape)
    weight = nn.Parameter(theta)
    weight.grad = grad
    expected = beta_lasso_reference_step(weight.detach(), grad, lr=0.1, l1_coef=0.1, beta=5.0)
    BetaLasso([weight], lr=0.1, l1_coef=0.1, beta=5.0).step()
    assert weight.stride() == theta.stride()
    assert same_bits(weight.detach(), expected)


def test_lasso_of_a_separable_quadratic_has_the_closed_form() -> None:
    # f(θ) = Σ a (θ - b)² / 2 with λ|θ|: the minimum is sign(b) max(|b| - λ/a, 0).
    curvature = torch.tensor([1.0, 2.0, 0.5, 1.0, 4.0, 1.0], dtype=torch.float64)
    centre = torch.tensor([1.0, -0.5, 0.3, 0.1, -0.02, 0.0], dtype=torch.float64)
    lr, l1_coef = 0.01, 0.2
    minimum = centre.sign() * (centre.abs() - l1_coef / curvature).clamp(min=0)
    weight = nn.Parameter(torch.full((6,), 0.7, dtype=torch.float64))
    optimizer = BetaLasso([weight], lr=lr, l1_coef=l1_coef, beta=0.0)
    for _ in range(6000):
        weight.grad = curvature * (weight.detach() - centre)
        optimizer.step()
    off = (weight.detach() - minimum).abs()
    is_zero = minimum == 0
    assert torch.all(off[~is_zero] < 1e-12)
    # Where the minimum is zero, plain steps cross it, by at most η (λ + a |b|) each time.
    assert torch.all(off[is_zero] <= lr * (l1_coef + curvature * centre.abs())[is_zero])


def test_a_threshold_makes_the_zeros_of_the_lasso_exact() -> None:
    curvature = torch.ones(5, dtype=torch.float64)
    centre = torch.tensor([1.0, -0.8, 0.35, 0.1, 0.0], dtype=torch.float64)
    weight = nn.Parameter(centre.clone())
    optimizer = BetaLasso([weight], lr=0.01, l1_coef=0.2, beta=1.0)
    for _ in range(4000):
        weight.grad = curvature * (weight.detach() - centre)
        optimizer.step()
    # The lasso's 0.15 lies below βλ = 0.2, and η |∂f| = 0.0035 cannot bring it back.
    assert torch.allclose(weight.detach(), torch.tensor([0.8, -0.6, 0, 0, 0]).double(), atol=1e-12)
    assert weight.detach()[2:].tolist() == [0, 0, 0]


def test_without_a_penalty_it_is_gradient_descent() -> None:
    torch.manual_seed(0)
    ours, torchs = (nn.Parameter(random_weights(100, torch.float64, 3)) for _ in range(2))
    optimizers = BetaLasso([ours], lr=0.1, l1_coef=0.0), torch.optim.SGD([torchs], lr=0.1)
    for _ in range(50):
        for weight, optimizer in zip((ours, torchs), optimizers, strict=True):
            weight.grad = torch.cos(weight.detach() * 5)
            optimizer.step()
    torch.testing.assert_close(ours, torchs, rtol=1e-12, atol=1e-15)


def test_groups_take_their_own_values_and_the_defaults() -> None:
    weights = [nn.Parameter(torch.full((3,), 0.5)) for _ in range(4)]
    for weight in weights[:3]:
        weight.grad = torch.zeros(3)
    optimizer = BetaLasso(
        [{"params": weights[:1], "l1_coef": 0.0}, {"params": weights[1:2], "beta": 1.0}],
        lr=0.25,
        l1_coef=0.25,
        beta=4.0,
    )
    optimizer.add_param_group({"params": weights[2:], "lr": 0.5})
    optimizer.step()
    # No penalty; 1/2 - 1/16 above 1/4; below 1; without a gradient untouched.
    assert [weight[0].item() for weight in weights] == [0.5, 0.4375, 0.0, 0.5]


def test_closure_gives_its_loss_and_is_differentiated() -> None:
    weight = nn.Parameter(torch.tensor([2.0]))
    optimizer = BetaLasso([weight], lr=0.25, l1_coef=0.5, beta=0.0)

    def closure() -> float:
        optimizer.zero_grad()
        loss = (weight**2).sum()
        loss.backward()
        return float(loss.detach())

    assert optimizer.step(closure) == 4.0
    assert weight.tolist() == [2 - 0.25 * 4.5]


def test_state_dict_goes_round() -> None:
    def make(l1_coef: float) -> BetaLasso:
        params = [nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(3))]
        return BetaLasso(
            [{"params": params[:1], "name": "conv"}, {"params": params[1:], "l1_coef": 0.0}],
            lr=0.1,
            l1_coef=l1_coef,
            beta=3.0,
        )

    first, second = make(0.25), make(0.5)
    first.param_groups[0]["lr"] = 0.05
    saved = first.state_dict()
    assert saved["state"] == {}
    second.load_state_dict(saved)
    assert second.state_dict() == saved
    assert second.param_groups[0]["params"][0] is not first.param_groups[0]["params"][0]


def test_refuses_the_state_of_another_optimizer() -> None:
    weight = nn.Parameter(torch.ones(2))
    optimizer = BetaLasso([weight], lr=0.1)
    with pytest.raises(ValueError, match="lacks l1_coef; it is not one of BetaLasso's"):
        optimizer.load_state_dict(torch.optim.SGD([weight], lr=0.3).state_dict())
    assert optimizer.param_groups[0]["lr"] == 0.1


@pytest.mark.parametrize("name", ["lr", "l1_coef", "beta"])
@pytest.mark.parametrize("value", [-1e-9, math.nan, math.inf, "0.1", None, True, torch.ones(2)])
def test_refuses_values_outside_their_range(name: str, value: Any) -> None:
    weight = nn.Parameter(torch.ones(2))
    with pytest.raises(ValueError, match=f"^{name} must be a finite number >= 0"):
        BetaLasso([weight], **{name: value})
    with pytest.raises(ValueError, match=f"^{name} must be a finite number >= 0"):
        BetaLasso([{"params": [weight], name: value}])


def test_refuses_sparse_and_complex_before_anything_moves() -> None:
    first = nn.Parameter(torch.ones(2))
    first.grad = torch.ones(2)
    table = nn.Embedding(4, 2, sparse=True)
    table(torch.tensor([1])).sum().backward()
    with pytest.raises(ValueError, match=r"dense gradients, not torch\.sparse_coo"):
        BetaLasso([first, table.weight], lr=0.1).step()
    turning = nn.Parameter(torch.ones(2, dtype=torch.complex64))
    turning.grad = torch.ones(2, dtype=torch.complex64)
    with pytest.raises(ValueError, match=r"not torch.complex64; .* torch.view_as_real"):
        BetaLasso([first, turning], lr=0.1).step()
    assert first.tolist() == [1, 1]


@pytest.mark.cuda
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_step_on_a_gpu_has_the_bits_of_the_step_on_a_cpu(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beta_lasso, "_DEVICE_BUFFER_BYTES", 4096)
    theta, grad = random_weights(10_001, dtype, 1), random_weights(10_001, dtype, 2)
    values = {"lr": 0.1, "l1_coef": 1e-3, "beta": 20.0}
    on_gpu = take_step(theta.cuda(), grad.cuda(), **values)
    paper = beta_lasso_reference_step(theta.cuda(), grad.cuda(), **values)
    assert same_bits(on_gpu, paper)
    assert same_bits(on_gpu.cpu(), take_step(theta, grad, **values))


def group_names(model: nn.Module, **values: float) -> dict[str, str]:
    """Group of every parameter by its name; each must be in one group, once."""
    values = {"l1_conv": 2e-5, "l1_fc": 1e-5, "beta": 50.0, **values}
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    found: dict[str, str] = {}
    for group in beta_lasso_groups(model, **values):
        assert group["params"]
        for parameter in group["params"]:
            name = names[id(parameter)]
            assert name not in found
            found[name] = group["name"]
    return found


def small_model(name: str) -> nn.Module:
    width = {"hidden_units": 2} if name == "3-fc" else {"base_channels": 1}
    return build_model(name, image_size=8, num_classes=3, **width)


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_are_grouped_by_their_table_of_layers(name: str) -> None:
    model = small_model(name)
    found = group_names(model)
    assert found.keys() == dict(model.named_parameters()).keys()
    expected = {f"{layer.name}.weight": layer.group for layer in model.spec.layers}  # type: ignore[union-attr]
    assert found == {key: expected.get(key, "rest") for key in found}
    assert ("conv" in found.values()) == (name != "3-fc")


def test_values_of_the_groups() -> None:
    groups = beta_lasso_groups(small_model("s-fc"), l1_conv=2e-5, l1_fc=1e-5, beta=50.0)
    values = [(group["name"], group["l1_coef"], group["beta"]) for group in groups]
    assert values == [("conv", 2e-5, 50.0), ("fc", 1e-5, 50.0), ("rest", 0.0, 0.0)]


def test_other_models_are_grouped_by_the_types_of_their_layers() -> None:
    model = nn.ModuleDict(
        {
            "conv": nn.Conv1d(1, 2, 3),
            "up": nn.ConvTranspose3d(1, 2, 3),
            "local": LocallyConnected2d(1, 2, 4, 3),
            "linear": nn.Linear(2, 2),
            "embedding": nn.Embedding(2, 2),
            "norm": nn.LayerNorm(2),
            "inner": nn.Sequential(small_model("s-fc")),
        }
    )
    found = group_names(model)
    assert {name for name, group in found.items() if group == "conv"} == {
        "conv.weight",
        "up.weight",
        "local.weight",
        "inner.0.conv1.weight",
    }
    assert {name for name, group in found.items() if group == "fc"} == {
        "linear.weight",
        "inner.0.fc1.weight",
        "inner.0.fc2.weight",
    }
    assert found.keys() == dict(model.named_parameters()).keys()


def test_a_shared_weight_is_there_once() -> None:
    first, second = nn.Linear(3, 3), nn.Linear(3, 3)
    second.weight = first.weight
    assert group_names(nn.Sequential(first, second)) == {
        "0.weight": "fc",
        "0.bias": "rest",
        "1.bias": "rest",
    }


def test_frozen_parameters_and_empty_groups_are_left_out() -> None:
    model = nn.Sequential(nn.Conv2d(1, 1, 1), nn.Linear(2, 2, bias=False))
    model[0].requires_grad_(False)
    assert group_names(model) == {"1.weight": "fc"}
    model.requires_grad_(False)
    with pytest.raises(ValueError, match="Sequential has no parameter that asks for a gradient"):
        group_names(model)


def test_a_pruned_weight_is_shrunk_in_its_original() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(16, 2))
    for layer in (model[0], model[2]):
        prune.l1_unstructured(layer, "weight", 0.5)
    prune.random_unstructured(model[2], "bias", 0.5)
    assert group_names(model) == {
        "0.bias": "rest",
        "0.weight_orig": "conv",
        "2.weight_orig": "fc",
        "2.bias_orig": "rest",
    }
    network = small_model("s-fc")
    expected = group_names(network)
    prune.l1_unstructured(network.get_submodule("conv1"), "weight", 0.5)
    assert group_names(network).pop("conv1.weight_orig") == expected["conv1.weight"] == "conv"


def test_pruned_weights_stay_cut_as_the_rest_shrinks() -> None:
    layer = nn.Linear(8, 4, bias=False)
    prune.l1_unstructured(layer, "weight", 0.5)
    kept, before = layer.weight_mask.bool(), layer.weight_orig.detach().clone()
    optimizer = BetaLasso(beta_lasso_groups(layer, l1_conv=0.0, l1_fc=1e-2, beta=2.0), lr=0.1)
    layer(torch.zeros(1, 8)).sum().backward()
    optimizer.step()
    layer(torch.zeros(1, 8))
    expected = beta_lasso_reference_step(
        before, torch.zeros_like(before), lr=0.1, l1_coef=1e-2, beta=2.0
    )
    assert torch.equal(layer.weight, expected * kept)


@pytest.mark.parametrize(
    "wrap",
    [
        nn.utils.parametrizations.weight_norm,
        nn.utils.parametrizations.orthogonal,
        nn.utils.parametrizations.spectral_norm,
    ],
)
def test_a_weight_that_is_computed_is_named(wrap: Callable[[nn.Module], nn.Module]) -> None:
    model = nn.Sequential(nn.Linear(2, 2), wrap(nn.Linear(2, 2)))
    with pytest.raises(
        ValueError, match=r"the weight of layer 1 is computed from parametriz"
    ) as told:
        group_names(model)
    assert "\n" not in str(told.value)
    model[1].requires_grad_(False)
    assert group_names(model) == {"0.weight": "fc", "0.bias": "rest"}


def test_a_weight_that_is_a_buffer_is_nothing_to_shrink() -> None:
    layer = nn.Linear(2, 2)
    weight = layer.weight.detach()
    del layer.weight
    layer.register_buffer("weight", weight)
    assert group_names(layer) == {"bias": "rest"}


@pytest.mark.parametrize("value", [np.float32(0.25), np.int64(1), torch.tensor(0.5)])
def test_groups_take_numbers_of_any_kind(value: Any) -> None:
    groups = beta_lasso_groups(nn.Linear(2, 2), l1_conv=value, l1_fc=value, beta=value)
    assert (groups[0]["l1_coef"], groups[0]["beta"]) == (float(value), float(value))
    assert type(groups[0]["beta"]) is float


def test_wrapped_networks_are_looked_through() -> None:
    network = small_model("s-fc")
    wrapped = torch.compile(network, backend="eager")
    found = group_names(wrapped)  # type: ignore[arg-type]
    assert found == {f"_orig_mod.{name}": group for name, group in group_names(network).items()}


@pytest.mark.parametrize("name", ["l1_conv", "l1_fc", "beta"])
@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
def test_groups_refuse_values_outside_their_range(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"^{name} must be a finite number >= 0"):
        group_names(nn.Linear(2, 2), **{name: value})
