"""Sparse storage: the same bits come back, and it is chosen only where it is smaller."""

import io
import math

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from training.checkpoint.sparse_storage import pack_tensor, unpack_rows

DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
BITS = {2: torch.int16, 4: torch.int32, 8: torch.int64}


def num_stored_bytes(stored: Tensor) -> int:
    parts = [stored]
    if stored.layout == torch.sparse_csr:
        parts = [stored.crow_indices(), stored.col_indices(), stored.values()]
    return sum(part.numel() * part.element_size() for part in parts)


def unpack(stored: Tensor, shape: tuple[int, ...]) -> Tensor:
    if stored.layout == torch.strided:
        return stored
    parts = [
        stored.crow_indices(),
        stored.col_indices(),
        stored.values().view(BITS[stored.values().element_size()]),
    ]
    row_ends, columns, values = (part.numpy() for part in parts)
    return torch.from_numpy(unpack_rows(row_ends, columns, values, shape)).view(stored.dtype)


def through_a_file(stored: Tensor) -> Tensor:
    file = io.BytesIO()
    torch.save(stored, file)
    file.seek(0)
    with torch.sparse.check_sparse_tensor_invariants():
        loaded = torch.load(file, weights_only=True)
    assert isinstance(loaded, Tensor)
    return loaded


@given(
    shape=st.lists(st.integers(1, 7), min_size=0, max_size=4),
    dtype=st.sampled_from(DTYPES),
    density=st.floats(0, 1),
    seed=st.integers(0, 2**32),
)
def test_any_tensor_comes_back_bit_for_bit_in_the_smaller_form(
    shape: list[int], dtype: torch.dtype, density: float, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    kept = torch.rand(shape, generator=generator) < density
    tensor = (torch.randn(shape, generator=generator) * kept).to(dtype)
    tensor += 0.0  # Turns the -0 of a negative number times 0 into 0.
    specials = torch.tensor([-0.0, math.nan, math.inf, 1e-40])
    is_special = kept & (torch.rand(shape, generator=generator) < 0.2)
    chosen = specials[torch.randint(4, shape, generator=generator)].to(dtype)
    tensor = torch.where(is_special, chosen, tensor)

    stored = pack_tensor(tensor)
    back = unpack(through_a_file(stored), tuple(shape))
    kind = BITS[tensor.element_size()]
    assert back.dtype == dtype
    assert torch.equal(back.view(kind), tensor.view(kind))

    size = tensor.element_size()
    num_kept = int(torch.count_nonzero(tensor.view(kind)))
    dense, sparse = tensor.numel() * size, num_kept * (size + 4)
    if len(shape) >= 2:
        sparse += (shape[0] + 1) * 4
        assert num_stored_bytes(stored) == min(dense, sparse)
    else:
        assert stored is tensor


def test_empty_tensors_stay_dense() -> None:
    empty = torch.zeros(3, 0)
    assert pack_tensor(empty) is empty


def test_a_sparse_layer_of_the_paper_takes_eight_bytes_a_nonzero() -> None:
    tensor = torch.zeros(192, 2048)
    tensor.view(-1)[::100] = 1.0
    stored = pack_tensor(tensor)
    assert stored.layout == torch.sparse_csr
    assert num_stored_bytes(stored) == 3933 * 8 + 193 * 4
