"""Products of bfloat16 matrices on a CPU that has no instructions for them.

oneDNN emulates them in five to fourteen times the time of the same product in float32. Two
bfloat16 numbers have an exact product in float32, so here the operands go to float32, the product
is taken there, and its sums are rounded to bfloat16: what such instructions do, but for the order
of the sums. The gradients are products too and go the same way.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from training.run.precision import is_emulated
from training.spec.config import Precision

_PRODUCTS = frozenset(
    (
        F.linear,
        F.conv2d,
        torch.bmm,
        torch.matmul,
        torch.mm,
        Tensor.bmm,
        Tensor.matmul,
        Tensor.mm,
        Tensor.__matmul__,
    )
)


def emulated_products(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """The context for forward and backward passes at a precision; nothing but where it is emulated.

    It can be entered again, also inside of itself.
    """
    return EmulatedProducts() if is_emulated(precision, device) else nullcontext()


class EmulatedProducts(TorchFunctionMode):
    """While it is on, products in bfloat16, by type or by autocast, are taken in float32.

    >>> ones = torch.ones(1, 3, dtype=torch.bfloat16)
    >>> with EmulatedProducts():
    ...     (ones @ ones.t()).dtype
    torch.bfloat16
    """

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func not in _PRODUCTS or not _is_low([*args, *kwargs.values()]):
            return func(*args, **kwargs)
        with torch.autocast("cpu", enabled=False):
            product: Tensor = func(
                *(_lift(each) for each in args),
                **{name: _lift(each) for name, each in kwargs.items()},
            )
        return product.to(torch.bfloat16)


def _is_low(operands: list[Any]) -> bool:
    tensors = [each for each in operands if isinstance(each, Tensor)]
    kinds = {each.dtype for each in tensors}
    if torch.float64 in kinds or any(each.device.type != "cpu" for each in tensors):
        return False
    by_autocast = torch.is_autocast_enabled("cpu") and (
        torch.get_autocast_dtype("cpu") == torch.bfloat16
    )
    return by_autocast or torch.bfloat16 in kinds


def _lift(operand: Any) -> Any:
    if isinstance(operand, Tensor) and operand.is_floating_point():
        return operand.to(torch.bfloat16).to(torch.float32)
    return operand
