"""Augmentation policies as plain data: which operations, how likely and how strong. No torch.

The operations are those of AutoAugment (Cubuk et al. 2019) and work as Pillow's do. What the
magnitude of each means:

| operation | magnitude |
|---|---|
| Identity, AutoContrast, Invert, Equalize | 0, without meaning |
| ShearX, ShearY | pixels of shift for each pixel of distance from the top left corner |
| TranslateX, TranslateY | shift as a share of the side |
| Rotate | degrees, counter-clockwise around the centre |
| Solarize | values from here on are inverted, 0 to 256 |
| Posterize | bits that stay, whole, 1 to 8 |
| Contrast, Color, Brightness, Sharpness | factor, >= 0; 1 changes nothing |
| Cutout | side of the square as a share of the image's side; 0 for none |

Shears, translations and rotations go one way or the other with equal chances.

A table in the published form of Fast AutoAugment (Lim et al. 2019) is a list of sub-policies, a
sub-policy a list of (operation, probability, level), all levels in [0, 1]. An image gets one
sub-policy, drawn uniformly.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MIRRORED = ("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate")
"""Operations whose magnitude gets a random sign."""
OPERATIONS = (
    *MIRRORED,
    "AutoContrast",
    "Invert",
    "Equalize",
    "Solarize",
    "Posterize",
    "Contrast",
    "Color",
    "Brightness",
    "Sharpness",
    "Cutout",
    "Identity",
)
PolicyTable = tuple[tuple[tuple[str, float, float], ...], ...]
LEVEL_RANGES: dict[str, tuple[float, float]] = {
    "ShearX": (-0.3, 0.3),
    "ShearY": (-0.3, 0.3),
    "TranslateX": (-0.45, 0.45),
    "TranslateY": (-0.45, 0.45),
    "Rotate": (-30, 30),
    "AutoContrast": (0, 0),
    "Invert": (0, 0),
    "Equalize": (0, 0),
    "Solarize": (0, 256),
    "Posterize": (4, 8),
    "Contrast": (0.1, 1.9),
    "Color": (0.1, 1.9),
    "Brightness": (0.1, 1.9),
    "Sharpness": (0.1, 1.9),
    "Cutout": (0, 0.2),
}
"""Magnitudes at levels 0 and 1 of a table.

A level of 1/2 of a shear, translation or rotation is thus none, and its sign is drawn all the same.
"""
_FORM = (
    "a list of sub-policies, each a list of [name, probability, level], such as "
    '[[["Rotate", 0.7, 0.2], ["Invert", 0.1, 0.5]]]'
)


@dataclass(frozen=True, kw_only=True)
class PolicyStep:
    """One operation that may happen to an image.

    Attributes:
        operation: One of `OPERATIONS`.
        probability: That it happens, in [0, 1].
        magnitude: In the operation's own unit; see the module.
    """

    operation: str
    probability: float
    magnitude: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Policy:
    """What is done to every image: `rounds` times, the steps of one sub-policy drawn uniformly.

    Two policies are equal only if they are one object, so that a policy is a cheap key.

    Attributes:
        name: For people.
        subpolicies: At least one; each has at least one step, and they happen in order.
        rounds: Independent draws of a sub-policy for an image, >= 1.
    """

    name: str
    subpolicies: tuple[tuple[PolicyStep, ...], ...]
    rounds: int = 1

    @property
    def num_steps(self) -> int:
        """Steps of the longest sub-policy."""
        return max(len(subpolicy) for subpolicy in self.subpolicies)


def read_policy_table(path: Path) -> PolicyTable:
    """A table from a JSON file: the list itself, or an object that has it as "subpolicies".

    Raises:
        ValueError: Not such a file; names the file, the place in it and the rule.
    """
    from training.system.files import MAX_JSON_BYTES, read_bytes  # noqa: PLC0415  # loads NumPy

    data = read_bytes(path, what="a policy table", cap=MAX_JSON_BYTES, error=ValueError)
    try:
        contents = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON ({error}); a policy table is {_FORM}") from error
    if isinstance(contents, dict):
        if "subpolicies" not in contents:
            raise ValueError(f'{path}: an object must have "subpolicies", {_FORM}')
        contents = contents["subpolicies"]
    try:
        return check_policy_table(contents)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def check_policy_table(table: Any) -> PolicyTable:
    """The same table as tuples.

    Raises:
        ValueError: Names the sub-policy and its operation, counted from 1, the field and the rule.

    >>> check_policy_table([[["Invert", 0.5, 1]]])
    ((('Invert', 0.5, 1.0),),)
    >>> check_policy_table([[["Invert", 0.5, 1]], [["Rotate", 0.5, 1.5]]])
    Traceback (most recent call last):
        ...
    ValueError: sub-policy 2, operation 1: level must lie in [0, 1], not 1.5
    """
    if not _is_list(table) or not table:
        found = "an empty list" if _is_list(table) else f"{table!r:.60}"
        raise ValueError(f"a policy table must be {_FORM}, not {found}")
    return tuple(
        _check_subpolicy(subpolicy, f"sub-policy {number}")
        for number, subpolicy in enumerate(table, start=1)
    )


def table_policy(name: str, table: PolicyTable) -> Policy:
    """The policy of a table that has been checked.

    >>> policy = table_policy("one", ((("TranslateX", 0.7, 1.0),),))
    >>> policy.subpolicies
    ((PolicyStep(operation='TranslateX', probability=0.7, magnitude=0.45),),)
    """
    return Policy(
        name=name,
        subpolicies=tuple(tuple(_step(*entry) for entry in subpolicy) for subpolicy in table),
    )


def _step(operation: str, probability: float, level: float) -> PolicyStep:
    low, high = LEVEL_RANGES[operation]
    magnitude = level * (high - low) + low
    if operation == "Posterize":
        magnitude = int(magnitude)
    return PolicyStep(operation=operation, probability=probability, magnitude=magnitude)


def _check_subpolicy(subpolicy: Any, where: str) -> tuple[tuple[str, float, float], ...]:
    if not _is_list(subpolicy) or not subpolicy:
        raise ValueError(f"{where} must be a list of one operation or more, not {subpolicy!r:.60}")
    return tuple(
        _check_entry(entry, f"{where}, operation {number}")
        for number, entry in enumerate(subpolicy, start=1)
    )


def _check_entry(entry: Any, where: str) -> tuple[str, float, float]:
    if not _is_list(entry) or len(entry) != 3:
        raise ValueError(f"{where} must be [name, probability, level], not {entry!r:.60}")
    operation, probability, level = entry
    if not isinstance(operation, str) or operation not in LEVEL_RANGES:
        names = ", ".join(LEVEL_RANGES)
        raise ValueError(f"{where}: name must be one of {names}, not {operation!r:.60}")
    for field, value in (("probability", probability), ("level", level)):
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not 0 <= value <= 1:
            raise ValueError(f"{where}: {field} must lie in [0, 1], not {value!r:.60}")
    return operation, float(probability), float(level)


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)
