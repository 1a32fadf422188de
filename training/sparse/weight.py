"""A sparse weight under β-lasso: the steps of the dense algorithm, at the cost of its nonzeros.

Entries in the support get their gradients one by one, also those that are zero by now. All other
weights are zero; `training.sparse.screening` certifies which of them stay so, and the rest get
dense gradients, by block. Those that reach the threshold enter the support.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from training.beta_lasso import beta_lasso_step_
from training.sparse.products import multiply, multiply_transposed, sum_products
from training.sparse.screening import Screen, measure_lines, screen
from training.sparse.support import Support, TransposedSupport, collect, compact, merge, spread
from training.sparse.support import transpose as transpose_support
from training.sparse.torch_support import take

_BLOCK_ENTRIES = 2**22  # Dense gradients that are looked at together.
_DEAD_SHARE = 0.25  # Zeros among the entries from which on they are dropped.


@dataclass(frozen=True)
class StepReport:
    """What one step did.

    Attributes:
        screen: What had to be looked at.
        num_revived: Weights outside the support that came back.
        num_nonzeros: Nonzero weights after the step.
    """

    screen: Screen
    num_revived: int
    num_nonzeros: int


class SparseWeight:
    """Support and values of the weight of a linear layer, and the step that changes both.

    Attributes:
        support: Where values are kept; some may be zero.
        values: (entries), the master weights, float32 or float64.
        shadow: (entries), the same rounded to bfloat16 if the layer computes in it, else None.
    """

    def __init__(self, dense: Tensor, *, low_precision: bool) -> None:
        self.support, self.values = collect(dense)
        self.shadow = self.values.to(torch.bfloat16) if low_precision else None
        self._transposed: TransposedSupport | None = None

    def dense(self) -> Tensor:
        """The weight as a matrix."""
        return spread(self.support, self.values)

    def multiply(self, inputs: Tensor) -> Tensor:
        """W X for X (columns, N), in the layer's arithmetic."""
        return multiply(self.support, self._numbers(), inputs)

    def multiply_transposed(self, gradients: Tensor) -> Tensor:
        """Wᵀ ∂Y for ∂Y (rows, N)."""
        if self._transposed is None:
            self._transposed = transpose_support(self.support)
        return multiply_transposed(self._transposed, self._numbers(), gradients)

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
            ValueError: βλ is 0, which certifies nothing.
        """
        threshold = float(torch.tensor(beta * l1_coef, dtype=self.values.dtype))
        found = screen(measure_lines(deltas), measure_lines(inputs), lr=lr, threshold=threshold)
        rows, columns, gradients = self._find_revived(deltas, inputs, found, lr, threshold)
        settings = {"lr": lr, "l1_coef": l1_coef, "threshold": threshold}
        own = sum_products(self.support, deltas, inputs).to(self._gradient_type())
        count = int(beta_lasso_step_(self.values, own, self.shadow, **settings))
        if len(rows):
            born = torch.zeros(len(rows), dtype=self.values.dtype)
            shadow = None if self.shadow is None else torch.zeros(len(rows), dtype=torch.bfloat16)
            count += int(beta_lasso_step_(born, gradients, shadow, **settings))
            self._grow(rows, columns, born, shadow)
        elif count < (1 - _DEAD_SHARE) * self.support.num_entries:
            self._change(*compact(self.support, self.values))
        return StepReport(found, len(rows), count)

    def _find_revived(
        self, deltas: Tensor, inputs: Tensor, found: Screen, lr: float, threshold: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Rows, columns and gradients of the weights outside the support that come back."""
        some = inputs[found.columns]
        places, numbers = [], []
        block = max(1, _BLOCK_ENTRIES // max(1, len(some)))
        for rows in torch.split(found.rows, block):
            gradients = (deltas[rows] @ some.t()).to(self._gradient_type())
            moved = (lr * gradients.to(self.values.dtype)).abs()
            reach = ~(moved < threshold)  # NaN comes back, so that it is seen
            reach &= ~self._is_stored(rows, found.columns)
            hits = reach.nonzero()
            places.append(torch.stack([rows[hits[:, 0]], found.columns[hits[:, 1]]]))
            numbers.append(gradients[reach])
        if not places:
            empty = torch.empty(0, dtype=torch.int64)
            return empty, empty, torch.empty(0, dtype=self._gradient_type())
        joined = torch.cat(places, dim=1)
        return joined[0], joined[1], torch.cat(numbers)

    def _is_stored(self, rows: Tensor, columns: Tensor) -> Tensor:
        """Which of rows x columns lie in the support, bool."""
        starts, stops = self.support.row_starts[rows], self.support.row_starts[rows + 1]
        sizes = stops - starts
        owners = torch.repeat_interleave(sizes)
        firsts = sizes.cumsum(0) - sizes
        entries = torch.arange(len(owners)) - (firsts - starts)[owners]
        stored = torch.zeros(len(rows), self.support.num_columns, dtype=torch.bool)
        stored[owners, take(self.support.columns, entries).to(torch.int64)] = True
        return stored[:, columns]

    def _grow(self, rows: Tensor, columns: Tensor, born: Tensor, shadow: Tensor | None) -> None:
        support, sources = merge(self.support, rows, columns)
        self.values = torch.cat([self.values, born])
        if self.shadow is not None and shadow is not None:
            self.shadow = torch.cat([self.shadow, shadow])
        self._change(support, sources)

    def _change(self, support: Support, sources: Tensor) -> None:
        self.support, self.values, self._transposed = support, self.values[sources], None
        if self.shadow is not None:
            self.shadow = self.shadow[sources]

    def _numbers(self) -> Tensor:
        return self.values if self.shadow is None else self.shadow

    def _gradient_type(self) -> torch.dtype:
        """As a dense step has its gradients, so that they round alike."""
        return self.values.dtype if self.shadow is None else torch.bfloat16
