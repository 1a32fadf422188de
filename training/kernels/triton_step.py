"""The optimizers' passes in Triton's language; `training.optim.fused_step` launches them.

Loaded only where Triton is installed. Pointers come first, then the number of weights. The two
settings are read from memory in the weights' type.
"""

import triton
import triton.language as tl


@triton.jit  # type: ignore[untyped-decorator, unused-ignore]
def beta_lasso(
    weights: tl.tensor,
    gradients: tl.tensor,
    working_copy: tl.tensor,
    lr: tl.tensor,
    settings: tl.tensor,
    count: tl.tensor,
    num_weights: tl.tensor,
    HAS_COPY: tl.constexpr,  # noqa: N803  # Triton's own custom
    BLOCK: tl.constexpr,  # noqa: N803
) -> None:
    """θ ← θ - η (g + λ sign θ), then +0 where that is below the threshold; NaN stays NaN."""
    places = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = places < num_weights
    weight = tl.load(weights + places, mask=inside, other=0.0)
    gradient = tl.load(gradients + places, mask=inside, other=0.0).to(weight.dtype)
    rate, l1_coef = tl.load(lr), tl.load(settings)
    threshold = tl.load(settings + 1)
    zero = l1_coef - l1_coef
    shrinkage = tl.where(weight > 0, l1_coef, tl.where(weight < 0, -l1_coef, zero))
    moved = weight - rate * (gradient + shrinkage)
    moved = tl.where(tl.abs(moved) < threshold, zero, moved + zero)
    tl.store(weights + places, moved, mask=inside)
    if HAS_COPY:
        tl.store(working_copy + places, moved.to(tl.bfloat16), mask=inside)
    nonzero = ((moved != 0) & inside).to(tl.int64)
    tl.atomic_add(count, tl.sum(nonzero, 0))


@triton.jit  # type: ignore[untyped-decorator, unused-ignore]
def sgd(
    weights: tl.tensor,
    gradients: tl.tensor,
    working_copy: tl.tensor,
    velocity: tl.tensor,
    lr: tl.tensor,
    settings: tl.tensor,
    count: tl.tensor,
    num_weights: tl.tensor,
    HAS_COPY: tl.constexpr,  # noqa: N803
    BLOCK: tl.constexpr,  # noqa: N803
) -> None:
    """Velocity v ← μ v + (g + w θ), then θ ← θ - η v."""
    places = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = places < num_weights
    weight = tl.load(weights + places, mask=inside, other=0.0)
    gradient = tl.load(gradients + places, mask=inside, other=0.0).to(weight.dtype)
    speed = tl.load(velocity + places, mask=inside, other=0.0)
    rate, momentum = tl.load(lr), tl.load(settings)
    weight_decay = tl.load(settings + 1)
    speed = momentum * speed + (gradient + weight_decay * weight)
    moved = weight - rate * speed
    tl.store(velocity + places, speed, mask=inside)
    tl.store(weights + places, moved, mask=inside)
    if HAS_COPY:
        tl.store(working_copy + places, moved.to(tl.bfloat16), mask=inside)
    nonzero = ((moved != 0) & inside).to(tl.int64)
    tl.atomic_add(count, tl.sum(nonzero, 0))
