"""A linear layer with a sparse weight, CHWN in memory, that keeps what its step needs."""

from typing import Any

import torch
from torch import Tensor, nn

from training.sparse.weight import SparseWeight, StepReport


class SparseLinear(nn.Module):
    """Takes the place of an `nn.Linear` without bias; its weight is no parameter.

    Values (N, in_features) come and go as in torch, but the batch lies last in memory. In training
    the backward pass leaves Δ and X behind, from which `take_step` moves the weight.

    Args:
        weight: The layer's weight.
    """

    def __init__(self, weight: SparseWeight) -> None:
        super().__init__()
        self.sparse_weight = weight
        self._anchor = torch.zeros((), requires_grad=True)  # brings the backward pass here
        self._inputs: Tensor | None = None
        self._deltas: Tensor | None = None

    def forward(self, values: Tensor) -> Tensor:
        """Map (N, in_features) to (N, out_features), in bfloat16 in training and under autocast."""
        weight = self.sparse_weight
        is_low = self.training or torch.is_autocast_enabled(values.device.type)
        has_low = weight.working_copy is not None
        values = values.to(torch.bfloat16 if has_low and is_low else weight.values.dtype)
        outputs: Tensor = _Product.apply(values, self._anchor, self)  # type: ignore[no-untyped-call]
        return outputs

    def take_step(self, *, lr: float, l1_coef: float, beta: float) -> StepReport:
        """One step of β-lasso from the last backward pass, whose tensors are let go.

        Raises:
            ValueError: There was no backward pass since the last step.
        """
        if self._deltas is None or self._inputs is None:
            raise ValueError("take_step needs a backward pass before it")
        report = self.sparse_weight.take_step(
            self._deltas, self._inputs, lr=lr, l1_coef=l1_coef, beta=beta
        )
        self._deltas = self._inputs = None
        return report

    def keep(self, deltas: Tensor, inputs: Tensor) -> None:
        """Hold Δ (rows, N) and X (columns, N) for `take_step`.

        Raises:
            ValueError: A second backward pass before a step; micro-batches are not added up.
        """
        if self._deltas is not None:
            raise ValueError("a sparse layer takes one backward pass a step, no micro-batches")
        self._deltas, self._inputs = deltas, inputs


class _Product(torch.autograd.Function):
    """Values, anchor and layer to outputs; the layer is told of Δ and X on the way back."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, anchor: Tensor, layer: SparseLinear) -> Tensor:
        inputs = values.t().contiguous()
        ctx.layer, ctx.inputs = layer, inputs
        return layer.sparse_weight.multiply(inputs).t()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, None, None]:
        deltas = gradients[0].t().contiguous()
        layer: SparseLinear = ctx.layer
        back = None
        if ctx.needs_input_grad[0]:
            back = layer.sparse_weight.multiply_transposed(deltas).t()
        layer.keep(deltas, ctx.inputs)
        return back, None, None
