"""Progress of many trials on stderr: one line a finished trial, and a bar on a terminal."""

import time
from collections.abc import Callable, Sequence

from rich.progress import BarColumn, TextColumn, TimeElapsedColumn

from mdl.experiments.store.run_result import RunResult
from mdl.experiments.store.time_estimate import expected_work
from mdl.terminal.console import duration, epochs_text
from mdl.terminal.progress import ProgressBar
from training.spec.config import TrainConfig


class TrialProgress(ProgressBar):
    """Says what is done and about how long the rest takes; a context manager.

    The rest is taken to run at the rate so far, in operations of matrix products a second of the
    clock. So trials of several sizes, and several at once, need no more thought.

    Args:
        clock: Gives seconds that only grow.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(
            "", TextColumn("{task.completed}/{task.total}"), BarColumn(), TimeElapsedColumn()
        )
        self._clock = clock
        self._begun = clock()
        self._num_done = self._num_trials = 0
        self._work_done = self._work = 0.0

    def begin(self, configs: Sequence[TrainConfig]) -> None:
        """A batch of trials is about to run: those alone that the store does not have."""
        self._begun = self._clock()
        self._num_done, self._num_trials = 0, len(configs)
        self._work_done, self._work = 0.0, sum(map(expected_work, configs))
        self.move(0, len(configs))

    def on_finished(self, result: RunResult) -> None:
        """Print the line of a finished trial, with the images that settings are chosen by."""
        split, count = ("test", result.test)
        if result.validation is not None:
            split, count = "validation", result.validation
        left = self._count(result.config)
        self._print(
            f"{describe_trial(result.config)}: {split} {100 * count.accuracy:.1f}%, "
            f"{result.seconds:,.0f} s{left}"
        )

    def on_failed(self, config: TrainConfig, message: str, *, is_last_try: bool) -> None:
        """Print the line of a trial that failed; one that is tried again is not counted."""
        if is_last_try:
            self._print(f"{describe_trial(config)}: failed: {message}{self._count(config)}")
        else:
            self.on_note(f"{describe_trial(config)}: failed, and is tried again: {message}")

    def on_running(self, running: Sequence[tuple[TrainConfig, int]]) -> None:
        """Show on the bar what is being trained, each with its epochs done."""
        parts = [
            f"{config.network} epoch {epoch}/{config.epochs}"
            if epoch < config.epochs
            else f"{config.network} measuring"
            for config, epoch in running
        ]
        self.name(", ".join(parts))

    def on_note(self, line: str) -> None:
        """Print a line above the bar."""
        self.print(line)

    def _count(self, config: TrainConfig) -> str:
        """Count a trial as done and say how long the rest takes."""
        self._num_done += 1
        self._work_done += expected_work(config)
        self.move(self._num_done, self._num_trials)
        if self._num_done >= self._num_trials:
            return ""
        share_left = self._work / self._work_done - 1
        return f" (about {duration((self._clock() - self._begun) * share_left)} left)"

    def _print(self, line: str) -> None:
        self.on_note(f"[{self._num_done}/{self._num_trials}] {line}")


def describe_trial(config: TrainConfig) -> str:
    """A configuration in a few words.

    >>> config = TrainConfig(network="s-fc", base_channels=8, l1_conv=1e-4, l1_fc=2e-5)
    >>> describe_trial(config)
    's-fc α=8 beta-lasso β 50 λ 1e-4/2e-5 η 0.1 1 epoch seed 0'
    """
    width = f"h={config.hidden_units}" if config.network == "3-fc" else f"α={config.base_channels}"
    parts = [config.network, width]
    if config.kernel_size not in (None, 3):
        parts.append(f"kernel {config.kernel_size}")
    parts.append(config.method)
    if config.method == "beta-lasso":
        parts.append(f"β {config.beta:g}")
        if config.shrinkage is None:
            parts.append(f"λ {_short(config.l1_conv)}/{_short(config.l1_fc)}")
        else:
            parts.append("shrinkage " + "/".join(f"{each:g}" for each in config.shrinkage))
    else:
        parts.append(f"momentum {config.momentum:g} decay {_short(config.weight_decay)}")
    parts.append(f"η {config.lr:g}")
    if config.data.num_train is not None:
        parts.append(f"{config.data.num_train:,} images")
    if config.data.permute_pixels is not None:
        parts.append("permuted")
    parts += [epochs_text(config.epochs), f"seed {config.seed}"]
    return " ".join(parts)


def _short(value: float) -> str:
    """1e-4 rather than 0.0001 or 1e-04."""
    digits, _, exponent = f"{value:.3g}".partition("e")
    if not exponent and 0 < value < 1e-2:
        digits, _, exponent = f"{value:e}".partition("e")
        digits = digits.rstrip("0").rstrip(".")
    return f"{digits}e{int(exponent)}" if exponent else digits
