"""Reads a pickle as data: an interpreter that can build containers and nothing else. No torch.

A pickle is a program for a stack machine. Python's own reader calls whatever the program names.
This one knows the few steps that plain values need, calls only the functions that it is given,
and leaves everything else as an `Opaque` marker: nothing of the file is ever imported or run.
Steps that only such other things need are refused. So is what would take more time or memory to
go through than the pickle's length lets one expect: very many steps, values nested very deeply or
in themselves, and values that are shared so often that a copy of them all would never end.
"""

import pickletools
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MAX_BYTES = 1 << 24
"""16 MiB: longest pickle that is read."""
MAX_STEPS = 1 << 21
"""Most steps of one: some 60,000 tensors. A step of one byte can take 70 bytes of memory."""
MAX_VALUES = 1 << 21
"""Most values that one may hold, those that are shared counted at every place."""
MAX_DEPTH = 200
"""Most containers inside one another."""

_MAX_LARGE_KEYS = 100
_DAMAGED = "its list of contents is damaged"


def _decode(found: bytes) -> str:
    try:
        return found.decode()
    except UnicodeDecodeError as error:
        raise ValueError("its list of contents is damaged: a text in it is not UTF-8") from error


_MARK = object()
_CODES = {opcode.name: ord(opcode.code) for opcode in pickletools.opcodes}
_NAMES = {code: name for name, code in _CODES.items()}
_FIXED = {
    _CODES[name]: struct.Struct(form)
    for name, form in (
        ("BININT", "<i"),
        ("BININT1", "<B"),
        ("BININT2", "<H"),
        ("BINFLOAT", ">d"),
        ("BINGET", "<B"),
        ("LONG_BINGET", "<I"),
        ("BINPUT", "<B"),
        ("LONG_BINPUT", "<I"),
        ("PROTO", "<B"),
        ("FRAME", "<Q"),
    )
}
"""Steps with an argument of fixed size."""
_COUNTED: dict[int, tuple[int, Callable[[bytes], Any]]] = {
    _CODES[f"{prefix}{kind}{suffix}"]: (size, make)
    for kind, make in (("BINUNICODE", _decode), ("BINBYTES", bytes))
    for prefix, suffix, size in (("SHORT_", "", 1), ("", "", 4), ("", "8", 8))
} | {
    _CODES["SHORT_BINSTRING"]: (1, lambda found: found.decode("latin-1")),  # of Python 2
    _CODES["BINSTRING"]: (4, lambda found: found.decode("latin-1")),
    _CODES["LONG1"]: (1, lambda found: int.from_bytes(found, "little", signed=True)),
}
"""Steps with an argument behind its length: the bytes of that length, and what makes it."""


@dataclass(frozen=True)
class Opaque:
    """Something that is no plain value; it was not made, only its name was read.

    Attributes:
        name: Module and name of its class or function.
    """

    name: str


def read_plain_pickle(
    data: bytes,
    known: Mapping[str, Any],
    load_persistent: Callable[[Any], Any],
    *,
    max_bytes: int = MAX_BYTES,
) -> Any:
    """The value that a pickle describes.

    Args:
        data: The pickle.
        known: What "module name" pairs stand for. Functions among them are called with plain
            values, opaque ones and each other's results; they must check what they get.
        load_persistent: Called with the persistent ids in it.
        max_bytes: Longest pickle that is read; more than `MAX_BYTES` where it may hold long texts.

    Raises:
        ValueError: It is too long, damaged, has steps that plain values do not need, or holds
            more values, or more deeply nested ones, than the limits of this module.

    >>> import pickle
    >>> read_plain_pickle(pickle.dumps({"a": [1, (2.5, None)]}), {}, lambda found: None)
    {'a': [1, (2.5, None)]}
    """
    if len(data) > max_bytes:
        raise ValueError(f"its list of contents has more than {max_bytes >> 20} MiB")
    machine = _Machine(known, load_persistent)
    try:
        value = machine.run(data)
    except (IndexError, KeyError, TypeError, AttributeError, RecursionError, struct.error) as error:
        raise ValueError(_DAMAGED) from error
    _check_extent(value)
    return value


class _Machine:
    """Stack and memory of one reading."""

    def __init__(self, known: Mapping[str, Any], load_persistent: Callable[[Any], Any]) -> None:
        self._known = known
        self._load_persistent = load_persistent
        self._stack: list[Any] = []
        self._memory: dict[int, Any] = {}
        push = self._stack.append
        steps: dict[str, Callable[[Any], None]] = {
            **dict.fromkeys(("PROTO", "FRAME"), lambda _: None),
            **dict.fromkeys(("BINGET", "LONG_BINGET"), lambda place: push(self._memory[place])),
            **dict.fromkeys(("BINPUT", "LONG_BINPUT"), self._memorize),
            "MEMOIZE": lambda _: self._memorize(len(self._memory)),
            "MARK": lambda _: push(_MARK),
            "NONE": lambda _: push(None),
            "NEWTRUE": lambda _: push(True),
            "NEWFALSE": lambda _: push(False),
            "EMPTY_DICT": lambda _: push({}),
            "EMPTY_LIST": lambda _: push([]),
            "EMPTY_TUPLE": lambda _: push(()),
            "TUPLE1": lambda _: push(self._pop_many(1)),
            "TUPLE2": lambda _: push(self._pop_many(2)),
            "TUPLE3": lambda _: push(self._pop_many(3)),
            "TUPLE": lambda _: push(tuple(self._pop_to_mark())),
            "APPEND": lambda _: self._append([self._pop()]),
            "APPENDS": lambda _: self._append(self._pop_to_mark()),
            "SETITEM": lambda _: self._set_items(list(self._pop_many(2))),
            "SETITEMS": lambda _: self._set_items(self._pop_to_mark()),
            "GLOBAL": self._push_known,
            "STACK_GLOBAL": lambda _: self._push_known(self._pop_many(2)),
            "REDUCE": lambda _: self._call(*self._pop_many(2)),
            "NEWOBJ": lambda _: self._call(*self._pop_many(2)),
            "NEWOBJ_EX": lambda _: self._call(*self._pop_many(3)),
            "BUILD": lambda _: self._build(self._pop()),
            "EMPTY_SET": lambda _: push(Opaque("set")),
            "FROZENSET": lambda _: (self._pop_to_mark(), push(Opaque("set")))[1],
            "ADDITEMS": lambda _: self._drop(self._pop_to_mark()),
            "BINPERSID": lambda _: push(self._load_persistent(self._pop())),
        }
        values = dict.fromkeys((*_FIXED, *_COUNTED), push)
        self._steps = values | {_CODES[name]: step for name, step in steps.items()}

    def run(self, data: bytes) -> Any:
        """Take the steps; an argument lies in the data, whole, before it is made."""
        at, steps, stop, name = 0, self._steps, _CODES["STOP"], _CODES["GLOBAL"]
        for _ in range(MAX_STEPS):
            if at >= len(data):
                raise ValueError("its list of contents is cut short")
            code, argument, at = data[at], None, at + 1
            if code in _FIXED:
                argument, at = _FIXED[code].unpack_from(data, at)[0], at + _FIXED[code].size
            elif code in _COUNTED:
                width, make = _COUNTED[code]
                start = at + width
                at = start + int.from_bytes(data[at:start], "little")
                if at > len(data):
                    raise ValueError(_DAMAGED)
                argument = make(data[start:at])
            elif code == name:
                end = data.index(b"\n", data.index(b"\n", at) + 1)
                argument, at = _decode(data[at:end]).split("\n"), end + 1
            elif code == stop:
                return self._pop()
            if code not in steps:
                what = _NAMES.get(code)
                raise ValueError(
                    f"its list of contents has the step {what}, which no tensor needs"
                    if what
                    else _DAMAGED
                )
            steps[code](argument)
        raise ValueError(f"its list of contents has more than {MAX_STEPS:,} steps")

    def _memorize(self, place: int) -> None:
        self._memory[place] = self._top()

    def _pop(self) -> Any:
        """The value on top, which no mark may be."""
        value = self._stack.pop()
        if value is _MARK:
            raise ValueError(_DAMAGED)
        return value

    def _drop(self, _taken: Any) -> None:
        self._top()

    def _build(self, state: Any) -> None:
        """Plain values have no attributes; what a known function made may take some."""
        set_state = getattr(self._top(), "set_state", None)
        if set_state is not None:
            set_state(state)

    def _append(self, items: list[Any]) -> None:
        target = self._top()
        if isinstance(target, list):
            target += items

    def _top(self) -> Any:
        value = self._stack[-1]
        if value is _MARK:
            raise ValueError(_DAMAGED)
        return value

    def _pop_many(self, count: int) -> tuple[Any, ...]:
        return tuple([self._pop() for _ in range(count)][::-1])

    def _pop_to_mark(self) -> list[Any]:
        items: list[Any] = []
        while (value := self._stack.pop()) is not _MARK:
            items.append(value)
        return items[::-1]

    def _set_items(self, items: list[Any]) -> None:
        target = self._top()
        if len(items) % 2:
            raise ValueError(_DAMAGED)
        if not isinstance(target, dict):
            return
        for key, value in zip(items[::2], items[1::2], strict=True):
            # Large integers can be made to have one hash, which makes a dict of many slow.
            if isinstance(key, int) and key.bit_length() > 64 and len(target) > _MAX_LARGE_KEYS:
                raise ValueError("its list of contents has many keys of more than 64 bits")
            # Only such keys: the hash of a deeply nested tuple would overrun the stack.
            if isinstance(key, str | int | float | bytes | None):
                target[key] = value

    def _push_known(self, names: Sequence[Any]) -> None:
        if not all(isinstance(name, str) for name in names):
            raise ValueError(_DAMAGED)
        self._stack.append(self._known.get(" ".join(names), Opaque(".".join(names))))

    def _call(self, function: Any, arguments: Any, _named: Any = None) -> None:
        if isinstance(function, Opaque):
            self._stack.append(function)
        elif callable(function) and isinstance(arguments, tuple):
            self._stack.append(function(*arguments))
        else:
            raise ValueError(_DAMAGED)


def _check_extent(value: Any) -> None:
    """Refuse values without end: nested too deeply or in themselves, or shared too often.

    Each container is gone through once, whatever the number of places that it stands at.
    """
    if not isinstance(value, dict | list | tuple):
        return
    counts: dict[int, int] = {}  # values in a container that has been gone through, by identity
    open_ones = {id(value)}
    path = [(value, _parts(value))]
    totals = [1]
    while path:
        for part in path[-1][1]:
            if not isinstance(part, dict | list | tuple):
                totals[-1] += 1
            elif id(part) in counts:
                totals[-1] += counts[id(part)]
            else:
                if id(part) in open_ones:
                    raise ValueError("its list of contents holds a value that contains itself")
                if len(path) == MAX_DEPTH:
                    raise ValueError(f"its list of contents is nested more than {MAX_DEPTH} deep")
                open_ones.add(id(part))
                path.append((part, _parts(part)))
                totals.append(1)
                break
            if totals[-1] > MAX_VALUES:
                raise ValueError(f"its list of contents stands for more than {MAX_VALUES:,} values")
        else:
            done, _ = path.pop()
            open_ones.discard(id(done))
            counts[id(done)] = totals.pop()
            if totals:
                totals[-1] += counts[id(done)]
                if totals[-1] > MAX_VALUES:
                    raise ValueError(
                        f"its list of contents stands for more than {MAX_VALUES:,} values"
                    )


def _parts(value: Any) -> Iterator[Any]:
    return iter(value.values() if isinstance(value, dict) else value)
