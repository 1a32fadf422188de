"""How pixels become inputs of a network: one mean and one deviation a channel. No torch."""

from dataclasses import dataclass
from typing import Literal

from training.system.checks import shown

FIXED_MEAN = 0.5
FIXED_STD = 0.25
LARGEST = 3.4028234663852886e38
"""Largest constant: what float32 holds, as a description does."""
_NUM_SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class Normalization:
    """Input = (pixel / 255 - mean) / std, channel by channel.

    Attributes:
        mean: One finite number a channel, on the scale where a white pixel is 1; all of them are
            at most what float32 holds.
        std: One finite number > 0 a channel, on the same scale.
        source: "fixed" for constants chosen before any data was seen, which a bound gets for
            nothing; "data" for those of the training set, which a bound must pay for.

    Raises:
        ValueError: A value outside its range, or lengths that differ.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    source: Literal["fixed", "data"]

    def __post_init__(self) -> None:
        for name in ("mean", "std"):
            values = getattr(self, name)
            if not isinstance(values, tuple) or not all(_is_finite(value) for value in values):
                raise ValueError(
                    f"{name} must be a tuple of finite numbers of float32, not {_shown(values)}"
                )
        if not self.mean or len(self.mean) != len(self.std):
            raise ValueError(
                f"mean and std must have one number for each channel, not {len(self.mean)} and "
                f"{len(self.std)}"
            )
        if min(self.std) <= 0:
            raise ValueError(f"std must be > 0, not {_shown(self.std)}")
        if self.source not in ("fixed", "data"):
            raise ValueError(f"source must be 'fixed' or 'data', not {shown(self.source)}")

    @property
    def num_channels(self) -> int:
        """Channels of the images that this is for."""
        return len(self.mean)


def fixed_normalization(num_channels: int) -> Normalization:
    """The constants 0.5 and 0.25 for every channel: black becomes -2 and white 2.

    >>> fixed_normalization(1)
    Normalization(mean=(0.5,), std=(0.25,), source='fixed')
    """
    return Normalization(
        mean=(FIXED_MEAN,) * num_channels, std=(FIXED_STD,) * num_channels, source="fixed"
    )


def _is_finite(value: object) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and abs(value) <= LARGEST  # type: ignore[arg-type]


def _shown(values: object) -> str:
    if not isinstance(values, tuple):
        return shown(values)
    rest = ", ..." if len(values) > _NUM_SHOWN else ""
    return f"({', '.join(shown(value) for value in values[:_NUM_SHOWN])}{rest})"
