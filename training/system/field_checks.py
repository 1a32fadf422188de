"""Checks of values that come from a file: their types, and the keys of dicts. No torch."""

from typing import Any


def check_type(name: str, value: object, kind: type) -> None:
    """Refuse a value that is not of a type; True and False are no integers.

    Raises:
        ValueError: Names the value and both types.
    """
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ValueError(f"{name} must be of type {kind.__name__}, not {type(value).__name__}")


def check_keys(name: str, values: dict[Any, Any], expected: set[str]) -> None:
    """Refuse a dict whose keys are not exactly the expected ones.

    Raises:
        ValueError: Names the first key that is missing or left over.
    """
    for key in sorted(expected - values.keys()):
        raise ValueError(f"{name} lacks {key!r}")
    for key in values:
        if key not in expected:
            raise ValueError(f"{name} has {key!r}, which this version of mdl does not know")
