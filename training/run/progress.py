"""What a run tells whoever watches it, and what it asks them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

OnCount = Callable[[int, int], None]
"""Told how much of a piece of work is done, and how much there is: images, or bytes."""


@dataclass(frozen=True, kw_only=True)
class EpochMetrics:
    """What one epoch came to. Accuracies are fractions; None where nothing was measured.

    Attributes:
        epoch: Epochs done, from 1.
        step: Steps done.
        lr: Learning rate of the epoch's last step.
        train_loss: Mean cross-entropy in nats over the epoch's augmented images, in train mode.
        train_accuracy: Share of those images that were right.
        validation_accuracy: On the validation split.
        test_accuracy: On the test set.
        seconds: Training time since the start of the run, all its pieces together.
        images_per_second: Rate since the epoch began or was last saved, without evaluation.
        num_nonzeros: Nonzero weights by layer.
        screened: Layer to the share of its rows in which no zero weight could come back
            (`training.sparse.screening`): of a sparse layer the mean over the epoch's steps, of a
            dense one that of the first step; empty where nothing may become sparse.
        sparse_layers: Layers that computed with their nonzeros alone.
        weight_bytes: Bytes of the layers' weights, copies and supports on one rank.
        memory_bytes: Memory of this process: resident on a CPU, allocated by torch on CUDA; None
            where the system does not tell.
    """

    epoch: int
    step: int
    lr: float
    train_loss: float
    train_accuracy: float
    validation_accuracy: float | None
    test_accuracy: float | None
    seconds: float
    images_per_second: float
    num_nonzeros: dict[str, int]
    screened: dict[str, float] = field(default_factory=dict)
    sparse_layers: list[str] = field(default_factory=list)
    weight_bytes: int = 0
    memory_bytes: int | None = None


class Progress(Protocol):
    """Told of every step and epoch."""

    def on_step(self, step: int, num_steps: int) -> None:
        """After each step; must not touch the device."""

    def on_epoch(self, metrics: EpochMetrics) -> None:
        """After each epoch."""

    def on_note(self, line: str) -> None:
        """Something that the user should know, said once."""


class Stop(Protocol):
    """Asked after every step whether to stop."""

    @property
    def requested(self) -> bool:
        """Whether to save and stop now."""


class Unwatched:
    """Tells nobody of a run, and nobody asks it to stop."""

    requested = False

    def on_step(self, step: int, num_steps: int) -> None:
        """Nothing."""

    def on_epoch(self, metrics: EpochMetrics) -> None:
        """Nothing."""

    def on_note(self, line: str) -> None:
        """Nothing."""
