"""A sparse weight under β-lasso: the steps of the dense algorithm, at the cost of its nonzeros.

Entries in the support get their gradients one by one, also those that are zero by now. All other
weights are zero; `training.sparse.screening` shows which of them stay so, and the rest get
dense gradients, by block. Those that reach the threshold enter the support.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from training.checkpoint.sparse_storage import pack_rows
from training.optim.beta_lasso import beta_lasso_step_
from training.sparse.products import multiply, multiply_transposed, sum_products
from training.sparse.projected_screening import may_tighten, tighten
from training.sparse.regrowth import find_regrown
from training.sparse.screening import Screen, measure_lines, screen
from training.sparse.support import Support, TransposedSupport, collect, compact, merge, spread
from training.sparse.support import transpose as transpose_support
from training.sparse.torch_support import find_rows, widen

_DEAD_SHARE = 0.25  # Zeros among the entries from which on they are dropped.


@dataclass(frozen=True)
class StepReport:
    """What one step did.

    Attributes:
        screen: What had to be looked at.
        num_regrown: Weights outside the support that came back.
        num_nonzeros: Nonzero weights after the step.
    """

    screen: Screen
    num_regrown: int
    num_nonzeros: int


def screen_step(deltas: Tensor, inputs: Tensor, *, lr: float, threshold: float) -> Screen:
    """The rows and columns in which a zero weight may come back, by the tightest screen that pays.

    Args:
        deltas: Δ (rows, N).
        inputs: X (columns, N), of the same type.
        lr: η.
        threshold: βλ > 0.
    """
    lines = measure_lines(deltas), measure_lines(inputs)
    found = screen(*lines, lr=lr, threshold=threshold)
    if may_tighten(found, inputs.shape[1]):
        return tighten(found, deltas, inputs, lines, lr=lr, threshold=threshold)
    return found


class SparseWeight:
    """Support and values of the weight of a linear layer, and the step that changes both.

    Attributes:
        support: Where values are kept; some may be zero.
        values: (entries), the master weights, float32 or float64.
        working_copy: (entries), the same in bfloat16 if the layer computes in it, else None.
    """

    def __init__(self, dense: Tensor, *, low_precision: bool) -> None:
        self.support, self.values = collect(dense)
        self.working_copy = self.values.to(torch.bfloat16) if low_precision else None
        self._transposed: TransposedSupport | None = None

    @property
    def num_bytes(self) -> int:
        """Bytes kept from step to step."""
        kept = [self.values, self.support.row_starts, self.support.columns]
        if self.working_copy is not None:
            kept.append(self.working_copy)
        if self._transposed is not None:
            flipped = self._transposed
            kept += [flipped.support.row_starts, flipped.support.columns, flipped.offsets]
        return sum(each.nbytes for each in kept)

    def dense(self) -> Tensor:
        """The weight as a matrix."""
        return spread(self.support, self.values)

    def packed(self) -> Tensor:
        """A copy as a checkpoint stores it: CSR on the CPU, or dense where that is smaller."""
        support, sources = compact(self.support, self.values)
        parts = [part.cpu().numpy() for part in (support.row_starts, widen(support.columns))]
        csr = pack_rows(parts[0], parts[1], self.values[sources].cpu(), support.shape)
        return self.dense().cpu() if csr is None else csr

    def drop_zeros(self) -> None:
        """Keep the nonzeros alone in the support."""
        self._change(*compact(self.support, self.values))

    def stored_zeros(self) -> Tensor:
        """The entries that are zero by now, int64: row times the number of columns plus column."""
        rows = find_rows(self.support.row_starts)
        places = rows * self.support.num_columns + widen(self.support.columns)
        return places[self.values == 0]

    def store_zeros(self, places: Tensor) -> None:
        """Take zeros into the support, given as `stored_zeros` gives them.

        Where an entry is stored decides in which order its gradient is added up, so that a weight
        continues bit for bit only with the same support.

        Raises:
            ValueError: One is outside, out of order, or in the support.
        """
        num_columns = self.support.num_columns
        rows = places.div(num_columns, rounding_mode="floor")
        born = self.values.new_zeros(len(places))
        working_copy = (
            None if self.working_copy is None else self.working_copy.new_zeros(len(places))
        )
        self._grow(rows, places - rows * num_columns, born, working_copy)

    def multiply(self, inputs: Tensor) -> Tensor:
        """W X for X (columns, N), by the working copy if X is bfloat16."""
        return multiply(self.support, self.numbers(inputs.dtype), inputs)

    def multiply_transposed(self, gradients: Tensor) -> Tensor:
        """Wᵀ ∂Y for ∂Y (rows, N)."""
        if self._transposed is None:
            self._transposed = transpose_support(self.support)
        return multiply_transposed(self._transposed, self.numbers(gradients.dtype), gradients)

    def take_step(
        self, deltas: Tensor, inputs: Tensor, *, lr: float, l1_coef: float, beta: float
    ) -> StepReport:
        """One step of Algorithm 1.

        Args:
            deltas: Δ (rows, N), the gradient of the loss at the layer's output.
            inputs: X (columns, N), the layer's input, of the same type.
            lr: η.
            l1_coef: λ.
            beta: β, with βλ > 0.

        Raises:
            ValueError: βλ is 0, which screens nothing.
        """
        threshold = float(torch.tensor(beta * l1_coef, dtype=self.values.dtype))
        found = screen_step(deltas, inputs, lr=lr, threshold=threshold)
        regrown = find_regrown(
            self.support, deltas, inputs, found, lr=lr, threshold=threshold, dtype=self.values.dtype
        )
        settings = {"lr": lr, "l1_coef": l1_coef, "threshold": threshold}
        own = sum_products(self.support, deltas, inputs).to(self._gradient_type())
        count = self.move(own, **settings)
        num_regrown = len(regrown.rows)
        if num_regrown:
            born = self.values.new_zeros(num_regrown)
            working_copy = (
                None if self.working_copy is None else self.working_copy.new_zeros(num_regrown)
            )
            count += int(beta_lasso_step_(born, regrown.gradients, working_copy, **settings))
            self._grow(regrown.rows, regrown.columns, born, working_copy)
        elif count < (1 - _DEAD_SHARE) * self.support.num_entries:
            self.drop_zeros()
        return StepReport(found, num_regrown, count)

    def move(self, gradients: Tensor, *, lr: float, l1_coef: float, threshold: float) -> int:
        """Algorithm 1 on the entries alone; the number of nonzeros after it."""
        return int(
            beta_lasso_step_(
                self.values,
                gradients,
                self.working_copy,
                lr=lr,
                l1_coef=l1_coef,
                threshold=threshold,
            )
        )

    def _grow(
        self, rows: Tensor, columns: Tensor, born: Tensor, working_copy: Tensor | None
    ) -> None:
        support, sources = merge(self.support, rows, columns)
        self.values = torch.cat([self.values, born])
        if self.working_copy is not None and working_copy is not None:
            self.working_copy = torch.cat([self.working_copy, working_copy])
        self._change(support, sources)

    def _change(self, support: Support, sources: Tensor) -> None:
        self.support, self.values, self._transposed = support, self.values[sources], None
        if self.working_copy is not None:
            self.working_copy = self.working_copy[sources]

    def numbers(self, dtype: torch.dtype) -> Tensor:
        """The entries that a product in a type computes with: the working copy for bfloat16."""
        return (
            self.working_copy
            if self.working_copy is not None and dtype == torch.bfloat16
            else self.values
        )

    def _gradient_type(self) -> torch.dtype:
        """As a dense step has its gradients, so that they round alike."""
        return self.values.dtype if self.working_copy is None else torch.bfloat16


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
        inputs, weight = values.t().contiguous(), layer.sparse_weight
        ctx.layer = layer
        ctx.save_for_backward(inputs, weight.numbers(inputs.dtype))  # refused once they moved
        return weight.multiply(inputs).t()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, None, None]:
        deltas = gradients[0].t().contiguous()
        layer: SparseLinear = ctx.layer
        inputs, _ = ctx.saved_tensors
        back = None
        if ctx.needs_input_grad[0]:
            back = layer.sparse_weight.multiply_transposed(deltas).t()
        layer.keep(deltas, inputs)
        return back, None, None
