"""What a device asks of the plain-torch forms: its own memory, no rare operations, pieces."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from training.sparse import products, support, torch_support
from training.sparse.products import multiply, multiply_transposed, sum_products
from training.sparse.support import collect, compact, merge, spread, transpose

PLAIN = {
    "view",
    "detach",
    "empty",
    "empty_like",
    "new_empty",
    "alias",
    "slice",
    "split",
    "_to_copy",
}
"""What is done to numbers of 16 bits without a sign, and works on every device."""


@pytest.fixture(autouse=True)
def plain_torch(monkeypatch):
    monkeypatch.setattr(support, "_forms", lambda _: torch_support)
    monkeypatch.setattr(products, "backend_name", lambda _: "torch")


def change_all(weight: Tensor) -> list[Tensor]:
    """Every change of a support and every product, one after the other."""
    rows, columns = (part.contiguous() for part in (weight == 0).nonzero()[::3].unbind(1))
    first, values = collect(weight)
    larger, sources = merge(first, rows, columns)
    values = torch.cat([values, values.new_zeros(len(rows))])[sources]
    smaller, kept = compact(larger, values)
    flipped = transpose(larger)
    inputs = weight.new_ones(weight.shape[1], weight.shape[1])
    products_ = [
        multiply(larger, values, inputs),
        multiply_transposed(flipped, values, weight),
        sum_products(larger, weight, inputs),
    ]
    return [
        first.columns,
        larger.row_starts,
        larger.columns,
        sources,
        smaller.row_starts,
        smaller.columns,
        kept,
        flipped.support.row_starts,
        flipped.support.columns,
        flipped.gather(values),
        spread(larger, values),
        *products_,
    ]


def draw_weight(rows: int = 13, columns: int = 31) -> Tensor:
    torch.manual_seed(0)
    return torch.randn(rows, columns) * (torch.rand(rows, columns) < 0.3)


def test_everything_is_made_where_the_numbers_are():
    """What names no device would be made on the default one, and could not meet the rest."""
    weight = draw_weight()
    with torch.device("meta"):
        found = change_all(weight)
    assert {part.device.type for part in found} == {"cpu"}


class _SeenOnUint16(TorchDispatchMode):
    """Notes the operations that take or give a uint16 tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        parts = [*args, *(result if isinstance(result, list | tuple) else [result])]
        if any(isinstance(part, Tensor) and part.dtype == torch.uint16 for part in parts):
            self.names.add(func.overloadpacket.__name__)
        return result


def test_with_16_bits_only_what_every_device_can_do():
    weight = draw_weight()
    with _SeenOnUint16() as seen:
        change_all(weight)
    assert "view" in seen.names
    assert seen.names <= PLAIN


@pytest.mark.parametrize("piece", [1, 7, 64])
def test_pieces_change_nothing(piece, monkeypatch):
    weight = draw_weight()
    whole = change_all(weight)
    monkeypatch.setattr(torch_support, "_PIECE", piece)
    assert all(torch.equal(one, two) for one, two in zip(whole, change_all(weight), strict=True))
