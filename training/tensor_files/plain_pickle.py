"""Reads a pickle as data: an interpreter that can build containers and nothing else. No torch.

A pickle is a program for a stack machine. Python's own reader calls whatever the program names.
This one knows the few steps that plain values need, calls only the functions that it is given,
and leaves everything else as an `Opaque` marker: nothing of the file is ever imported or run.
Steps that only such other things need are refused.
"""

import pickletools
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

MAX_BYTES = 1 << 24
"""Longest pickle that is read: a step of one byte can take some 60 bytes of memory."""

_MARK = object()
_SINGLE = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_NUMBERS = ("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT")
_TEXTS = ("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINSTRING", "SHORT_BINSTRING")
_BYTES = ("BINBYTES", "SHORT_BINBYTES", "BINBYTES8")
_TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


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
        max_bytes: Longest pickle that is read. Where that is more than `MAX_BYTES`, it must be for
            the sake of long texts or bytes in it: no pickle may have more than `MAX_BYTES` steps.

    Raises:
        ValueError: It is too long, damaged, or has steps that plain values do not need.

    >>> import pickle
    >>> read_plain_pickle(pickle.dumps({"a": [1, (2.5, None)]}), {}, lambda found: None)
    {'a': [1, (2.5, None)]}
    """
    if len(data) > max_bytes:
        raise ValueError(f"its list of contents has more than {max_bytes >> 20} MiB")
    machine = _Machine(known, load_persistent)
    with warnings.catch_warnings():  # of texts with escapes that Python does not know
        warnings.simplefilter("ignore", DeprecationWarning)
        for number, (name, argument) in enumerate(_read_steps(data)):
            if number > MAX_BYTES:
                raise ValueError(f"its list of contents has more than {MAX_BYTES:,} steps")
            try:
                if name == "STOP":
                    return machine.pop()
                machine.step(name, argument)
            except (IndexError, KeyError, TypeError, AttributeError, RecursionError) as error:
                raise ValueError("its list of contents is damaged") from error
    raise ValueError("its list of contents is cut short")


def _read_steps(data: bytes) -> Iterator[tuple[str, Any]]:
    try:
        for opcode, argument, _ in pickletools.genops(data):
            yield opcode.name, argument
    except ValueError as error:
        raise ValueError("its list of contents is damaged") from error


class _Machine:
    """Stack and memory of one reading."""

    def __init__(self, known: Mapping[str, Any], load_persistent: Callable[[Any], Any]) -> None:
        self._known = known
        self._load_persistent = load_persistent
        self._stack: list[Any] = []
        self._memory: dict[int, Any] = {}

    def step(self, name: str, argument: Any) -> None:
        """Take one step."""
        push = self._stack.append
        if name in _NUMBERS or name in _TEXTS or name in _BYTES:
            push(argument)
        elif name in ("BINGET", "LONG_BINGET"):
            push(self._memory[argument])
        elif name in ("BINPUT", "LONG_BINPUT"):
            self._memory[argument] = self._top()
        elif name == "MEMOIZE":
            self._memory[len(self._memory)] = self._top()
        elif name == "MARK":
            push(_MARK)
        elif name in _SINGLE:
            push(_SINGLE[name])
        elif name in _TUPLES:
            push(self._pop_many(_TUPLES[name]))
        elif name == "TUPLE":
            push(tuple(self._pop_to_mark()))
        elif name == "EMPTY_DICT":
            push({})
        elif name == "EMPTY_LIST":
            push([])
        else:
            self._step_into_object(name, argument)

    def pop(self) -> Any:
        """The value on top, which no mark may be."""
        value = self._stack.pop()
        if value is _MARK:
            raise ValueError("its list of contents is damaged")
        return value

    def _step_into_object(self, name: str, argument: Any) -> None:
        if name in ("APPEND", "APPENDS"):
            items = [self.pop()] if name == "APPEND" else self._pop_to_mark()
            target = self._top()
            if isinstance(target, list):
                target += items
        elif name in ("SETITEM", "SETITEMS"):
            self._set_items(list(self._pop_many(2)) if name == "SETITEM" else self._pop_to_mark())
        elif name == "GLOBAL":
            self._push_known(argument)
        elif name == "STACK_GLOBAL":
            module, member = self._pop_many(2)
            if not isinstance(module, str) or not isinstance(member, str):
                raise ValueError("its list of contents is damaged")
            self._push_known(f"{module} {member}")
        elif name in ("REDUCE", "NEWOBJ", "NEWOBJ_EX"):
            function, arguments, *_ = self._pop_many(3 if name == "NEWOBJ_EX" else 2)
            self._stack.append(self._call(function, arguments))
        elif name in ("EMPTY_SET", "ADDITEMS", "FROZENSET"):
            self._step_into_set(name)
        elif name == "BUILD":
            state = self.pop()  # attributes of an object: plain values have none
            set_state = getattr(self._top(), "set_state", None)  # of what a known function made
            if set_state is not None:
                set_state(state)
        elif name == "BINPERSID":
            self._stack.append(self._load_persistent(self.pop()))
        elif name not in ("PROTO", "FRAME"):
            raise ValueError(f"its list of contents has the step {name}, which no tensor needs")

    def _step_into_set(self, name: str) -> None:
        if name != "EMPTY_SET":
            self._pop_to_mark()
        if name != "ADDITEMS":
            self._stack.append(Opaque("set"))

    def _top(self) -> Any:
        value = self.pop()
        self._stack.append(value)
        return value

    def _pop_many(self, count: int) -> tuple[Any, ...]:
        return tuple([self.pop() for _ in range(count)][::-1])

    def _pop_to_mark(self) -> list[Any]:
        items: list[Any] = []
        while (value := self._stack.pop()) is not _MARK:
            items.append(value)
        return items[::-1]

    def _set_items(self, items: list[Any]) -> None:
        target = self._top()
        if len(items) % 2:
            raise ValueError("its list of contents is damaged")
        if not isinstance(target, dict):
            return
        for key, value in zip(items[::2], items[1::2], strict=True):
            # Only such keys: the hash of a deeply nested tuple would overrun the stack.
            if isinstance(key, str | int | float | bytes | None):
                target[key] = value

    def _push_known(self, pair: str) -> None:
        self._stack.append(self._known.get(pair, Opaque(pair.replace(" ", "."))))

    def _call(self, function: Any, arguments: Any) -> Any:
        if isinstance(function, Opaque):
            return function
        if not callable(function) or not isinstance(arguments, tuple):
            raise ValueError("its list of contents is damaged")
        return function(*arguments)
