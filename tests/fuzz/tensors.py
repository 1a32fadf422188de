"""Files of torch with other values and other tensors in them, as torch itself writes them."""

import io
import math
import pickletools
import random
import warnings
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from tests.fuzz.archives import change_steps, pack, read_records
from tests.fuzz.damage import NUMBERS, change_tree, damage, odd_value, write_number

_MOST_NUMBERS = 100_000


def change_values(data: bytes, draw: random.Random) -> bytes:
    """A file of torch with other plain values, or another tensor, written by torch itself."""
    contents = torch.load(io.BytesIO(data), weights_only=False)  # a good file of ours
    return save_bytes(change_tree(contents, draw, lambda old: _odd_leaf(old, draw)))


def change_tensor(data: bytes, draw: random.Random) -> bytes:
    """A file of torch with another tensor in its state, or other numbers in one of its records."""
    if draw.random() < 0.4:
        records = read_records(data)
        places = [i for i, each in enumerate(records) if b"/data/" in each.name and each.data]
        index = draw.choice(places)
        records[index] = replace(records[index], data=_other_numbers(records[index].data, draw))
        return pack(records)
    contents = torch.load(io.BytesIO(data), weights_only=False)  # a good file of ours
    state = contents.get("state") or contents.get("state_dict") or contents
    name = draw.choice([key for key, value in state.items() if isinstance(value, Tensor)])
    state[name] = odd_tensor(state[name], draw)
    return save_bytes(contents)


def _other_numbers(data: bytes, draw: random.Random) -> bytes:
    width = draw.choice((2, 4, 8))
    start = draw.randrange(max(1, len(data) // width)) * width
    new = draw.choice(NUMBERS) % (1 << 8 * width)
    packed = new.to_bytes(width, "little")
    changed = data[:start] + packed[: len(data) - start] + data[start + width :]
    return (
        changed if draw.random() < 0.7 else damage(data, draw)[: len(data)].ljust(len(data), b"\0")
    )


def change_legacy(data: bytes, draw: random.Random) -> bytes:
    """A file of torch without zip: one of its five pickles, or a size behind them, is another."""
    if draw.random() < 0.3:
        contents = torch.load(io.BytesIO(data), weights_only=False)  # a good file of ours
        changed = change_tree(contents, draw, lambda old: _odd_leaf(old, draw))
        return save_bytes(changed, _use_new_zipfile_serialization=False)
    pieces, start = [], 0
    for _ in range(5):
        *_, (_, _, last) = pickletools.genops(data[start:])
        pieces.append(data[start : start + last + 1])
        start += last + 1
    numbers = data[start:]
    place = draw.choice((0, 1, 2, 3, 3, 3, 4, 5))
    if place == 5:
        numbers = draw.choice(
            (write_number(numbers[:8], draw) + numbers[8:], damage(numbers, draw))
        )
    else:
        pieces[place] = change_steps(pieces[place], draw)
    return b"".join(pieces) + numbers


def save_bytes(contents: Any, **options: bool) -> bytes:
    """What torch writes."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            torch.save(contents, file, **options)
        except (RuntimeError, UnicodeEncodeError, RecursionError):  # it cannot write everything
            file = io.BytesIO()
            torch.save(repr(contents), file, **options)
    return file.getvalue()


def _odd_leaf(old: Any, draw: random.Random) -> Any:
    if isinstance(old, Tensor) and draw.random() < 0.8:
        return odd_tensor(old, draw)
    return draw.choice((odd_value(draw), {5: old}, (old, old), b"x"))


def odd_tensor(old: Tensor, draw: random.Random) -> Tensor:
    """A tensor where another one is expected; sparse ones have not been checked by torch."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return draw.choice(_TENSORS)(_plain(old), draw)
        except (RuntimeError, IndexError, TypeError, ValueError):  # not of this tensor
            return torch.zeros(draw.choice(((), (0,), (1, 1), (3, 5), (2, 0, 4))))


def _plain(old: Tensor) -> Tensor:
    """A dense tensor; in place of one that is not, which may be bad already, one of its shape."""
    if old.layout == torch.strided and old.device.type == "cpu" and not old.is_quantized:
        return old
    shape = tuple(old.shape) if old.numel() < _MOST_NUMBERS else (4, 4)
    return torch.arange(math.prod(shape)).reshape(shape) % 3 - 1.0


def _bad_rows(old: Tensor, draw: random.Random) -> Tensor:
    """A CSR tensor of the same shape, with one or two indices out of place."""
    flat = old.reshape(len(old), -1).float()
    rows = flat.to_sparse_csr()
    ends, columns, values = rows.crow_indices(), rows.col_indices(), rows.values()
    for part in (ends, columns)[draw.randrange(2) :]:
        if part.numel() and draw.random() < 0.9:
            place = draw.randrange(part.numel())
            part[place] = draw.choice((part[place] + 1, part[place] - 1, -1, 2**31 - 1, 2**62, 0))
    kind = draw.choice((torch.int32, torch.int64))
    if draw.random() < 0.2:
        values = values[: draw.randrange(len(values) + 1)]
    size = draw.choice(
        (tuple(flat.shape), tuple(flat.shape), (2**40, flat.shape[1]), (len(flat), 2**40))
    )
    return torch.sparse_csr_tensor(
        ends.to(kind), columns.to(kind), values, size=size, check_invariants=False
    )


_TENSORS: tuple[Any, ...] = (
    _bad_rows,
    _bad_rows,
    _bad_rows,
    lambda old, draw: old.to(draw.choice((torch.float64, torch.int32, torch.bool, torch.bfloat16))),
    lambda old, draw: old.to(
        draw.choice((torch.complex64, torch.float16, torch.uint16, torch.int8))
    ),
    lambda old, draw: old.to(torch.float8_e4m3fn),
    lambda old, draw: old[:-1],
    lambda old, draw: old.reshape(-1),
    lambda old, draw: old[None],
    lambda old, draw: old.t(),
    lambda old, draw: old.reshape(-1)[:1].expand(old.shape),
    lambda old, draw: torch.zeros(1).expand(draw.choice(((10**12,), (2**31, 2**31), (4, 2**40)))),
    lambda old, draw: torch.cat([old.reshape(-1)] * 2)[::2].reshape(old.shape),
    lambda old, draw: old.to_sparse_coo(),
    lambda old, draw: old.reshape(len(old), -1).to_sparse_csc(),
    lambda old, draw: old.reshape(len(old), -1).to_sparse_bsr((1, 1)),
    lambda old, draw: torch.quantize_per_tensor(old, 0.1, 0, torch.qint8),
    lambda old, draw: torch.nn.Parameter(old),
    lambda old, draw: old.to("meta"),
    lambda old, draw: torch.full_like(old, draw.choice((float("nan"), float("inf"), 1e38, 1e-45))),
    lambda old, draw: torch.full_like(old, -0.0),
    lambda old, draw: torch.zeros_like(old),
    lambda old, draw: torch.where(_coins(old, draw) < 0.1, draw.choice((3e38, 1e-30)), old),
    lambda old, draw: torch._neg_view(old),
    lambda old, draw: torch.zeros((1,) * draw.choice((0, 20, 40, 64))),
)


def _coins(old: Tensor, draw: random.Random) -> Tensor:
    return torch.rand(old.shape, generator=torch.Generator().manual_seed(draw.randrange(2**31)))
