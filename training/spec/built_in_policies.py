"""The policies that have a name: AutoAugment's for CIFAR-10 and SVHN, RandAugment, TrivialAugment.

Levels become magnitudes as in each paper's published code, where a maximal level is 10
(AutoAugment) or 30 (the others) and pixels are those of images of side 32:

| operation | AutoAugment | RandAugment | TrivialAugment (wide) |
|---|---|---|---|
| ShearX, ShearY | 0.3 | 0.3 | 0.99 |
| TranslateX, TranslateY, whole pixels | 10 | 14.4 | 32 |
| Rotate, whole degrees | 30 | 30 | 135 |
| Solarize, from 256 down to | 0 | 0 | 0 |
| Posterize, bits | 4 to 0 | 8 to 4 | 8 to 2 |
| Contrast, Color, Brightness, Sharpness | 0.1 to 1.9 | 0.1 to 1.9 | 0.01 to 2 |

On images of another side, translations are the same share of the side. No torch.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache

from training.spec.policy import Policy, PolicyStep

RAND_NUM_OPERATIONS, RAND_LEVEL = 3, 5
"""N and M of RandAugment (M of 30): the paper's for Wide-ResNet-28-10 on CIFAR-10."""
_SIDE = 32
_FINE_LEVELS = 30
_OPERATIONS = (
    "Identity",
    "AutoContrast",
    "Equalize",
    "Rotate",
    "Solarize",
    "Color",
    "Posterize",
    "Contrast",
    "Brightness",
    "Sharpness",
    "ShearX",
    "ShearY",
    "TranslateX",
    "TranslateY",
)

_Entry = tuple[str, float, int]
CIFAR10_TABLE: tuple[tuple[_Entry, _Entry], ...] = (
    (("Invert", 0.1, 7), ("Contrast", 0.2, 6)),
    (("Rotate", 0.7, 2), ("TranslateX", 0.3, 9)),
    (("Sharpness", 0.8, 1), ("Sharpness", 0.9, 3)),
    (("ShearY", 0.5, 8), ("TranslateY", 0.7, 9)),
    (("AutoContrast", 0.5, 8), ("Equalize", 0.9, 2)),
    (("ShearY", 0.2, 7), ("Posterize", 0.3, 7)),
    (("Color", 0.4, 3), ("Brightness", 0.6, 7)),
    (("Sharpness", 0.3, 9), ("Brightness", 0.7, 9)),
    (("Equalize", 0.6, 5), ("Equalize", 0.5, 1)),
    (("Contrast", 0.6, 7), ("Sharpness", 0.6, 5)),
    (("Color", 0.7, 7), ("TranslateX", 0.5, 8)),
    (("Equalize", 0.3, 7), ("AutoContrast", 0.4, 8)),
    (("TranslateY", 0.4, 3), ("Sharpness", 0.2, 6)),
    (("Brightness", 0.9, 6), ("Color", 0.2, 8)),
    (("Solarize", 0.5, 2), ("Invert", 0.0, 3)),
    (("Equalize", 0.2, 0), ("AutoContrast", 0.6, 0)),
    (("Equalize", 0.2, 8), ("Equalize", 0.6, 4)),
    (("Color", 0.9, 9), ("Equalize", 0.6, 6)),
    (("AutoContrast", 0.8, 4), ("Solarize", 0.2, 8)),
    (("Brightness", 0.1, 3), ("Color", 0.7, 0)),
    (("Solarize", 0.4, 5), ("AutoContrast", 0.9, 3)),
    (("TranslateY", 0.9, 9), ("TranslateY", 0.7, 9)),
    (("AutoContrast", 0.9, 2), ("Solarize", 0.8, 3)),
    (("Equalize", 0.8, 8), ("Invert", 0.1, 3)),
    (("TranslateY", 0.7, 9), ("AutoContrast", 0.9, 1)),
)
"""AutoAugment's sub-policies for CIFAR-10 (Cubuk et al. 2019, appendix): probability, level."""
SVHN_TABLE: tuple[tuple[_Entry, _Entry], ...] = (
    (("ShearX", 0.9, 4), ("Invert", 0.2, 3)),
    (("ShearY", 0.9, 8), ("Invert", 0.7, 5)),
    (("Equalize", 0.6, 5), ("Solarize", 0.6, 6)),
    (("Invert", 0.9, 3), ("Equalize", 0.6, 3)),
    (("Equalize", 0.6, 1), ("Rotate", 0.9, 3)),
    (("ShearX", 0.9, 4), ("AutoContrast", 0.8, 3)),
    (("ShearY", 0.9, 8), ("Invert", 0.4, 5)),
    (("ShearY", 0.9, 5), ("Solarize", 0.2, 6)),
    (("Invert", 0.9, 6), ("AutoContrast", 0.8, 1)),
    (("Equalize", 0.6, 3), ("Rotate", 0.9, 3)),
    (("ShearX", 0.9, 4), ("Solarize", 0.3, 3)),
    (("ShearY", 0.8, 8), ("Invert", 0.7, 4)),
    (("Equalize", 0.9, 5), ("TranslateY", 0.6, 6)),
    (("Invert", 0.9, 4), ("Equalize", 0.6, 7)),
    (("Contrast", 0.3, 3), ("Rotate", 0.8, 4)),
    (("Invert", 0.8, 5), ("TranslateY", 0.0, 2)),
    (("ShearY", 0.7, 6), ("Solarize", 0.4, 8)),
    (("Invert", 0.6, 4), ("Rotate", 0.8, 4)),
    (("ShearY", 0.3, 7), ("TranslateX", 0.9, 3)),
    (("ShearX", 0.1, 6), ("Invert", 0.6, 5)),
    (("Solarize", 0.7, 2), ("TranslateY", 0.6, 7)),
    (("ShearY", 0.8, 4), ("Invert", 0.8, 8)),
    (("ShearX", 0.7, 9), ("TranslateY", 0.8, 3)),
    (("ShearY", 0.8, 5), ("AutoContrast", 0.7, 3)),
    (("ShearX", 0.7, 2), ("Invert", 0.1, 5)),
)
"""AutoAugment's sub-policies for SVHN."""


_Magnitudes = dict[str, Callable[[int], float]]
"""How a level becomes a magnitude, for the operations that have one."""


def _magnitudes(
    *,
    levels: int,
    shear: float,
    pixels: float,
    degrees: float,
    bits: tuple[int, int],
    factor: tuple[float, float],
) -> _Magnitudes:
    """Ranges from level 0 to level `levels`; where one number is given, level 0 is 0."""

    def scale(level: int, top: float) -> float:
        return level * top / levels

    def shift(level: int) -> float:
        return int(scale(level, pixels)) / _SIDE

    def strengthen(level: int) -> float:
        return scale(level, factor[1] - factor[0]) + factor[0]

    return {
        **dict.fromkeys(("ShearX", "ShearY"), lambda level: scale(level, shear)),
        **dict.fromkeys(("TranslateX", "TranslateY"), shift),
        "Rotate": lambda level: int(scale(level, degrees)),
        "Solarize": lambda level: 256 - int(scale(level, 256)),
        "Posterize": lambda level: bits[0] - int(scale(level, bits[0] - bits[1])),
        **dict.fromkeys(("Contrast", "Color", "Brightness", "Sharpness"), strengthen),
    }


_AUTO = _magnitudes(levels=10, shear=0.3, pixels=10, degrees=30, bits=(4, 0), factor=(0.1, 1.9))
_RAND = _magnitudes(
    levels=_FINE_LEVELS, shear=0.3, pixels=14.4, degrees=30, bits=(8, 4), factor=(0.1, 1.9)
)
_WIDE = _magnitudes(
    levels=_FINE_LEVELS, shear=0.99, pixels=32, degrees=135, bits=(8, 2), factor=(0.01, 2.0)
)


def _autoaugment(name: str, table: Sequence[Sequence[_Entry]]) -> Policy:
    subpolicies = tuple(
        tuple(_step(_AUTO, operation, level, probability) for operation, probability, level in row)
        for row in table
    )
    return Policy(name=name, subpolicies=subpolicies)


def _rand() -> Policy:
    single = tuple((_step(_RAND, operation, RAND_LEVEL),) for operation in _OPERATIONS)
    return Policy(name="rand", subpolicies=single, rounds=RAND_NUM_OPERATIONS)


def _trivial() -> Policy:
    levels = range(_FINE_LEVELS + 1)
    single = tuple(
        (_step(_WIDE, operation, level),) for operation in _OPERATIONS for level in levels
    )
    return Policy(name="trivial", subpolicies=single)


def _step(
    magnitudes: _Magnitudes, operation: str, level: int, probability: float = 1.0
) -> PolicyStep:
    magnitude = magnitudes[operation](level) if operation in magnitudes else 0.0
    return PolicyStep(operation=operation, probability=probability, magnitude=magnitude)


_MAKERS: dict[str, Callable[[], Policy]] = {
    "trivial": _trivial,
    "rand": _rand,
    "autoaugment-cifar10": lambda: _autoaugment("autoaugment-cifar10", CIFAR10_TABLE),
    "autoaugment-svhn": lambda: _autoaugment("autoaugment-svhn", SVHN_TABLE),
}
BUILT_IN_POLICIES = tuple(_MAKERS)


@lru_cache
def built_in_policy(name: str) -> Policy:
    """A policy by its name, the same object each time.

    `trivial` is TrivialAugment (Müller and Hutter 2021) with the wide ranges: one of 14 operations
    at one of 31 levels. `rand` is RandAugment (Cubuk et al. 2020): N = 3 times one of the 14 at
    level M = 5 of 30.

    Raises:
        ValueError: No such policy.

    >>> policy = built_in_policy("autoaugment-cifar10")
    >>> len(policy.subpolicies), policy.subpolicies[1][0]
    (25, PolicyStep(operation='Rotate', probability=0.7, magnitude=6))
    """
    if name not in _MAKERS:
        raise ValueError(f"policy must be one of {', '.join(BUILT_IN_POLICIES)}, not {name!r}")
    return _MAKERS[name]()
