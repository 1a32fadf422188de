"""Carries out `mdl sweep`: plans the trials, runs them here or as a job array, chooses, tells."""

import shlex
import signal
from collections.abc import Sequence
from typing import Any

from mdl.experiments.engines.engine import Engine
from mdl.experiments.engines.trial_progress import TrialProgress
from mdl.experiments.store.result_store import ResultStore
from mdl.experiments.sweep.grids import find_grid, grid
from mdl.experiments.sweep.sweep_report import (
    SweepReport,
    Then,
    print_answer,
    print_sweep,
    print_trials,
    read_sweep,
    title,
    trial_row,
)
from mdl.terminal import console
from mdl.terminal.errors import OptionError
from mdl.terminal.options import read_policy
from training.data.loading import load_dataset, split_validation
from training.data.telling import tell_dataset
from training.spec.config import DataConfig, TrainConfig
from training.spec.recipes import recipe_config
from training.system.signals import StopRequest

_MODES = {"--list": 0, "--collect": 0, "--json": 0, "--full": 0, "--index": 1}
"""Options that say what to do with a sweep, not which one it is, and their numbers of values."""


def trial_at(trials: Sequence[TrainConfig], number: int) -> TrainConfig:
    """The trial of a number, as `mdl sweep --list` prints it.

    Args:
        trials: All trials of the sweep, in order.
        number: From 1.

    Raises:
        OptionError: There is no such trial.
    """
    if not 1 <= number <= len(trials):
        raise OptionError(f"--index must be from 1 to {len(trials)}, not {number}")
    return trials[number - 1]


def job_script(command: str, num_trials: int) -> str:
    r"""A Slurm script that runs every trial as a task of one job array.

    SIGTERM comes two minutes before the time is up, so that each trial saves. Submitted again, the
    script continues with those and passes over what is finished.

    >>> print(job_script("mdl sweep s-fc", 50))
    #!/bin/bash
    #SBATCH --array=1-50
    #SBATCH --cpus-per-task=4
    #SBATCH --time=24:00:00 --signal=TERM@120 --requeue
    #SBATCH --output=sweep-%a.log
    exec srun mdl sweep s-fc --index $SLURM_ARRAY_TASK_ID --threads $SLURM_CPUS_PER_TASK
    """
    return "\n".join(
        (
            "#!/bin/bash",
            f"#SBATCH --array=1-{num_trials}",
            "#SBATCH --cpus-per-task=4",
            "#SBATCH --time=24:00:00 --signal=TERM@120 --requeue",
            "#SBATCH --output=sweep-%a.log",
            f"exec srun {command} --index $SLURM_ARRAY_TASK_ID --threads $SLURM_CPUS_PER_TASK",
        )
    )


def plan_trials(
    network: str,
    grid_name: str,
    settings: dict[str, Any],
    data_settings: dict[str, Any],
    *,
    learning_rates: Sequence[float],
    shrinkages: Sequence[tuple[float, float]],
    num_seeds: int,
) -> list[TrainConfig]:
    """The trials of a sweep, from flags; None among the settings leaves the grid's own.

    Raises:
        ConfigError: Settings that do not fit together.
        OptionError: A file that is not a policy.
    """
    chosen = find_grid(grid_name)
    images = {"source": chosen.source} | {
        name: value for name, value in data_settings.items() if value is not None
    }
    settings = settings | read_policy(settings["policy"])
    base = recipe_config(chosen.recipe, network, data=DataConfig(**images), **settings)
    # The network's own rules hold for images of any size.
    base.network_spec(image_size=1, num_classes=2, in_channels=1)
    return grid(
        network,
        base.method,
        chosen,
        base,
        learning_rates=learning_rates,
        shrinkages=shrinkages,
        seeds=tuple(range(num_seeds)),
    )


def check_images(trials: Sequence[TrainConfig]) -> None:
    """Load the images once before trials do: a mistake shows at once, and they are cached.

    Raises:
        DataError: Images that cannot be loaded, or too few to hold some out.
    """
    data = trials[0].data
    log = console.stderr()
    log.print(f"Loading {data.source} ...", markup=False)
    dataset = load_dataset(data)
    for line in tell_dataset(dataset, num_train=data.num_train, num_test=data.num_test):
        log.print(line, markup=False)
    split_validation(dataset.train, data.validation, seed=data.seed)


def show_list(trials: Sequence[TrainConfig], *, command: str, full: bool, as_json: bool) -> None:
    """Print how many trials there are, or all with their numbers, and how to submit them."""
    if as_json:
        console.print_json({"trials": [trial_row(*each) for each in enumerate(trials, start=1)]})
        return
    output = console.stdout()
    if full:
        print_trials(trials)
    else:
        output.print(f"{len(trials)} trials: {title(trials)}; --full lists them.", markup=False)
    output.print("As a Slurm job array:", style="bold")
    for line in job_script(command, len(trials)).splitlines():
        output.print(line, markup=False)
    console.print_next(command, f"{command} --collect")


def show_collected(
    trials: Sequence[TrainConfig],
    store: ResultStore,
    *,
    then: Then,
    command: str,
    full: bool,
    as_json: bool,
) -> None:
    """Print what the store has of a sweep.

    Raises:
        StoreError: A result is damaged.
    """
    report = read_sweep(trials, store, then=then)
    _print(report, store, then=then, command=command, full=full, as_json=as_json)


def run_one(
    trials: Sequence[TrainConfig],
    number: int,
    store: ResultStore,
    engine: Engine,
    *,
    command: str,
    as_json: bool,
) -> int:
    """Run the trial of a number.

    Returns:
        The exit code: 0, 1 if it failed, or 128 and the number of the signal that stopped it.

    Raises:
        OptionError: There is no trial of that number.
    """
    trial = trial_at(trials, number)
    with StopRequest() as stop, TrialProgress() as progress:
        outcome = engine.run([trial], store, progress=progress, stop=stop)
    report = read_sweep([trial], store, then="report")
    if as_json:
        console.print_json(report.to_dict()["trials"][0] | {"number": number})
    elif outcome.finished:
        console.stdout().print(f"Trial {number} of {len(trials)} is finished.", markup=False)
        console.print_next(f"{command} --collect")
    return _exit_code(stop, stopped=outcome.stopped, failed=bool(outcome.failed), again=command)


def run_all(
    trials: Sequence[TrainConfig],
    store: ResultStore,
    engine: Engine,
    *,
    then: Then,
    command: str,
    full: bool,
    as_json: bool,
) -> int:
    """Run all trials that are not finished, choose, and retrain if asked to.

    Nothing is retrained while a trial is not finished, for the choice might still change.

    Returns:
        The exit code: 0, 1 if a trial failed, or 128 and the number of the signal that stopped it.
    """
    with StopRequest() as stop, TrialProgress() as progress:
        outcome = engine.run(trials, store, progress=progress, stop=stop)
        failed, stopped = dict(outcome.failed), outcome.stopped
        report = read_sweep(trials, store, then=then)
        if report.finals and not stopped:
            outcome = engine.run(report.finals, store, progress=progress, stop=stop)
            failed, stopped = failed | outcome.failed, outcome.stopped
            report = read_sweep(trials, store, then=then)
    _print(report, store, then=then, command=command, full=full, as_json=as_json)
    return _exit_code(stop, stopped=stopped, failed=bool(failed), again=command)


def own_command(arguments: Sequence[str]) -> str:
    """The command that describes a sweep, from the arguments of one that does something with it.

    >>> own_command(["sweep", "s-fc", "--index", "3", "--grid", "small", "--json"])
    'mdl sweep s-fc --grid small'
    """
    kept, skip = ["mdl"], 0
    for argument in arguments:
        name = argument.split("=")[0]
        if skip:
            skip -= 1
        elif name in _MODES:
            skip = _MODES[name] if name == argument else 0
        else:
            kept.append(argument)
    return shlex.join(kept)


def _print(
    report: SweepReport, store: ResultStore, *, then: Then, command: str, full: bool, as_json: bool
) -> None:
    if as_json:
        console.print_json(report.to_dict())
        return
    (print_sweep if full else print_answer)(report)
    if steps := _next_steps(report, store, then=then, command=command):
        console.print_next(*steps)


def _next_steps(
    report: SweepReport, store: ResultStore, *, then: Then, command: str
) -> tuple[str, ...]:
    if not report.is_complete or len(report.final_results) < len(report.finals):
        return (command,)
    runs = report.final_results or report.ranked[0].runs
    checkpoint = store.run_folder(runs[0].config).checkpoint
    # It may lie on another node, or results alone may have been copied here.
    bound = (console.command("bound", checkpoint, bits=16),) if checkpoint.exists() else ()
    return bound if then == "retrain" else (f"{command} --then retrain", *bound)


def _exit_code(stop: StopRequest, *, stopped: bool, failed: bool, again: str) -> int:
    log = console.stderr()
    if stopped:
        log.print(f"Stopped and saved. Resume with: {again}", markup=False)
        return 128 + (stop.signal_number or signal.SIGTERM)
    if failed:
        log.print(f"error: a trial failed, see above. Try it again with: {again}", markup=False)
        return 1
    return 0
