"""Blind damage, such as a bad disk, a cut transfer or a clumsy editor does; and odd values."""

import random
from collections.abc import Callable
from typing import Any

NUMBERS = (
    *(0, 1, 2, 3, 7, 8, 9, 16, 100, 255, 256, 2**15, 2**31 - 1, 2**31, 2**32, 2**53, 2**62),
    *(2**63 - 1, 2**63, 2**64, 2**127, 10**18, 10**400, -1, -2, -(2**31), -(2**63), -(10**400)),
)
"""Whole numbers that readers stumble over.

None lies between 10^5 and 10^9: there a count may be meant, and the work that it asks for be done.
"""
FLOATS = (0.0, -0.0, 0.5, 1.0, -1.0, 1e-320, 1e308, -1e308, 1e39, float("inf"), float("nan"))
TEXTS = (
    *("", "x", "0", "-1", "None", "nan", "a" * 5000, "é", "\x00", "\n", "\x1b[31m", "\ud800"),
    *("../x", "/etc/hostname", "/dev/zero", "..", ".", "~", "a/b", "{x}", "{0}", "%s", "glyphs"),
    *("float32", "int64", "s-fc", "d-local", "3-fc", "resnet18", "fp64", "beta-lasso", "F32"),
)


def damage(data: bytes, draw: random.Random) -> bytes:
    """Other bytes in a few places, or fewer or more of them."""
    if not data:
        return draw.randbytes(draw.randrange(1, 20))
    return draw.choice(_DAMAGES)(data, draw)


def splice(data: bytes, other: bytes, draw: random.Random) -> bytes:
    """The start of one file and the end of another."""
    return data[: draw.randrange(len(data) + 1)] + other[draw.randrange(len(other) + 1) :]


def flip(data: bytes, draw: random.Random) -> bytes:
    """One bit is another."""
    return flip_bit(data, draw.randrange(8 * len(data)))


def flip_bit(data: bytes, place: int) -> bytes:
    """One bit, counted from the first byte's lowest, is another."""
    changed = bytearray(data)
    changed[place // 8] ^= 1 << place % 8
    return bytes(changed)


def write_number(data: bytes, draw: random.Random) -> bytes:
    """An odd whole number over whatever lies there."""
    width = draw.choice((1, 2, 4, 8))
    start = draw.randrange(max(1, len(data) - width + 1))
    value = draw.choice(NUMBERS) % (1 << 8 * width)
    return _put(data, start, value.to_bytes(width, draw.choice(("little", "big"))))


def _put(data: bytes, start: int, new: bytes) -> bytes:
    return data[:start] + new[: len(data) - start] + data[start + len(new) :]


def _flip_some(data: bytes, draw: random.Random) -> bytes:
    for _ in range(draw.randrange(2, 9)):
        data = flip(data, draw)
    return data


def _cut(data: bytes, draw: random.Random) -> bytes:
    return data[: draw.randrange(len(data))]


def _cut_out(data: bytes, draw: random.Random) -> bytes:
    start = draw.randrange(len(data))
    return data[:start] + data[start + draw.choice((1, 2, 8, 64, 512)) :]


def _insert(data: bytes, draw: random.Random) -> bytes:
    start = draw.randrange(len(data) + 1)
    return data[:start] + draw.randbytes(draw.choice((1, 2, 8, 64, 512))) + data[start:]


def _append(data: bytes, draw: random.Random) -> bytes:
    return data + draw.choice((b"\0", b"\n", b"PK", data, draw.randbytes(30)))


def _overwrite(data: bytes, draw: random.Random) -> bytes:
    size = draw.choice((1, 2, 4, 16, 64))
    new = draw.choice((bytes(size), b"\xff" * size, draw.randbytes(size)))
    return _put(data, draw.randrange(len(data)), new)


def _repeat(data: bytes, draw: random.Random) -> bytes:
    start, size = draw.randrange(len(data)), draw.choice((1, 4, 16, 64, 256))
    return data[:start] + data[start : start + size] * draw.randrange(2, 5) + data[start + size :]


def _swap(data: bytes, draw: random.Random) -> bytes:
    size = draw.choice((1, 4, 16, 64))
    first, second = sorted(draw.randrange(len(data)) for _ in range(2))
    piece = data[second : second + size]
    return _put(_put(data, second, data[first : first + size]), first, piece)


_DAMAGES: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    *(flip, flip, flip, flip, _flip_some, _cut, _cut_out, _insert, _append, _overwrite),
    *(_repeat, _swap, write_number, write_number),
)


def odd_value(draw: random.Random) -> Any:
    """A plain value such as no reader expects."""
    return draw.choice(
        (
            None,
            draw.random() < 0.5,
            draw.choice(NUMBERS),
            draw.choice(FLOATS),
            draw.choice(TEXTS),
            [],
            {},
            [draw.choice(NUMBERS) for _ in range(3)],
            {"x": draw.choice(TEXTS)},
        )
    )


def change_tree(tree: Any, draw: random.Random, value: Callable[[Any], Any] | None = None) -> Any:
    """A tree of dicts, lists and tuples with something changed in it, one to three times.

    Args:
        tree: It stays as it is.
        draw: Random numbers.
        value: Makes another value of a leaf; None for `odd_value` and near ones.
    """
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        tree = _change_once(tree, draw, value)
    return tree


def _change_once(tree: Any, draw: random.Random, value: Callable[[Any], Any] | None) -> Any:
    if isinstance(tree, dict) and tree and draw.random() < 0.9:
        key = draw.choice(list(tree))
        if draw.random() < 0.85:
            return {**tree, key: _change_once(tree[key], draw, value)}
        return _change_keys(tree, key, draw)
    if isinstance(tree, list | tuple) and tree and draw.random() < 0.85:
        index = draw.randrange(len(tree))
        items = list(tree)
        if draw.random() < 0.7:
            items[index] = _change_once(items[index], draw, value)
        else:
            items[index : index + 1] = draw.choice(([], [items[index]] * 2, [odd_value(draw)]))
        return type(tree)(items) if type(tree) in (list, tuple) else tuple(items)
    if value is not None and draw.random() < 0.8:
        return value(tree)
    if isinstance(tree, bool) or draw.random() < 0.5:
        return odd_value(draw)
    return _near(tree, draw)


def _change_keys(tree: dict[Any, Any], key: Any, draw: random.Random) -> dict[Any, Any]:
    changed = dict(tree)
    how = draw.randrange(3)
    if how == 0:
        del changed[key]
    elif how == 1:
        changed[draw.choice((*TEXTS, f"{key}x"))] = draw.choice((changed[key], odd_value(draw)))
    else:
        changed[f"{key} "[: draw.randrange(len(str(key)) + 2)]] = changed.pop(key)
    return changed


def _near(value: Any, draw: random.Random) -> Any:
    """A value of the same type."""
    if isinstance(value, int):
        return draw.choice((value + 1, value - 1, -value, 2 * value, draw.choice(NUMBERS)))
    if isinstance(value, float):
        return draw.choice((value * 2, -value, draw.choice(FLOATS)))
    if isinstance(value, str):
        return draw.choice((value + "x", value[:-1], value.upper(), draw.choice(TEXTS)))
    return odd_value(draw)
