"""The stated evaluation of a network: arithmetic in integers, so all machines get the same logits.

A sum in floating point depends on its order, and with it on the batch, the threads and the machine.
The classifier that a certificate speaks of is therefore this function of the decoded tensors:

1. An input is (pixel - 255 mean) / (255 std): float64, each operation rounded by IEEE 754.
2. The weights of one output unit are rounded to multiples of 2^(E-20), where 2^E is the smallest
   power of two above their absolute values. Numbers of e4m3fn do not change by this.
3. The values of an image that enter a layer are rounded to multiples of 2^(F-q), where 2^F is the
   smallest power of two above their absolute values (F >= -400). q = 53 - log2 L, at most 50,
   where L, a power of two, is no less than any unit's sum of |weight| / 2^(E-20).
4. Their sums of products are exact. Scale, shift, bias and residual sum are float64 operations,
   rounded one by one. A mean over P positions is the exact sum of values rounded as in 3 with
   L >= P, then divided by P.
5. All roundings are to nearest, ties to even. ReLU and comparisons are exact. An image with a
   value of 2^400 or more anywhere has no class.

**Why any float64 hardware computes it.** In units of 2^(E-20) 2^(F-q) every product in 4 is a whole
number, and the absolute values of a sum's products add up to at most L 2^q <= 2^53. So every
partial sum is an integer that float64 holds exactly: order of summation, blocks, threads and
fused multiply-add change nothing. With tensors of float32 nothing here overflows or is subnormal.
What is asked of a library is that it adds products of these very numbers: no Winograd, no FFT, no
emulation with fewer bits. torch's float64 convolutions unfold and multiply matrices;
`exact_arithmetic` keeps cuDNN, which might do otherwise, out of it, and makes means exact.

A bound on the rounding of a floating-point evaluation, as the other way to be sure, grows with the
absolute values of all weights from layer to layer. From some eight dense layers on it exceeds the
margins of all images; here the depth does not matter.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from analysis.certify.exact_layers import ExactScaleShift, Linear, exact_layer
from analysis.certify.exact_numbers import round_to_bits, value_bits
from training.networks.layers import ScaleShift
from training.networks.models import Network, network_from_state
from training.spec.architectures import LayerSpec

_INEXACT = {"sum", "matmul", "__matmul__", "einsum", "avg_pool2d", "adaptive_avg_pool2d"}


def exact_network(network: Network, device: torch.device | str = "cpu") -> Network:
    """The network's stated evaluation: a float64 copy that gives the same logits everywhere.

    Make it outside of `exact_arithmetic` and call it inside, on float64 inputs.

    Args:
        network: Folded, with the tensors that were decoded.
        device: Where the copy is to compute.

    Raises:
        ValueError: The network is not folded, or has a module that is not evaluated here.
    """
    if not network.folded:
        raise ValueError("network must be folded before it is evaluated; call fold_batch_norm")
    device = torch.device(device)
    exact = network_from_state(network.spec, network.state_dict()).eval().requires_grad_(False)
    for name, module in list(exact.named_children()):
        if isinstance(module, Linear):
            exact.set_submodule(name, exact_layer(module, exact.table[name], device))
        elif isinstance(module, ScaleShift):
            exact.set_submodule(name, ExactScaleShift(module, device))
        elif not isinstance(module, nn.Dropout):  # it passes all on
            raise ValueError(f"{name} is a {type(module).__name__}, which has no exact evaluation")
    return exact


@contextmanager
def exact_arithmetic() -> Iterator[None]:
    """Means are exact sums, divided; cuDNN, which may rearrange products, is off; no gradients."""
    with torch.no_grad(), torch.backends.cudnn.flags(enabled=False), _ExactMeans():
        yield


def image_bytes(layers: tuple[LayerSpec, ...]) -> int:
    """Memory that one image takes in the widest layer, unfolded, in bytes of float64.

    >>> from training.spec.architectures import NetworkSpec
    >>> image_bytes(NetworkSpec(name="s-fc", image_size=8, num_classes=10, base_channels=1).layers)
    3584
    """
    return 8 * max(
        2 * layer.in_features
        + (0 if layer.kind == "dense" else layer.fan_in * layer.out_size**2)
        + 4 * layer.out_features
        for layer in layers
    )


def exact_mean(values: Tensor, dim: tuple[int, ...]) -> Tensor:
    """The mean over some dimensions of each image, from an exact sum.

    >>> exact_mean(torch.tensor([[1.0, 2.0, 4.5]], dtype=torch.float64), (1,))
    tensor([2.5000], dtype=torch.float64)
    """
    total = math.prod(values.shape[each] for each in dim)
    sums = round_to_bits(values, value_bits(total)).sum(dim=dim)
    # On CUDA a plain number as divisor would become a product with its reciprocal.
    return sums / torch.full((), total, dtype=sums.dtype, device=sums.device)


class _ExactMeans(TorchFunctionMode):
    """While it is on, a mean over some dimensions is `exact_mean`; other sums are refused."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in (torch.mean, Tensor.mean):
            func = exact_mean
        elif getattr(func, "__name__", "") in _INEXACT:
            raise ValueError(f"{func.__name__} is a sum that has no exact evaluation")
        return func(*args, **(kwargs or {}))
