"""Products of a sparse weight with a batch that lies last in memory.

    Y = W X        ∂X = Wᵀ ∂Y        ∂W[i, j] = Σ_n ∂Y[i, n] X[j, n] where W has entries

X is (columns, N) and Y is (rows, N), in bfloat16, float32 or float64. Sums are float32, or float64
for float64; those of bfloat16 are rounded once, at the end. A sum's order does not depend on the
number of threads.
"""

from types import ModuleType

import torch
from torch import Tensor

from training.kernels.backends import backend_name
from training.sparse import compiled_products, torch_products, triton_products
from training.sparse.support import Support, TransposedSupport

NUMBER_TYPES = (torch.bfloat16, torch.float32, torch.float64)


def multiply(support: Support, values: Tensor, inputs: Tensor) -> Tensor:
    """Y = W X.

    Args:
        support: Where W has entries.
        values: (entries), of the inputs' type.
        inputs: X, (columns, N).

    Returns:
        Y, (rows, N), of the same type.

    Raises:
        ValueError: Types or shapes do not fit.

    >>> support = Support(torch.tensor([0, 1, 3]), torch.tensor([1, 0, 1]).to(torch.uint16), 2)
    >>> multiply(support, torch.tensor([2.0, 3.0, 4.0]), torch.tensor([[1.0], [10.0]])).tolist()
    [[20.0], [43.0]]
    """
    _check_matrix("inputs", inputs, support.num_columns)
    if values.shape != support.columns.shape or values.dtype != inputs.dtype:
        raise ValueError(
            f"values must be {support.num_entries} numbers of {inputs.dtype}, as the inputs; "
            f"are {tuple(values.shape)} of {values.dtype}"
        )
    values, inputs = values.detach().contiguous(), inputs.detach().contiguous()
    outputs: Tensor = _forms(inputs).multiply(support, values, inputs)
    return outputs


def multiply_transposed(transposed: TransposedSupport, values: Tensor, gradients: Tensor) -> Tensor:
    """∂X = Wᵀ ∂Y.

    Args:
        transposed: `training.sparse.support.transpose` of W's support.
        values: (entries), in the order of W's support, of the gradients' type.
        gradients: ∂Y, (rows, N).

    Returns:
        ∂X, (columns, N), of the same type.

    Raises:
        ValueError: Types or shapes do not fit.
    """
    return multiply(transposed.support, transposed.gather(values), gradients)


def sum_products(support: Support, gradients: Tensor, inputs: Tensor) -> Tensor:
    """∂W at the entries only: Σ_n ∂Y[i, n] X[j, n] for each (i, j) of the support.

    Args:
        support: Where W has entries.
        gradients: ∂Y, (rows, N).
        inputs: X, (columns, N), of the same type.

    Returns:
        (entries): float64 for float64, else float32.

    Raises:
        ValueError: Types or shapes do not fit.

    >>> support = Support(torch.tensor([0, 1, 1]), torch.tensor([1]).to(torch.uint16), 2)
    >>> sum_products(support, torch.tensor([[2.0, 3.0], [1.0, 1.0]]), torch.eye(2)).tolist()
    [3.0]
    """
    _check_matrix("gradients", gradients, support.num_rows)
    _check_matrix("inputs", inputs, support.num_columns)
    if gradients.shape[1] != inputs.shape[1] or gradients.dtype != inputs.dtype:
        raise ValueError(
            f"gradients and inputs must have one batch and one type; are "
            f"{gradients.shape[1]} of {gradients.dtype} and {inputs.shape[1]} of {inputs.dtype}"
        )
    gradients, inputs = gradients.detach().contiguous(), inputs.detach().contiguous()
    sums: Tensor = _forms(inputs).sum_products(support, gradients, inputs)
    return sums


def _forms(inputs: Tensor) -> ModuleType:
    forms = {"numba": compiled_products, "triton": triton_products, "torch": torch_products}
    return forms[backend_name(inputs.device)]


def _check_matrix(name: str, numbers: Tensor, num_rows: int) -> None:
    if numbers.dtype not in NUMBER_TYPES:
        raise ValueError(f"{name} must be bfloat16, float32 or float64; are {numbers.dtype}")
    if numbers.ndim != 2 or len(numbers) != num_rows:
        raise ValueError(f"{name} must be ({num_rows}, N); have shape {tuple(numbers.shape)}")
