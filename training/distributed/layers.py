"""BatchNorm and dropout over the batch of all ranks, on any device, in any floating-point type.

torch's own SyncBatchNorm wants CUDA. Here every rank sends its mean and variance of each feature,
and all merge them in the order of the ranks by Chan, Golub and LeVeque's rule:

    μ = Σ n_r μ_r / n,    σ² = Σ n_r (σ_r² + (μ_r - μ)²) / n,    n = Σ n_r.

With x̂ = (x - μ) / √(σ² + ε) and y = w x̂ + b, the gradient is

    ∂x = w / √(σ² + ε) · (∂y - (Σ ∂y + x̂ Σ ∂y x̂) / n)

with sums over all ranks, while those for w and b stay sums over this rank's rows: they are added
up with the gradients of all other parameters.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from training.distributed.ranks import BatchPart, Ranks
from training.networks.models import Network


def span_ranks(network: Network, ranks: Ranks, *, num_images: int) -> None:
    """Let BatchNorm and dropout see the batch of all ranks: `num_images`, of which each has rows.

    Names and tensors of the network stay as they are. One rank alone leaves it as it is.

    Raises:
        ValueError: Fewer images than ranks.
    """
    if ranks.size == 1:
        return
    if num_images < ranks.size:
        raise ValueError(f"batch_size must be at least the {ranks.size} ranks, not {num_images}")
    for name, module in list(network.named_children()):
        if isinstance(module, _BatchNorm):
            network.set_submodule(name, RanksBatchNorm(module))
        elif isinstance(module, nn.Dropout):
            network.set_submodule(name, RanksDropout(module.p, ranks.part(num_images)))


class RanksBatchNorm(nn.Module):
    """Takes the place, parameters and statistics of a BatchNorm, and norms over all ranks.

    In eval mode it is the BatchNorm that it came from. Inputs are (N, channels, ...), where a
    feature may stand for a number of channels in a row.

    Args:
        norm: Affine BatchNorm with running statistics and a momentum.
    """

    def __init__(self, norm: _BatchNorm) -> None:
        super().__init__()
        if not norm.affine or norm.running_mean is None or norm.momentum is None:
            raise ValueError("norm must be affine, with running statistics and a momentum")
        self.num_features, self.eps, self.momentum = norm.num_features, norm.eps, norm.momentum
        self.weight, self.bias = norm.weight, norm.bias
        for name, buffer in norm.named_buffers():
            self.register_buffer(name, buffer)

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def forward(self, values: Tensor) -> Tensor:
        """Normalise this rank's rows; in train mode every rank must call."""
        num_shared = values.shape[1:].numel() // self.num_features  # -1 fails for no images
        rows = values.reshape(len(values), self.num_features, num_shared)
        if not self.training:
            normed = nn.functional.batch_norm(
                rows, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
            return normed.view(values.shape)
        normed, mean, variance, count = _Normalize.apply(  # type: ignore[no-untyped-call]
            rows, self.weight, self.bias, self.eps
        )
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)
            self.num_batches_tracked += 1
        result: Tensor = normed.view(values.shape)
        return result

    def extra_repr(self) -> str:
        """The sizes, as torch's own layers print them."""
        return f"{self.num_features}, eps={self.eps}, momentum={self.momentum}"


class _Normalize(torch.autograd.Function):
    """Values (N, C, L) to normalised ones, and the mean, variance and count over all ranks."""

    @staticmethod
    def forward(
        ctx: Any, values: Tensor, weight: Tensor, bias: Tensor, eps: float
    ) -> tuple[Tensor, ...]:
        variance, mean = torch.var_mean(values, dim=(0, 2), correction=0)
        own = torch.cat([mean, variance, mean.new_full((1,), values.numel() / len(mean))])
        gathered = own.new_empty(dist.get_world_size(), len(own))
        dist.all_gather(list(gathered), own)
        mean, variance, count = merge_moments(gathered)
        scale = torch.rsqrt(variance + eps)
        normalized = (values - mean[:, None]).mul_(scale[:, None])
        ctx.save_for_backward(normalized, weight, scale, count)
        ctx.mark_non_differentiable(mean, variance, count)
        return (torch.addcmul(bias[:, None], normalized, weight[:, None]), mean, variance, count)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        gradient = gradients[0]
        normalized, weight, scale, count = ctx.saved_tensors
        bias_gradient = gradient.sum(dim=(0, 2))
        weight_gradient = (gradient * normalized).sum(dim=(0, 2))
        sums = torch.stack([bias_gradient, weight_gradient])
        dist.all_reduce(sums)
        of_bias, of_weight = (sums / count)[:, :, None]
        moved = (gradient - of_bias).addcmul_(normalized, of_weight, value=-1)
        return moved.mul_((weight * scale)[:, None]), weight_gradient, bias_gradient, None


def merge_moments(moments: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean, variance and count of all parts together.

    Args:
        moments: One row a part: C means, C variances (divided by the count), the count.

    Returns:
        Mean (C,), variance (C,) and count (1,).

    One part is the number 3, the other 1 and 5:

    >>> merge_moments(torch.tensor([[3.0, 0.0, 1.0], [3.0, 4.0, 2.0]]))
    (tensor([3.]), tensor([2.6667]), tensor([3.]))
    """
    num_features = moments.shape[1] // 2
    means, variances, counts = torch.split(moments, [num_features, num_features, 1], dim=1)
    count = counts.sum(dim=0)
    shares = counts / count
    mean = (shares * means).sum(dim=0)
    return mean, (shares * (variances + (means - mean).square())).sum(dim=0), count


class RanksDropout(nn.Module):
    """Draws the mask of the whole batch and takes this rank's rows of it.

    All ranks draw from generators in the same state. On a CPU the mask is the one that
    `torch.nn.functional.dropout` draws for the whole batch.

    Args:
        probability: Of dropping a value, in [0, 1).
        part: This rank's part of the batch.
    """

    def __init__(self, probability: float, part: BatchPart) -> None:
        super().__init__()
        self.probability, self.part = probability, part

    def forward(self, values: Tensor) -> Tensor:
        """Drop some values (rows, ...) and scale up the others, in train mode only."""
        if not self.training or self.probability == 0:
            return values
        kept = 1 - self.probability
        noise = torch.empty(
            (self.part.num_images, *values.shape[1:]), dtype=values.dtype, device=values.device
        ).bernoulli_(kept)
        return values * noise[self.part.rows].div_(kept)

    def extra_repr(self) -> str:
        """The probability and the part."""
        return f"{self.probability}, {self.part}"
