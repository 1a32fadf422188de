"""What a compression is asked for, what it tells on its way, and what comes of it."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from analysis.bounds.bounds import binomial_tail, check_delta
from analysis.certify.errors import CertifiedErrors
from analysis.codes.network_code import Codeword
from analysis.compress.qat_network import MAX_SHIFT_LEVEL
from analysis.compress.qat_training import QATEpoch, QATSettings
from analysis.compress.start import LEVELS
from training.errors import ConfigError
from training.spec.config import Precision


@dataclass(frozen=True, kw_only=True)
class CompressionSettings:
    """How hard to try.

    Attributes:
        training: Epochs, batch size, learning rate and seed of quantization-aware training.
        levels: L to choose from; the first one where a network is trained from scratch.
        num_trials: Single changes to try at the end, >= 0.
        penalty_factor: On the rate penalty that follows from the bound, > 0.
        delta: δ, in (0, 1).
        normalized: Whether a network that is trained from scratch is normalised while it learns.

    Raises:
        ValueError: A value outside its range.
    """

    training: QATSettings
    levels: Sequence[int] = LEVELS
    num_trials: int = 0
    penalty_factor: float = 3.0
    delta: float = 0.05
    normalized: bool = False

    def __post_init__(self) -> None:
        check_delta(self.delta)
        if not self.levels or not all(1 <= level <= MAX_SHIFT_LEVEL for level in self.levels):
            raise ConfigError.naming(
                "{levels} must lie in 1..{}, not {}", MAX_SHIFT_LEVEL, list(self.levels)
            )
        if self.num_trials < 0:
            raise ConfigError.naming("{trials} must be >= 0, not {}", self.num_trials)
        if not (math.isfinite(self.penalty_factor) and self.penalty_factor > 0):
            raise ConfigError.naming("{penalty} must be > 0, not {}", self.penalty_factor)

    @classmethod
    def continued(
        cls,
        *,
        epochs: int = 10,
        batch_size: int = 256,
        lr: float = 0.01,
        levels: Sequence[int] = LEVELS,
        trials: int = 0,
        seed: int = 0,
        delta: float = 0.05,
        penalty: float = 3.0,
        precision: Precision = "fp32",
    ) -> Self:
        """How to compress a trained network: its training goes on, with the whole rate penalty.

        Args:
            epochs: Passes over the m images, >= 1.
            batch_size: Images per step, >= 1.
            lr: Learning rate, > 0.
            levels: L to choose from: weights are -L..L times a step.
            trials: Single changes to try at the end, >= 0.
            seed: Of everything random.
            delta: δ.
            penalty: Factor on the rate penalty that follows from the bound, > 0.
            precision: Arithmetic of training, "bf16" or "fp32"; errors are counted exactly.
        """
        training = QATSettings(
            epochs=epochs, batch_size=batch_size, lr=lr, ramp=0.0, seed=seed, precision=precision
        )
        return cls(
            training=training,
            levels=tuple(levels),
            num_trials=trials,
            penalty_factor=penalty,
            delta=delta,
        )


@dataclass(frozen=True, kw_only=True)
class CurvePoint:
    """One network on the way: its bits, its training errors and the bound of both.

    Attributes:
        stage: "start", "training", "refined" or "certified".
        epoch: Epochs done.
        description_bits: B, by the real code; as it is from "start" to "refined", canonical and
            decoded in "certified". With a prior, relative to it.
        num_errors: On all m images: in float32, and by the stated evaluation in "certified".
        bound: Binomial tail.
    """

    stage: str
    epoch: int
    description_bits: int
    num_errors: int
    bound: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Compression:
    """A compressed network.

    Attributes:
        codeword: Its bits, as decoded.
        errors: Of the decoded network on the m images, by the stated evaluation.
        delta: δ.
        counted_bits: What its bits count as in the bound: B, but relative to a split prior.
        curve: How it came about.
        seconds: All of it.
        starts: Candidates of the start, as plain values; empty from scratch.
    """

    codeword: Codeword
    errors: CertifiedErrors
    delta: float
    counted_bits: float
    curve: list[CurvePoint]
    seconds: float
    starts: list[dict[str, Any]] = field(default_factory=list)

    @property
    def bound(self) -> float:
        """The binomial tail of the decoded network."""
        errors = self.errors
        return binomial_tail(errors.num_errors, errors.num_samples, self.counted_bits, self.delta)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "bound": self.bound,
            "description_bits": self.codeword.num_bits,
            "code": self.codeword.code,
            "num_errors": self.errors.num_errors,
            "num_samples": self.errors.num_samples,
            "delta": self.delta,
            "seconds": self.seconds,
            "curve": [asdict(point) for point in self.curve],
            "starts": self.starts,
            "ledger": [entry.to_dict() for entry in self.codeword.ledger.entries],
        }


class Progress:
    """Told how compression goes; does nothing unless overridden."""

    def on_epoch(self, metrics: QATEpoch, num_epochs: int) -> None:
        """After each epoch of training."""

    def on_point(self, point: CurvePoint) -> None:
        """After each measured network."""

    def on_trial(self, done: int, total: int) -> None:
        """After each change that refinement tried."""

    def on_count(self, done: int, total: int) -> None:
        """While certified errors are counted."""
