"""The best of a sweep by validation accuracy. The test set has no part in it. No torch."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction

from analysis.bounds.bounds import ErrorCount
from mdl.experiments.store.run_result import RunResult, run_key
from training.spec.config import TrainConfig


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One setting of a sweep with its runs, one a seed.

    Attributes:
        runs: By seed; all have validation images.
    """

    runs: tuple[RunResult, ...]

    @property
    def validation_error(self) -> Fraction:
        """Mean error on the validation images over the seeds, exactly."""
        errors = num_samples = 0
        for run in self.runs:
            count = validation_of(run)
            errors += count.num_errors
            num_samples += count.num_samples
        return Fraction(errors, num_samples)

    @property
    def num_nonzeros(self) -> Fraction:
        """Mean number of nonzero weights over the seeds."""
        return Fraction(sum(run.total_nonzeros for run in self.runs), len(self.runs))


def rank_by_validation(results: Iterable[RunResult]) -> list[Candidate]:
    """The settings of a sweep, best first.

    Runs that differ by their seed alone are one setting. The order is by mean validation error,
    then by fewer nonzeros, then by the key of the run with the lowest seed.

    Raises:
        ValueError: A run without validation images, or runs with different images.
    """
    by_setting: dict[str, list[RunResult]] = {}
    held_out = set()
    for result in results:
        count = validation_of(result)
        data = result.config.data
        held_out.add((result.fingerprint, data.validation, data.seed, count.num_samples))
        by_setting.setdefault(run_key(replace(result.config, seed=0)), []).append(result)
    if len(held_out) > 1:
        raise ValueError("runs with different validation images cannot be compared")
    candidates = [
        Candidate(runs=tuple(sorted(runs, key=lambda run: (run.config.seed, run.key))))
        for runs in by_setting.values()
    ]
    return sorted(
        candidates, key=lambda each: (each.validation_error, each.num_nonzeros, each.runs[0].key)
    )


def best_by_validation(results: Iterable[RunResult]) -> RunResult:
    """The run to choose: of the best setting, the one with the lowest seed.

    Ties go to fewer nonzeros, then to the lower key, so that the order of the results does not
    matter. See `rank_by_validation`.

    Raises:
        ValueError: No results, one without validation images, or different images.
    """
    ranked = rank_by_validation(results)
    if not ranked:
        raise ValueError("no run has finished, so there is nothing to choose from")
    return ranked[0].runs[0]


def retrain_config(best: TrainConfig, *, seed: int) -> TrainConfig:
    """The chosen settings on all training images, none held out.

    λ that follow from total shrinkages do so anew: the run has more steps.
    """
    planned = replace(best, seed=seed, data=replace(best.data, validation=0))
    return planned if best.shrinkage is None else replace(planned, l1_conv=0.0, l1_fc=0.0)


def validation_of(result: RunResult) -> ErrorCount:
    """Errors on the held-out images.

    Raises:
        ValueError: None were held out.
    """
    if result.validation is None or result.validation.num_samples < 1:
        raise ValueError(
            f"run {result.key} held out no validation images, so it cannot be selected"
        )
    return result.validation
