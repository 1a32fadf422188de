"""Does a choice of λ carry over? The same values at several lengths, widths and rates. No torch."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from mdl.experiments.sweep.regimes import GainDesign, Regime
from training.spec.config import DataConfig, Precision, TrainConfig


@dataclass(frozen=True, kw_only=True)
class CarryOverDesign:
    """Total shrinkages of s-fc by β-lasso, tried again as one other setting changes.

    Attributes:
        usual: The regime in which the other settings stay.
        rate: η where it does not vary.
        epochs: Lengths, the usual one among them, as of each factor.
        widths: Values of α.
        rates: Values of η.
        shrinkages: Of the conv-like layers, ascending.
        fc_share: Of them, those of the fc layers.
    """

    usual: Regime
    rate: float
    epochs: tuple[int, ...]
    widths: tuple[int, ...]
    rates: tuple[float, ...]
    shrinkages: tuple[float, ...]
    fc_share: float

    def lines(
        self, gain: GainDesign, data: DataConfig, precision: Precision
    ) -> Iterator[tuple[str, float, list[TrainConfig]]]:
        """Name of a factor, its value, and a run for every shrinkage.

        Args:
            gain: What gives the other settings: batch size, images held out.
            data: The images.
            precision: Of the matrix products.
        """
        factors: tuple[tuple[str, tuple[float, ...]], ...] = (
            ("epochs", self.epochs),
            ("width", self.widths),
            ("rate", self.rates),
        )
        for factor, values in factors:
            for value in values:
                changed: dict[str, Any] = {} if factor == "rate" else {factor: value}
                rate = value if factor == "rate" else self.rate
                base = gain.config(
                    "s-fc",
                    replace(self.usual, **changed),
                    data,
                    precision,
                    method="beta-lasso",
                    lr=rate,
                )
                yield (
                    factor,
                    value,
                    [
                        replace(base, shrinkage=(each, each * self.fc_share), max_threshold=None)
                        for each in self.shrinkages
                    ],
                )
