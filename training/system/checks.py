"""Checks of single values and of the keys of dicts: one line that names what is wrong."""

import json
import math
import sys
from collections.abc import Collection
from contextlib import suppress
from typing import Any, NoReturn

from training.errors import ConfigError

MAX_COUNT = 2**40
"""Most images, epochs or units that a setting may ask for."""
MAX_SEED = 2**64 - 1
MAX_TEXT = 4096
_MAX_SHOWN = 40


def check_type(name: str, value: object, kind: type) -> None:
    """Refuse a value that is not of a type; True and False are no integers.

    Raises:
        ValueError: Names the value and both types.
    """
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ValueError(f"{name} must be of type {kind.__name__}, not {type(value).__name__}")


def shown(value: object) -> str:
    """A value from a file as messages show it: short, on one line, and large ones by kind.

    >>> shown(1.5), shown("x" * 99), shown(10**400), shown([1])
    ('1.5', "'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...'", 'an integer of 1,329 bits', 'a list')
    """
    if isinstance(value, int) and value.bit_length() > 128:
        return f"an integer of {value.bit_length():,} bits"
    if isinstance(value, str):
        return repr(value if len(value) <= _MAX_SHOWN else value[:_MAX_SHOWN] + "...")
    if value is None or isinstance(value, int | float):
        return repr(value)
    return f"a {type(value).__name__}"


def check_keys(name: str, values: dict[Any, Any], expected: Collection[str]) -> None:
    """Refuse a dict whose keys are not exactly the expected ones.

    Raises:
        ValueError: Names the first key that is missing or left over.
    """
    for key in sorted(set(expected) - values.keys()):
        raise ValueError(f"{name} lacks {key!r}")
    for key in values:
        if key not in expected:
            raise ValueError(f"{name} has {shown(key)}, which this version of mdl does not know")


def check_count(name: str, value: object, lowest: int, highest: int = MAX_COUNT) -> None:
    """Refuse what is not an integer from `lowest` to `highest`.

    Raises:
        ConfigError: Names the setting and the value.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < lowest:
        rule = f"{{{name}}} must be an integer >= {{}}, not {{}}"
        raise ConfigError.naming(rule, lowest, shown(value))
    if value > highest:
        rule = f"{{{name}}} must be an integer from {{}} to {{}}, not {{}}"
        raise ConfigError.naming(rule, lowest, highest, shown(value))


def plain_nonnegative(name: str, value: object) -> float:
    """A finite number >= 0 as a plain float: of an int or float, or an array or tensor of one.

    Raises:
        ConfigError: Names the setting and the value.

    >>> import numpy as np
    >>> plain_nonnegative("lr", np.float32(0.5))
    0.5
    """
    number = value
    if hasattr(value, "item"):
        with suppress(RuntimeError, ValueError):  # more than one number, or none that can be read
            number = value.item()
    is_number = isinstance(number, int | float) and not isinstance(number, bool)
    if not is_number or not 0 <= number <= sys.float_info.max:  # type: ignore[operator]
        rule = f"{{{name}}} must be a finite number >= 0, not {{}}"
        raise ConfigError.naming(rule, shown(number))
    return float(number)  # type: ignore[arg-type]


def check_text(name: str, value: object) -> None:
    """Refuse what is not text that can be written, or is longer than any name.

    Args:
        name: A setting, or in words what the value is.
        value: Any.

    Raises:
        ConfigError: Names the setting and the value.
    """
    named = f"{{{name}}}" if name.isidentifier() else name.replace("{", "{{").replace("}", "}}")
    if not isinstance(value, str):
        raise ConfigError.naming(f"{named} must be text, not {{}}", shown(value))
    if len(value) > MAX_TEXT:
        rule = f"{named} must be text of at most {{}} characters, not {{}}"
        raise ConfigError.naming(rule, MAX_TEXT, len(value))
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise ConfigError.naming(
            f"{named} must be text that UTF-8 can hold, not {{}}", shown(value)
        )


def load_json(text: str | bytes, *, exact: bool = False) -> Any:
    """JSON without repeated keys, numbers that are not finite, halves of characters, deep nesting.

    Args:
        text: The JSON.
        exact: Whether a number must stand there as Python writes it: a checksum of the numbers then
            guards every bit of them.

    Raises:
        ValueError: It is not JSON of that kind.
    """
    number = _exact_number if exact else _finite_number
    hooks: dict[str, Any] = {"object_pairs_hook": _unique, "parse_constant": _refuse_constant}
    try:
        found = json.loads(text, parse_float=number, **hooks)
        # Half of a surrogate pair can only be written by its number.
        if "\\u" in (text if isinstance(text, str) else text.decode(errors="replace")):
            json.dumps(found, ensure_ascii=False).encode()
    except RecursionError as error:
        raise ValueError("its JSON is nested too deeply") from error
    except UnicodeEncodeError as error:
        raise ValueError("its JSON has half of a character, which no text has") from error
    return found


def _exact_number(text: str) -> float:
    if repr(float(text)) != text:
        raise ValueError(f"its JSON has the number {text:.40}, which Python writes in another way")
    return float(text)


def _finite_number(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _refuse_constant(text)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("its JSON has a key twice")
    return found


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"its JSON has {text}")
