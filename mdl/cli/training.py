"""What `mdl train` does: plans a run, new or resumed, trains, and tells how it ended.

Under torchrun this process is one of several ranks, of which the first one speaks.
"""

import os
import signal
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch

from mdl.loggers.logged_progress import LoggedProgress
from mdl.loggers.logger import LoggedRun
from mdl.terminal import console
from mdl.terminal.devices import choose_device
from mdl.terminal.errors import error_line, is_told
from mdl.terminal.options import Device, read_policy
from mdl.terminal.progress import TrainingProgress
from training.checkpoint.checkpoint import Checkpoint, load_checkpoint
from training.checkpoint.lazy import find_file
from training.data.loading import Dataset, load_dataset, split_validation
from training.data.telling import tell_dataset
from training.distributed.ranks import PATIENCE, LostRankError, Ranks, is_launched, joined_ranks
from training.distributed.run_options import RunOptions
from training.errors import CheckpointError, TrainingError
from training.run.loop import run_training
from training.run.progress import EpochMetrics
from training.run.provenance import collect_versions
from training.run.run_folder import RunFolder, check_run_folder, new_run_folder
from training.sparse.costs import may_be_sparse
from training.spec.architectures import NetworkSpec
from training.spec.config import DataConfig, Precision, TrainConfig
from training.spec.recipes import missing_parts, recipe_config
from training.spec.shrinkage import fill_penalties, shrinkages, thresholds
from training.system.signals import StopRequest


@dataclass(frozen=True, kw_only=True)
class TrainingPlan:
    """A configuration with its images, the folder it writes to, and where it resumes."""

    config: TrainConfig
    dataset: Dataset
    folder: RunFolder
    resume_from: Checkpoint | None = None


def plan_new(
    network: str,
    recipe: str,
    settings: dict[str, Any],
    data_settings: dict[str, Any],
    *,
    out: Path | None,
    options: RunOptions,
    held: ExitStack,
) -> TrainingPlan:
    """A run from a recipe and flags. Its folder is made last, when all else has been checked.

    Args:
        network: Its name.
        recipe: Likewise.
        settings: Flags; None leaves the recipe's own.
        data_settings: Likewise.
        out: The run folder; None for the next number in `runs`.
        options: Of the machine.
        held: Keeps the folder for this process until it is closed.

    Raises:
        RunBusyError: Another process works on a run in the folder.
        ConfigError: Settings that do not fit together, or a folder that is not empty. No image has
            been read then.
        OptionError: A file that is not a policy; likewise.
        DataError: Images that cannot be loaded or split.
    """
    chosen = {name: value for name, value in data_settings.items() if value is not None}
    settings = settings | read_policy(settings["policy"])
    config = recipe_config(recipe, network, data=DataConfig(**chosen), **settings)
    # The network's own rules hold for images of any size.
    config.network_spec(image_size=1, num_classes=2, in_channels=1)
    options.check(config)
    if out is not None:
        check_run_folder(out)
    dataset = _load(config)
    train_set, _ = split_validation(dataset.train, config.data.validation, seed=config.data.seed)
    config = fill_penalties(config, _network_spec(config, dataset), len(train_set))
    folder = held.enter_context(new_run_folder(network, out=out))
    return TrainingPlan(config=config, dataset=dataset, folder=folder)


def plan_resumed(
    run: Path, *, source: str | None, options: RunOptions, held: ExitStack
) -> TrainingPlan:
    """A stopped run as it was configured; its images may lie at `source` now.

    Its folder is held, as `plan_new` holds it, before its checkpoint is read.

    Raises:
        RunBusyError: Another process works on the run.
        CheckpointError: Not a run folder, or a finished run.
        ConfigError: So many ranks, or --shard, do not go with the run.
        DataError: Images that are not those of the run.
    """
    if not run.is_dir():
        raise CheckpointError(f"{run} is not a run folder; --resume takes the folder of a run")
    begun = RunFolder(run)
    if begun.was_begun and not begun.checkpoint.exists():
        raise CheckpointError(
            f"{run} was ended before its first checkpoint; begin it anew by the command that began "
            f"it, with --out {run}"
        )
    find_file(run)  # no lock in a folder that is none of ours
    folder = held.enter_context(begun.hold())
    checkpoint = load_checkpoint(run)
    if checkpoint.training is None or checkpoint.data is None:
        raise CheckpointError(f"{run} is finished; look at it with mdl bound {run}")
    checkpoint.data.check_size()
    try:
        config = TrainConfig.from_dict(checkpoint.config)
    except ValueError as error:
        raise CheckpointError(f"{run}: {error}; it cannot be resumed, train anew") from error
    options.check(config)
    located = (
        config if source is None else replace(config, data=replace(config.data, source=source))
    )
    dataset = _load(located)
    checkpoint.data.check(dataset, owner=str(run))
    return TrainingPlan(config=config, dataset=dataset, folder=folder, resume_from=checkpoint)


def _load(config: TrainConfig) -> Dataset:
    """Load the images and say what was understood of them."""
    log, data = console.stderr(), config.data
    log.print(f"Loading {data.source} ...", markup=False)
    dataset = load_dataset(data)
    for line in tell_dataset(dataset, num_train=data.num_train, num_test=data.num_test):
        log.print(line, markup=False)
    return dataset


def carry_out(
    plan: TrainingPlan, options: RunOptions, *, as_json: bool, logs: Sequence[str] = ()
) -> int:
    """Train on this rank and print the result. Only the first rank writes to `logs`.

    Returns:
        The exit code: 0, or 128 and the number of the signal that stopped the run.
    """
    log, ranks, device = console.stderr(), options.ranks, options.device
    place = str(device) if ranks.size == 1 else f"{ranks.size} ranks of {device.type}"
    config, dataset = plan.config, plan.dataset
    folder, resume_from = plan.folder, plan.resume_from
    log.print(
        f"{config.network} by {config.method} on {dataset.name}: {len(dataset.train):,} images of "
        f"{dataset.in_channels}x{dataset.image_size}x{dataset.image_size}, {config.epochs} "
        f"{'epoch' if config.epochs == 1 else 'epochs'}, "
        f"{config.precision} on {place}, in {folder.path}",
        markup=False,
    )
    log.print(f"Augmentation policy: {config.augmentation.policy or 'none'}.", markup=False)
    if resume_from is None:
        hint = "" if config.augmentation.policy_table else "; --policy FILE reads a table"
        line = f"Recipe {config.recipe} does not have {missing_parts(config)}{hint}."
        for part in console.wrap(line):
            log.print(part, markup=False)
        _say_penalties(plan)
        _say_if_dense(plan, options)
        if ranks.is_first:
            folder.write_config({"config": config.to_dict(), "versions": collect_versions()})
    shown = TrainingProgress(num_epochs=config.epochs)
    chosen = logs if ranks.is_first else ()
    logged = LoggedProgress(shown, chosen, _logged_run(plan, with_history=bool(chosen)))
    command = resume_command(ranks, folder.path) + "".join(f" --log-to {name}" for name in logs)
    saved = f"{folder.checkpoint} holds what was saved last; resume with: {command}"
    try:
        with logged as progress, StopRequest(saved) as stop, shown:
            result = run_training(
                config=config,
                dataset=dataset,
                folder=folder,
                options=options,
                progress=progress,
                stop=stop,
                resume_from=resume_from,
            )
    except LostRankError as error:
        raise LostRankError(f"{error}; resume with {command}", speaks=error.speaks) from error
    if as_json:
        console.print_json(
            {
                "run": str(folder.path),
                "checkpoint": str(folder.checkpoint),
                "status": result.status,
                "network": config.network,
                "metrics": result.metrics,
            }
        )
    elif result.status == "finished":
        print_result(result.metrics, result.checkpoint, folder, precision=config.precision)
    if result.status == "finished":
        return 0
    log.print(f"Stopped and saved. Resume with: {command}", markup=False)
    return 128 + (stop.signal_number or signal.SIGTERM)  # Another rank's, if not this one's.


def _say_penalties(plan: TrainingPlan) -> None:
    """Say λ, and what it adds up to over the run."""
    config, dataset = plan.config, plan.dataset
    if config.method == "beta-lasso":
        spec = _network_spec(config, dataset)
        num_images = len(dataset.train) - config.data.validation
        lines = (
            f"λ {config.l1_conv:.3g} conv-like, {config.l1_fc:.3g} fc. In units of the initial "
            f"weights: total shrinkage {_pair(shrinkages(config, spec, num_images))}, threshold "
            f"βλ {_pair(thresholds(config, spec))}."
        )
        for part in console.wrap(lines):
            console.stderr().print(part, markup=False)


def _pair(values: tuple[float, float]) -> str:
    """Of the conv-like and of the fc layers."""
    return f"{values[0]:.3g} / {values[1]:.3g}"


def _say_if_dense(plan: TrainingPlan, options: RunOptions) -> None:
    """Say that `--sparse always` finds no layer that is large enough."""
    config = plan.config
    layers = _network_spec(config, plan.dataset).layers
    if options.sparsity == "always" and not any(may_be_sparse(one, config) for one in layers):
        console.stderr().print(
            "--sparse always: all layers stay dense; none is fully connected, with 2^20 weights or "
            "more and a λ of its own.",
            markup=False,
        )


def _network_spec(config: TrainConfig, dataset: Dataset) -> NetworkSpec:
    return config.network_spec(
        image_size=dataset.image_size,
        num_classes=dataset.num_classes,
        in_channels=dataset.in_channels,
    )


def _logged_run(plan: TrainingPlan, *, with_history: bool) -> LoggedRun:
    """What logs are told: epochs that go through the loop again are not among those before."""
    done = 0
    if with_history and plan.resume_from is not None:
        done = plan.resume_from.metrics.get("epoch", 0)
    known = {field.name for field in fields(EpochMetrics)}
    layers = _network_spec(plan.config, plan.dataset).layers
    return LoggedRun(
        folder=plan.folder.path,
        config=plan.config.to_dict(),
        num_weights={layer.name: layer.num_weights for layer in layers},
        history=tuple(
            EpochMetrics(**{name: value for name, value in line.items() if name in known})
            for line in (plan.folder.read_metrics() if done else ())
            if line["epoch"] <= done
        ),
    )


def print_result(
    metrics: dict[str, Any], checkpoint: Checkpoint, folder: RunFolder, *, precision: Precision
) -> None:
    """Print errors by split, nonzeros by layer, and what to run next."""
    sizes = {layer.name: layer.num_weights for layer in checkpoint.network.layers}
    nonzeros = metrics["num_nonzeros"]
    errors = []
    for split, count in (
        ("train", "num_samples"),
        ("validation", "num_validation"),
        ("test", "num_test"),
    ):
        if metrics[count]:
            wrong, of = metrics[f"{split}_errors"], metrics[count]
            errors.append(f"{split} {1 - wrong / of:.2%} ({wrong:,} errors of {of:,})")
    kept, total = sum(nonzeros.values()), sum(sizes.values())
    console.print_answer(
        f"{checkpoint.network.name}: {errors[-1].partition(' (')[0].replace(' ', ' accuracy ')}, "
        f"{kept:,} of {total:,} weights not zero ({kept / total:.2%}), in {folder.path}.",
        f"Accuracy: {', '.join(errors)}. Trained in {metrics['seconds']:.0f} s.",
        *(
            [f"Counted in fp32; the epoch lines in {precision}."]
            if precision in ("bf16", "fp16")
            else []
        ),
        table=console.Rows(
            columns=("layer", "weights", "nonzeros", "density"),
            rows=[
                (name, f"{sizes[name]:,}", f"{count:,}", f"{count / sizes[name]:.2%}")
                for name, count in nonzeros.items()
            ],
            sizes=list(sizes.values()),
        ),
        next_=[
            console.command("bound", folder.path),
            *console.filters_command(folder.path, nonzeros),
        ],
    )


@contextmanager
def launched_ranks(device: Device) -> Iterator[tuple[Ranks, torch.device]]:
    """The ranks that `torchrun` started and the device of this one; one rank alone without it.

    Ranks but the first print nothing unless something is wrong with them alone. When ranks are
    lost, the first one that is left says so. An error ends a rank of several on the spot: to take
    the connections down in order, the others would be needed.

    Raises:
        ValueError: `cuda` was asked for and this rank has no card.
        TrainingError: The ranks did not find each other.
    """
    chosen = _device_of_rank(device)
    with joined_ranks(chosen) as ranks:
        try:
            with _silence(quiet=not ranks.is_first):
                yield ranks, chosen
        except BaseException as error:
            if ranks.size == 1:
                raise
            _report(error, ranks)
            os._exit(1)


def resume_command(ranks: Ranks, run: Path) -> str:
    """What the user types to resume with a stopped run.

    >>> resume_command(Ranks(size=2), Path("runs/0001-s-fc"))
    'torchrun ... -m mdl train --resume runs/0001-s-fc'
    """
    program = "mdl train" if ranks.size == 1 else "torchrun ... -m mdl train"
    return f"{program} --resume {run}"


def _report(error: BaseException, ranks: Ranks) -> None:
    """Say what ended this rank, unless another one does.

    torchrun ends all ranks as soon as one has ended. So those that have nothing to say, or nothing
    that the first one would not say too, let it go first.
    """
    speaks = error.speaks if isinstance(error, LostRankError) else ranks.is_first
    if not speaks:
        time.sleep(PATIENCE)
    if not is_told(error):
        traceback.print_exception(error)
    elif speaks:
        sys.stderr.write(console.flow(error_line(error)) + "\n")
    elif not isinstance(error, TrainingError):  # All ranks raise that one together.
        sys.stderr.write(f"{error_line(error)} (rank {ranks.rank} of {ranks.size})\n")
    sys.stdout.flush()
    sys.stderr.flush()


def _device_of_rank(device: Device) -> torch.device:
    chosen = choose_device(device)
    if chosen.type != "cuda" or not is_launched():
        return chosen
    index, num_cards = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if index >= num_cards:
        raise ValueError(
            f"--device {device}: torchrun started more ranks than this machine has cards; use "
            f"--nproc-per-node {num_cards}"
        )
    return torch.device("cuda", index)


@contextmanager
def _silence(*, quiet: bool) -> Iterator[None]:
    with ExitStack() as stack:
        if quiet:
            nowhere = stack.enter_context(Path(os.devnull).open("w", encoding="utf-8"))
            stack.enter_context(redirect_stdout(nowhere))
            stack.enter_context(redirect_stderr(nowhere))
        yield
