"""What a sweep has come to: every trial, the choice by validation, and what is left to do."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from mdl.experiments.store.result_store import ResultStore
from mdl.experiments.store.run_result import RunResult, run_key
from mdl.experiments.sweep.selection import (
    Candidate,
    rank_by_validation,
    retrain_config,
    validation_of,
)
from mdl.terminal import console
from training.spec.config import TrainConfig

Then = Literal["report", "retrain"]
_FAILURES_SHOWN = 3
_LABELS = {
    "beta": "β",
    "l1_conv": "λ conv",
    "l1_fc": "λ fc",
    "shrinkage_conv": "shrinkage conv",
    "shrinkage_fc": "shrinkage fc",
    "momentum": "momentum",
    "weight_decay": "weight decay",
    "lr": "lr",
    "dropout": "dropout",
    "seed": "seed",
}


@dataclass(frozen=True, kw_only=True)
class SweepReport:
    """A sweep as its store has it now.

    Attributes:
        trials: All trials, in order.
        results: Key to result, of those that are finished.
        failures: Key to message, of those that failed and are not finished.
        ranked: Settings with a finished run, best first by validation.
        finals: The chosen settings on all training images, a seed each; empty until every trial is
            finished, or where nothing is retrained.
        final_results: Those of them that are finished.
    """

    trials: tuple[TrainConfig, ...]
    results: dict[str, RunResult]
    failures: dict[str, str]
    ranked: tuple[Candidate, ...]
    finals: tuple[TrainConfig, ...]
    final_results: tuple[RunResult, ...]

    @property
    def num_missing(self) -> int:
        """Trials that neither finished nor failed."""
        return len(self.trials) - len(self.results) - len(self.failures)

    @property
    def is_complete(self) -> bool:
        """Whether every trial is finished, so that the choice stands."""
        return len(self.results) == len(self.trials)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON. Test errors are there for what was chosen alone."""
        return {
            "trials": [self._trial(number, trial) for number, trial in enumerate(self.trials, 1)],
            "num_finished": len(self.results),
            "num_failed": len(self.failures),
            "num_missing": self.num_missing,
            "complete": self.is_complete,
            "selected": None if not self.ranked else self._selected(self.ranked[0]),
            "retrained": [
                {"key": run.key, "seed": run.config.seed, "test_error": run.test.error}
                for run in self.final_results
            ],
        }

    def _trial(self, number: int, trial: TrainConfig) -> dict[str, Any]:
        key = run_key(trial)
        result = self.results.get(key)
        return trial_row(number, trial) | {
            "status": self.status(key),
            "message": self.failures.get(key),
            "validation_error": None if result is None else validation_of(result).error,
            "num_nonzeros": None if result is None else result.total_nonzeros,
            "seconds": None if result is None else result.seconds,
        }

    def _selected(self, best: Candidate) -> dict[str, Any]:
        config = best.runs[0].config
        return {
            "settings": settings_of(config),
            "keys": [run.key for run in best.runs],
            "validation_error": float(best.validation_error),
            "num_nonzeros": float(best.num_nonzeros),
            "test_error": mean_test_error(best.runs) if self.is_complete else None,
        }

    def status(self, key: str) -> str:
        """Whether it is "finished", "failed" or "missing"."""
        if key in self.results:
            return "finished"
        return "failed" if key in self.failures else "missing"


def read_sweep(trials: Sequence[TrainConfig], store: ResultStore, *, then: Then) -> SweepReport:
    """Look up every trial of a sweep.

    Raises:
        StoreError: A result is damaged.
        ValueError: Results of different images under one name.
    """
    results, failures = {}, {}
    for trial in trials:
        key, result = run_key(trial), store.find(trial)
        if result is not None:
            results[key] = result
        elif (message := store.failure(trial)) is not None:
            failures[key] = message
    ranked = tuple(rank_by_validation(results.values()))
    finals: tuple[TrainConfig, ...] = ()
    if then == "retrain" and len(results) == len(trials):
        finals = tuple(retrain_config(run.config, seed=run.config.seed) for run in ranked[0].runs)
    final_results = tuple(found for each in finals if (found := store.find(each)) is not None)
    return SweepReport(
        trials=tuple(trials),
        results=results,
        failures=failures,
        ranked=ranked,
        finals=finals,
        final_results=final_results,
    )


def settings_of(config: TrainConfig) -> dict[str, float | None]:
    """What a sweep varies, apart from the seed.

    Where it varies total shrinkages, λ follow from them and are None until the run has begun.
    """
    settings: dict[str, float | None]
    if config.method == "sgd":
        settings = {"momentum": config.momentum, "weight_decay": config.weight_decay}
    elif config.shrinkage is None:
        settings = {"beta": config.beta, "l1_conv": config.l1_conv, "l1_fc": config.l1_fc}
    else:
        conv, fc = config.shrinkage
        settings = {"beta": config.beta, "shrinkage_conv": conv, "shrinkage_fc": fc}
        settings |= {"l1_conv": config.l1_conv or None, "l1_fc": config.l1_fc or None}
    return settings | {"lr": config.lr, "dropout": config.dropout}


def trial_row(number: int, trial: TrainConfig) -> dict[str, Any]:
    """A trial with its number, key, settings and seed, for JSON."""
    return {"number": number, "key": run_key(trial), "seed": trial.seed} | settings_of(trial)


def mean_test_error(runs: Sequence[RunResult]) -> float:
    """Mean error on the test images over the seeds, a fraction."""
    return sum(run.test.num_errors for run in runs) / sum(run.test.num_samples for run in runs)


def print_trials(trials: Sequence[TrainConfig]) -> None:
    """The numbered list of trials."""
    console.print_table(
        title(trials),
        ("trial", *_setting_labels(trials[0]), "key"),
        [
            (str(number), *_setting_cells(trial), run_key(trial))
            for number, trial in enumerate(trials, start=1)
        ],
    )


def print_sweep(report: SweepReport) -> None:
    """Every trial, best first, then the choice and what it gives."""
    order = [run.key for candidate in report.ranked for run in candidate.runs]
    place = {key: index for index, key in enumerate(order)}
    numbered = [(number, run_key(t), t) for number, t in enumerate(report.trials, start=1)]
    numbered.sort(key=lambda row: (place.get(row[1], len(place)), row[0]))
    console.print_table(
        f"{title(report.trials)}, best first",
        ("trial", *_setting_labels(report.trials[0]), "validation", "nonzeros", "seconds"),
        [
            (str(number), *_setting_cells(_begun(report, key, trial)), *_cells(report, key))
            for number, key, trial in numbered
        ],
    )
    _print_failures(report, len(report.failures))
    _print_counts(report)
    if report.ranked:
        _print_choice(report)


def print_answer(report: SweepReport) -> None:
    """The choice and what it gives, then how many trials there are, and the first failures."""
    if report.ranked:
        _print_choice(report)
    _print_counts(report, "; --full shows them")
    _print_failures(report, _FAILURES_SHOWN)


def _print_counts(report: SweepReport, hint: str = "") -> None:
    console.stdout().print(
        f"{len(report.results)} of {len(report.trials)} trials finished, {len(report.failures)} "
        f"failed, {report.num_missing} missing{hint}.",
        markup=False,
    )


def _print_failures(report: SweepReport, number: int) -> None:
    for key, message in list(report.failures.items())[:number]:
        console.stdout().print(f"Failed: {key}: {message}", markup=False)


def _print_choice(report: SweepReport) -> None:
    output, best = console.stdout(), report.ranked[0]
    settings = ", ".join(
        f"{_LABELS[name]} {value:.3g}"
        for name, value in settings_of(best.runs[0].config).items()
        if value is not None
    )
    word = "Chosen" if report.is_complete else "Best so far"
    output.print(
        f"{word} by validation accuracy ({1 - float(best.validation_error):.2%}): {settings}.",
        markup=False,
    )
    if not report.is_complete:
        return
    held_out = validation_of(best.runs[0]).num_samples
    output.print(
        f"Test accuracy of the chosen, trained without the {held_out:,} held-out images: "
        f"{_test_accuracies(best.runs)}.",
        markup=False,
    )
    if report.final_results:
        output.print(
            "Test accuracy of the chosen, trained on all training images: "
            f"{_test_accuracies(report.final_results)}.",
            markup=False,
        )


def _test_accuracies(runs: Sequence[RunResult]) -> str:
    mean = f"{1 - mean_test_error(runs):.2%}"
    if len(runs) == 1:
        return mean
    return f"{mean}, mean of {', '.join(f'{run.test.accuracy:.2%}' for run in runs)}"


def _setting_labels(trial: TrainConfig) -> list[str]:
    return [*(_LABELS[name] for name in settings_of(trial)), "seed"]


def _setting_cells(trial: TrainConfig) -> list[str]:
    values = settings_of(trial).values()
    return [*("" if value is None else f"{value:.3g}" for value in values), str(trial.seed)]


def _begun(report: SweepReport, key: str, trial: TrainConfig) -> TrainConfig:
    """The configuration of a trial with the λ that it was trained with, if it was."""
    return report.results[key].config if key in report.results else trial


def _cells(report: SweepReport, key: str) -> tuple[str, str, str]:
    result = report.results.get(key)
    if result is None:
        return report.status(key), "", ""
    accuracy = f"{validation_of(result).accuracy:.2%}"
    return accuracy, f"{result.total_nonzeros:,}", f"{result.seconds:,.0f}"


def title(trials: Sequence[TrainConfig]) -> str:
    """Network, method and epochs of a sweep."""
    first = trials[0]
    width = f"h={first.hidden_units}" if first.network == "3-fc" else f"α={first.base_channels}"
    return f"{first.network} {width} by {first.method}, {first.epochs} epochs"
