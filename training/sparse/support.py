"""The support of a sparse weight: where its entries lie, and how it shrinks and grows.

Values are kept beside it, in as many tensors as one likes (master weights, working copy,
momentum). When the support changes, `sources` says for each new entry where it was, so that every
such tensor follows by `values.index_select(0, sources)`.
"""

from dataclasses import dataclass
from types import ModuleType

import torch
from torch import Tensor

from training.kernels.backends import backend_name
from training.sparse import compiled_support, torch_support

_NARROW_LIMIT = 2**16  # Columns that 16 bits tell apart.


@dataclass(frozen=True)
class Support:
    """Entries by rows (CSR); within a row their columns ascend.

    Attributes:
        row_starts: int64 (rows + 1): row i has entries row_starts[i], ..., row_starts[i + 1] - 1.
        columns: (entries), `column_type(num_columns)`.
        num_columns: Columns of the weight.

    Raises:
        ValueError: A type or a size does not fit. `check` also looks at the numbers.

    >>> support, values = collect(torch.tensor([[0.0, 2.0], [0.0, 0.0], [3.0, 4.0]]))
    >>> support.row_starts.tolist(), support.columns.tolist(), values.tolist()
    ([0, 1, 1, 3], [1, 0, 1], [2.0, 3.0, 4.0])
    """

    row_starts: Tensor
    columns: Tensor
    num_columns: int

    def __post_init__(self) -> None:
        if self.row_starts.dtype != torch.int64 or self.row_starts.ndim != 1:
            raise ValueError(f"row_starts must be a list of int64; is {self.row_starts.dtype}")
        if not len(self.row_starts):
            raise ValueError("row_starts must have one number more than there are rows; is empty")
        if self.columns.dtype != column_type(self.num_columns) or self.columns.ndim != 1:
            raise ValueError(
                f"columns must be a list of {column_type(self.num_columns)} for "
                f"{self.num_columns} columns; is {self.columns.dtype}"
            )

    @property
    def num_rows(self) -> int:
        """Rows of the weight."""
        return len(self.row_starts) - 1

    @property
    def num_entries(self) -> int:
        """Weights in the support."""
        return len(self.columns)

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return self.num_rows, self.num_columns

    def check(self) -> None:
        """Look at every number; the kernels trust them.

        Raises:
            ValueError: Entries are not in order, or lie outside.
        """
        starts, columns = self.row_starts, self.columns.to(torch.int64)
        if starts[0] != 0 or starts[-1] != len(columns) or bool((starts.diff() < 0).any()):
            raise ValueError(f"row_starts must ascend from 0 to {len(columns)} entries")
        rows = torch.repeat_interleave(starts.diff())
        in_order = (columns.diff() > 0) | (rows.diff() > 0)
        inside = (columns >= 0) & (columns < self.num_columns)
        if not bool(in_order.all() & inside.all()):
            raise ValueError(f"columns must ascend in each row and be below {self.num_columns}")


@dataclass(frozen=True)
class TransposedSupport:
    """The support of Wᵀ, in 4 bytes an entry where W has 65,536 rows and columns at most.

    Attributes:
        support: Its rows are the columns of W.
        offsets: Of the type of W's columns: where each entry is in its row of W.
        row_starts: Those of W's support.
    """

    support: Support
    offsets: Tensor
    row_starts: Tensor

    def gather(self, values: Tensor) -> Tensor:
        """Values in the order of Wᵀ's support, from those in the order of W's."""
        _check_values(self.support, values)
        gathered: Tensor = _forms(values).gather(
            self.row_starts, self.support.columns, self.offsets, values.detach().contiguous()
        )
        return gathered


def column_type(num_columns: int) -> torch.dtype:
    """The type of the columns' numbers: uint16 up to 65,536 columns, else int32."""
    return torch.uint16 if num_columns <= _NARROW_LIMIT else torch.int32


def collect(weights: Tensor, *, threshold: float = 0.0) -> tuple[Support, Tensor]:
    """The entries of a dense weight: those with |w| > threshold, and NaN.

    Args:
        weights: (rows, columns), float32 or float64.
        threshold: >= 0.

    Returns:
        The support, and the values of its entries.
    """
    if weights.ndim != 2:
        raise ValueError(f"weights must be a matrix; has shape {tuple(weights.shape)}")
    if not threshold >= 0:
        raise ValueError(f"threshold must be >= 0; is {threshold}")
    weights = weights.detach().contiguous()
    kind = column_type(weights.shape[1])
    starts, columns, values = _forms(weights).collect(weights, threshold, kind)
    return Support(starts, columns, weights.shape[1]), values


def compact(support: Support, values: Tensor) -> tuple[Support, Tensor]:
    """Drop the entries whose value is 0.

    Args:
        support: Of the values.
        values: (entries), float32 or float64.

    Returns:
        The smaller support, and the sources of its entries, int64: where they were.

    >>> support, values = collect(torch.tensor([[1.0, 2.0, 3.0]]))
    >>> values[1] = 0
    >>> support, sources = compact(support, values)
    >>> support.columns.tolist(), values[sources].tolist()
    ([0, 2], [1.0, 3.0])
    """
    _check_values(support, values)
    starts, columns, sources = _forms(values).compact(
        support.row_starts, support.columns, values.detach().contiguous()
    )
    return Support(starts, columns, support.num_columns), sources


def merge(support: Support, rows: Tensor, columns: Tensor) -> tuple[Support, Tensor]:
    """Take up entries that are not in the support.

    Args:
        support: What there is.
        rows: int64 (more), ascending.
        columns: int64 (more), ascending within a row.

    Returns:
        The larger support, and the sources of its entries, int64, in the old entries with the new
        ones behind them: `torch.cat([values, more_values])[sources]`.

    Raises:
        ValueError: An entry is there already, outside, or out of order.

    >>> support, values = collect(torch.tensor([[1.0, 0.0, 3.0]]))
    >>> support, sources = merge(support, torch.tensor([0]), torch.tensor([1]))
    >>> torch.cat([values, torch.tensor([2.0])])[sources].tolist()
    [1.0, 2.0, 3.0]
    """
    if rows.shape != columns.shape or rows.ndim != 1:
        raise ValueError(
            f"rows and columns must be lists of one length; have shapes {tuple(rows.shape)} and "
            f"{tuple(columns.shape)}"
        )
    if len(rows):
        for name, numbers, size in zip(
            ("rows", "columns"), (rows, columns), support.shape, strict=True
        ):
            if not 0 <= int(numbers.min()) <= int(numbers.max()) < size:
                raise ValueError(f"{name} must be from 0 to {size - 1}")
    if bool((rows.diff() < 0).any()):
        raise ValueError("rows must ascend")
    counts = torch.bincount(rows, minlength=support.num_rows)
    more_starts = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    kind = column_type(support.num_columns)
    merged = _forms(columns).merge(
        support.row_starts, support.columns, more_starts, columns.to(kind)
    )
    if merged is None:
        raise ValueError("columns must ascend in each row and not be in the support yet")
    new_columns, sources = merged
    return Support(support.row_starts + more_starts, new_columns, support.num_columns), sources


def spread(support: Support, values: Tensor) -> Tensor:
    """The dense weight, (rows, columns), of the values' type; the inverse of `collect`."""
    _check_values(support, values)
    values = values.detach().contiguous()
    weights: Tensor = _forms(values).spread(
        support.row_starts, support.columns, values, support.num_columns
    )
    return weights


def transpose(support: Support) -> TransposedSupport:
    """The support of Wᵀ, for `training.sparse.products.multiply_transposed`.

    It is the same whatever the number of threads.

    >>> support, values = collect(torch.tensor([[0.0, 2.0], [3.0, 4.0]]))
    >>> flipped = transpose(support)
    >>> flipped.support.row_starts.tolist(), flipped.support.columns.tolist()
    ([0, 1, 3], [1, 0, 1])
    >>> flipped.gather(values).tolist()
    [3.0, 2.0, 4.0]
    """
    starts, rows, offsets = _forms(support.columns).transpose(
        support.row_starts, support.columns, support.num_columns, column_type(support.num_rows)
    )
    return TransposedSupport(Support(starts, rows, support.num_rows), offsets, support.row_starts)


def _forms(values: Tensor) -> ModuleType:
    return compiled_support if backend_name(values.device) == "numba" else torch_support


def _check_values(support: Support, values: Tensor) -> None:
    if values.shape != support.columns.shape:
        raise ValueError(
            f"values must be a list of {support.num_entries}, one an entry; has shape "
            f"{tuple(values.shape)}"
        )
