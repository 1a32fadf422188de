"""Sparse products by torch's own CSR kernels, for any device: the slow form.

Torch refuses bfloat16 in CSR, so it goes through float32.
"""

import warnings

import torch
from torch import Tensor

from training.sparse.support import Support
from training.sparse.torch_support import widen


def multiply(support: Support, values: Tensor, inputs: Tensor) -> Tensor:
    """Y = W X, as `training.sparse.products.multiply`."""
    kind = torch.promote_types(inputs.dtype, torch.float32)
    product = torch.mm(_csr(support, values.to(kind)), inputs.to(kind))
    return product.to(inputs.dtype)


def sum_products(support: Support, gradients: Tensor, inputs: Tensor) -> Tensor:
    """∂W at the entries, as `training.sparse.products.sum_products`."""
    kind = torch.promote_types(inputs.dtype, torch.float32)
    if not support.num_entries or not inputs.shape[1]:
        return torch.zeros(support.num_entries, dtype=kind, device=inputs.device)
    zero = _csr(support, torch.zeros(support.num_entries, dtype=kind, device=inputs.device))
    sampled: Tensor = torch.sparse.sampled_addmm(zero, gradients.to(kind), inputs.to(kind).t())
    return sampled.values()


def _csr(support: Support, values: Tensor) -> Tensor:
    starts, columns = support.row_starts, support.columns
    kind = torch.int32 if support.num_entries < 2**31 else torch.int64
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta state")
        return torch.sparse_csr_tensor(
            starts.to(kind),
            widen(columns).to(kind),
            values,
            support.shape,
            device=values.device,
            check_invariants=False,
        )
