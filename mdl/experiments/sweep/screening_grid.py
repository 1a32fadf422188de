"""The settings of runs by which screened rows are shown: one factor at a time. No torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class ScreeningGrid:
    """Values of λ, α and the learning rate, each tried with the other two as they usually are.

    Attributes:
        epochs: Of every run.
        l1: Values of λ, of all layers.
        widths: Values of α.
        rates: Values of the learning rate.
        usual_l1: λ where it is not what varies.
        usual_rate: The learning rate where it is not what varies.
    """

    epochs: int
    l1: tuple[float, ...]
    widths: tuple[int, ...]
    rates: tuple[float, ...]
    usual_l1: float = 2e-5
    usual_rate: float = 0.1


@dataclass(frozen=True, kw_only=True)
class Factor:
    """One setting that varies.

    Attributes:
        name: As figures have it.
        steps: Each value, ascending, with the fields of `TrainConfig` that say it.
    """

    name: str
    steps: tuple[tuple[float, dict[str, Any]], ...]


def factors(choice: ScreeningGrid, *, width: int) -> list[Factor]:
    """λ, α and the learning rate, the usual value of each among its values.

    Args:
        choice: The values.
        width: The usual α.

    >>> grid = ScreeningGrid(epochs=1, l1=(1e-4,), widths=(4, 16), rates=(0.1,))
    >>> for factor in factors(grid, width=8):
    ...     print(factor.name, [value for value, _ in factor.steps])
    λ [2e-05, 0.0001]
    α [4, 8, 16]
    learning rate [0.1]
    """
    usual = {
        "l1_conv": choice.usual_l1,
        "l1_fc": choice.usual_l1,
        "base_channels": width,
        "lr": choice.usual_rate,
    }
    values: tuple[tuple[str, Sequence[float], tuple[str, ...]], ...] = (
        ("λ", (*choice.l1, choice.usual_l1), ("l1_conv", "l1_fc")),
        ("α", (*choice.widths, width), ("base_channels",)),
        ("learning rate", (*choice.rates, choice.usual_rate), ("lr",)),
    )
    return [
        Factor(
            name=name,
            steps=tuple((each, usual | dict.fromkeys(fields, each)) for each in sorted(set(tried))),
        )
        for name, tried, fields in values
    ]
