"""What a log is told of a run: the configuration once, and the same numbers of every epoch."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from training.run.progress import EpochMetrics


@dataclass(frozen=True, kw_only=True)
class LoggedRun:
    """A run as a log sees it at the start.

    Attributes:
        folder: The run folder; logs that keep files keep them in there.
        config: The configuration, plain nested dicts.
        num_weights: Weights by layer, each >= 1.
        history: Epochs that were done before, in order; none for a new run.
    """

    folder: Path
    config: dict[str, Any]
    num_weights: dict[str, int]
    history: tuple[EpochMetrics, ...] = ()

    @property
    def name(self) -> str:
        """What people call it: the folder's own name."""
        return self.folder.resolve().name

    @property
    def num_epochs(self) -> int:
        """Epochs of the whole run."""
        return int(self.config["epochs"])

    def values(self, metrics: EpochMetrics) -> dict[str, float]:
        """The numbers of one epoch by the names that every log gives them.

        Accuracies and shares are fractions, the loss is in nats. What was not measured is left
        out.
        """
        measured = {
            "loss/train": metrics.train_loss,
            "accuracy/train": metrics.train_accuracy,
            "accuracy/validation": metrics.validation_accuracy,
            "accuracy/test": metrics.test_accuracy,
            "lr": metrics.lr,
            "images_per_second": metrics.images_per_second,
            "seconds": metrics.seconds,
        }
        values = {name: value for name, value in measured.items() if value is not None}
        for layer, count in metrics.num_nonzeros.items():
            values[f"nonzeros/{layer}"] = count
            values[f"nonzero_share/{layer}"] = count / self.num_weights[layer]
        for layer, share in metrics.screened.items():
            values[f"screened_share/{layer}"] = share
        return values


class Logger(Protocol):
    """A log of one run. Whatever an implementation raises ends the log, never the run."""

    def on_epoch(self, metrics: EpochMetrics) -> None:
        """Take in an epoch. One that the log has already must not show twice."""

    def close(self, *, finished: bool) -> None:
        """Keep what was taken in; `finished` says whether the run came to its end."""
