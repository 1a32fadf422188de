"""What a reproduction would train: its runs with their sizes and times, and totals by artefact."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mdl.experiments.engines.measure import is_to_describe
from mdl.experiments.engines.trial_progress import describe_trial
from mdl.experiments.reproduce.artefact import Artefact
from mdl.experiments.reproduce.reproduction import order_runs
from mdl.experiments.reproduce.scale import Scale
from mdl.experiments.store.result_store import Results, ResultStore
from mdl.experiments.store.run_result import run_key
from mdl.experiments.store.time_estimate import RunCost, estimate_cost, measure_peak
from mdl.terminal import console
from mdl.terminal.console import duration
from training.spec.config import TrainConfig

_MEASURE_S, _DESCRIBE_S_PER_WEIGHT = 5.0, 4e-6
"""CPU seconds of measuring a run: its test answers and filters, and the bits of each weight.

Of an s-fc of 6.7 million weights, half of them not zero, on AVX512_BF16, by
`mdl.experiments.engines.measure`; sparse networks take less.
"""
_SHOWN = 12
"""Artefacts that a short answer names."""


@dataclass(frozen=True, kw_only=True)
class PlannedRun:
    """One run of a reproduction.

    Attributes:
        config: What is trained; settings that are not chosen yet are the first of their grid.
        artefacts: Names of the tables and figures that need it.
        cost: Weights, operations and seconds of training on this machine.
        is_done: Whether its result is in the store.
    """

    config: TrainConfig
    artefacts: tuple[str, ...]
    cost: RunCost
    is_done: bool

    @property
    def measuring_seconds(self) -> float:
        """About so long takes what is measured of the finished run."""
        is_described = is_to_describe(self.config, self.cost.num_weights)
        return _MEASURE_S + (_DESCRIBE_S_PER_WEIGHT * self.cost.num_weights if is_described else 0)


@dataclass(frozen=True, kw_only=True)
class DryRun:
    """All runs of a reproduction, in the order in which they would be trained."""

    names: tuple[str, ...]
    runs: tuple[PlannedRun, ...]

    def seconds_left(self, name: str | None = None) -> float:
        """Estimated time of what is missing, training and measuring, of one artefact or of all."""
        return sum(
            run.cost.seconds + run.measuring_seconds
            for run in self.runs
            if not run.is_done and (name is None or name in run.artefacts)
        )

    def total(self, name: str | None = None) -> dict[str, Any]:
        """Numbers of runs, operations and seconds, primitives only."""
        runs = [run for run in self.runs if name is None or name in run.artefacts]
        return {
            "num_runs": len(runs),
            "num_missing": sum(not run.is_done for run in runs),
            "flop": sum(run.cost.flop for run in runs if not run.is_done),
            "seconds": self.seconds_left(name),
        }

    def as_json(self) -> dict[str, Any]:
        """Primitives only."""
        return {
            "runs": [
                {
                    "key": run_key(run.config),
                    "label": _label(run.config),
                    "config": run.config.to_dict(),
                    "artefacts": list(run.artefacts),
                    "num_weights": run.cost.num_weights,
                    "flop": run.cost.flop,
                    "seconds": run.cost.seconds,
                    "measuring_seconds": run.measuring_seconds,
                    "done": run.is_done,
                }
                for run in self.runs
            ],
            "artefacts": {name: self.total(name) for name in self.names},
            "total": self.total(),
        }


def plan_dry_run(artefacts: Sequence[Artefact], scale: Scale, store: ResultStore) -> DryRun:
    """List all runs. The machine's speed is measured: about a second an arithmetic.

    Raises:
        ValueError: A result in the store that cannot be used.
    """
    found = Results(store)
    previews = {each.name: each.preview(scale, found) for each in artefacts}
    configs = order_runs(previews)
    results = store.all()
    peaks = {each: measure_peak(each) for each in {config.precision for config in configs}}
    needs = {name: set(preview) for name, preview in previews.items()}
    return DryRun(
        names=tuple(previews),
        runs=tuple(
            PlannedRun(
                config=config,
                artefacts=tuple(name for name in previews if config in needs[name]),
                cost=estimate_cost(config, peak=peaks[config.precision], results=results),
                is_done=found.get(config) is not None,
            )
            for config in configs
        ),
    )


def print_short_dry_run(plan: DryRun) -> None:
    """Print how much is missing and how long that takes, in all and of what takes longest."""
    output, total = console.stdout(), plan.total()
    if not total["num_missing"]:
        output.print(f"All {total['num_runs']} runs are done; --full lists them.", markup=False)
        return
    output.print(
        f"{total['num_missing']} of {total['num_runs']} runs are missing: about "
        f"{duration(total['seconds'])} here, with all cores, to train and measure them.",
        markup=False,
    )
    lacking = {name: one for name in plan.names if (one := plan.total(name))["num_missing"]}
    names = sorted(lacking, key=plan.seconds_left, reverse=True)
    for name in names[:_SHOWN]:
        one = lacking[name]
        output.print(
            f"  {name:<11}{one['num_missing']:>4} of {one['num_runs']:>4} missing"
            f"{duration(one['seconds']):>12}",
            markup=False,
        )
    if len(names) > _SHOWN:
        output.print(f"  and {len(names) - _SHOWN} more tables and figures", markup=False)
    output.print("One run may serve several of these; --full lists all. Times are estimates:")
    output.print("training, then filters, bits and bound of each run.")


def print_dry_run(plan: DryRun) -> None:
    """Print the runs, then the totals by artefact."""
    console.print_table(
        "Runs, in the order of training",
        ("run", "for", "state", "weights", "TFLOP", "time here"),
        [
            (
                _label(run.config),
                _short_list(run.artefacts),
                "done" if run.is_done else "",
                f"{run.cost.num_weights:,}",
                f"{run.cost.flop / 1e12:,.2f}",
                duration(run.cost.seconds + run.measuring_seconds),
            )
            for run in plan.runs
        ],
        num_text_columns=3,
    )
    rows = [(name, plan.total(name)) for name in plan.names]
    rows.append(("together", plan.total()))
    console.print_table(
        "Totals of what is missing; a run that several need is counted for each, and once together",
        ("", "runs", "missing", "TFLOP", "time here"),
        [
            (
                name,
                str(total["num_runs"]),
                str(total["num_missing"]),
                f"{total['flop'] / 1e12:,.2f}",
                duration(total["seconds"]),
            )
            for name, total in rows
        ],
    )
    console.stdout().print(
        "Times are estimates with all cores: training, then filters, bits and bound of each run. "
        "Settings that validation has yet to choose stand as the first of their grid.",
        markup=False,
    )


def _label(config: TrainConfig) -> str:
    held_out = f" ({config.data.validation} held out)" if config.data.validation else ""
    return f"{describe_trial(config)}{held_out}"


def _short_list(names: Sequence[str]) -> str:
    shown = ", ".join(names[:3])
    return f"{shown}, +{len(names) - 3}" if len(names) > 3 else shown
