"""Comparisons that a claim asks for, their outcomes, and verdicts. No torch.

**Reproduced**: every comparison of the claim goes the paper's way and its interval leaves out no
effect. **Not reproduced**: at least one goes the other way, and its interval leaves out no effect.
**Not at this scale**: neither, or the comparison makes no sense here, as where a network has not
learned its training images. The several comparisons of a claim share an error of 5% by Holm's
procedure, and each interval is at the level at which its comparison was tested.
"""

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Protocol


class Judgement(StrEnum):
    """How a claim came out."""

    REPRODUCED = "reproduced"
    NOT_REPRODUCED = "not reproduced"
    NOT_AT_THIS_SCALE = "not at this scale"
    NOT_RUN = "not run"
    NOT_JUDGED = "not judged"


class Outcome(StrEnum):
    """How one comparison came out."""

    HOLDS = "holds"
    REVERSED = "reversed"
    OPEN = "open"


class Unit(StrEnum):
    """What a comparison is measured in."""

    POINTS = "points"  # a difference of shares, kept as a fraction, shown in percent
    RATIO = "ratio"  # estimated on the scale of its logarithm
    TAU = "τ"


class Measured(Protocol):
    """An estimate with intervals and tests, as `statistics.Estimate`."""

    @property
    def value(self) -> float:
        """The point estimate; of a ratio, its natural logarithm."""

    @property
    def basis(self) -> str:
        """What the interval takes into account."""

    def interval(self, alpha: float) -> tuple[float, float]:
        """Two-sided, at level 1 − α."""

    def p_value(self, null: float) -> float:
        """Two-sided, against `null`."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One thing that must hold: an effect above a value, or an effect within a margin of zero.

    Attributes:
        label: What is compared, as "s-conv over s-local".
        measured: The effect, positive in the paper's direction.
        unit: Of the effect.
        above: What the effect must exceed, in its unit: 0, for a ratio 1.
        within: None, or the margin > 0 inside which the effect must lie, on both sides of zero:
            an equivalence test. `above` then counts for nothing.
        published: The paper's figure in the same unit; None where it prints none.
        source: Where the paper has it.
    """

    label: str
    measured: Measured
    unit: Unit = Unit.POINTS
    above: float = 0.0
    within: float | None = None
    published: float | None = None
    source: str = ""

    def __post_init__(self) -> None:
        if self.within is not None and (self.within <= 0 or self.unit is Unit.RATIO):
            raise ValueError(f"within must be > 0 and not of a ratio, not {self.within}")
        if self.unit is Unit.RATIO and self.above <= 0:
            raise ValueError(f"above must be > 0 for a ratio, not {self.above}")


@dataclass(frozen=True, kw_only=True)
class Effect:
    """A comparison with its numbers.

    Attributes:
        label: What was compared.
        unit: "points" (fractions here), "ratio" or "τ".
        estimate: The point estimate.
        low: Lower end of the interval.
        high: Upper end.
        confidence: Level of the interval, as 0.95.
        p_value: Of the test that decides; against `above`, or for "within" against the margin.
        above: What the effect had to exceed.
        within: The margin of an equivalence test; None for the others.
        outcome: How it came out.
        basis: What the interval takes into account.
        images_alone: Half its width with any number of seeds, by the test images alone; None where
            that is not known.
        published: The paper's figure, or None.
        source: Where the paper has it.
    """

    label: str
    unit: Unit
    estimate: float
    low: float
    high: float
    confidence: float
    p_value: float
    above: float
    within: float | None
    outcome: Outcome
    basis: str
    images_alone: float | None
    published: float | None
    source: str


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What became of one claim on one data set.

    Attributes:
        number: Of the claim, from 1.
        name: Its short name.
        statement: The claim in one sentence.
        source: Where the paper makes it.
        data_name: The images.
        scale: Name of the scale.
        judgement: How it came out.
        sentence: Why, in plain words.
        effects: Its comparisons; empty where it was not judged.
        seeds: Label of a group of runs to their seeds.
        num_missing: Runs of the claim that there are no results of.
        seconds: Training time of those that there are, trials by which settings were chosen among
            them.
        notes: Further sentences.
    """

    number: int
    name: str
    statement: str
    source: str
    data_name: str
    scale: str
    judgement: Judgement
    sentence: str
    effects: tuple[Effect, ...]
    seeds: dict[str, tuple[int, ...]]
    num_missing: int
    seconds: float
    notes: tuple[str, ...]

    @property
    def label(self) -> str:
        """The judgement in words; where it was refused, with the data set."""
        if self.judgement is Judgement.NOT_JUDGED:
            return f"{self.judgement}: {self.data_name}"
        return str(self.judgement)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self) | {"verdict": self.label}


def effect_text(effect: Effect) -> str:
    """One effect with its interval in a line."""
    ends = f"{value_text(effect.low, effect.unit)} to {value_text(effect.high, effect.unit)}"
    return (
        f"{effect.label} {value_text(effect.estimate, effect.unit)} ({ends}){wanted_text(effect)}"
    )


def wanted_text(effect: Effect) -> str:
    """What decides about an effect where it is not "above none", by the interval; "" where it is.

    The text starts with a comma, to stand behind the numbers.
    """
    if effect.within is not None:
        return f", within ∓{100 * effect.within:g} points is the same"
    if effect.unit is Unit.TAU:
        return f", as far from 0 in {100 * effect.p_value:.2g}% of all orders"
    plain = 1.0 if effect.unit is Unit.RATIO else 0.0
    if effect.above == plain:
        return ""
    return f", above {value_text(effect.above, effect.unit)} was asked"


def value_text(value: float, unit: Unit) -> str:
    """A number in its unit.

    >>> value_text(-0.0123, Unit.POINTS), value_text(1.8512, Unit.RATIO), value_text(1, Unit.TAU)
    ('−1.23', '×1.85', '+1.00')
    """
    if unit is Unit.RATIO:
        return f"×{value:.2f}" if value < 100 else f"×{value:,.0f}"
    scaled = 100 * value if unit is Unit.POINTS else value
    return f"{scaled:+.2f}".replace("-", "−")
