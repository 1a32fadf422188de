"""Carries out what `mdl train` plans: trains, and tells how it ended."""

import signal
from collections.abc import Sequence
from dataclasses import fields

import torch

from mdl.cli.launch import resume_command
from mdl.cli.train.plan import TrainingPlan
from mdl.cli.train.tables import print_result
from mdl.loggers.logged_progress import LoggedProgress
from mdl.loggers.logger import LoggedRun
from mdl.terminal import console
from mdl.terminal.progress import TrainingProgress
from training.distributed.ranks import Ranks
from training.distributed.sharding import Sharding
from training.run.loop import train
from training.run.progress import EpochMetrics
from training.run.provenance import collect_versions
from training.run.save_schedule import SaveInterval
from training.sparse.choice import Sparsity
from training.spec.recipes import missing_parts
from training.system.signals import StopRequest


def carry_out(
    plan: TrainingPlan,
    *,
    ranks: Ranks,
    device: torch.device,
    sharding: Sharding,
    sparsity: Sparsity,
    save_every: SaveInterval,
    evaluate_every: int,
    as_json: bool,
    logs: Sequence[str] = (),
) -> int:
    """Train on this rank and print the result. Only the first rank writes to `logs`.

    Returns:
        The exit code: 0, or 128 and the number of the signal that stopped the run.
    """
    log = console.stderr()
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
        log.print(f"Recipe {config.recipe} does not have {missing_parts(config)}.", markup=False)
        if ranks.is_first:
            folder.write_config({"config": config.to_dict(), "versions": collect_versions()})
    shown = TrainingProgress(num_epochs=config.epochs)
    chosen = logs if ranks.is_first else ()
    logged = LoggedProgress(shown, chosen, _logged_run(plan, with_history=bool(chosen)))
    command = resume_command(ranks, folder.path) + "".join(f" --log-to {name}" for name in logs)
    saved = f"{folder.checkpoint} holds what was saved last; resume with: {command}"
    with logged as progress, StopRequest(saved) as stop, shown:
        result = train(
            config=config,
            dataset=dataset,
            folder=folder,
            device=device,
            progress=progress,
            stop=stop,
            resume_from=resume_from,
            save_every=save_every,
            evaluate_every=evaluate_every,
            ranks=ranks,
            sharding=sharding,
            sparsity=sparsity,
        )
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
        print_result(result.metrics, result.checkpoint, folder)
    if result.status == "finished":
        return 0
    log.print(f"Stopped and saved. Go on with: {command}", markup=False)
    return 128 + (stop.signal_number or signal.SIGTERM)  # Another rank's, if not this one's.


def _logged_run(plan: TrainingPlan, *, with_history: bool) -> LoggedRun:
    """What logs are told: epochs that go through the loop again are not among those before."""
    dataset = plan.dataset
    spec = plan.config.network_spec(
        image_size=dataset.image_size,
        num_classes=dataset.num_classes,
        in_channels=dataset.in_channels,
    )
    done = 0
    if with_history and plan.resume_from is not None:
        done = plan.resume_from.metrics.get("epoch", 0)
    known = {field.name for field in fields(EpochMetrics)}
    return LoggedRun(
        folder=plan.folder.path,
        config=plan.config.to_dict(),
        num_weights={layer.name: layer.num_weights for layer in spec.layers},
        history=tuple(
            EpochMetrics(**{name: value for name, value in line.items() if name in known})
            for line in (plan.folder.read_metrics() if done else ())
            if line["epoch"] <= done
        ),
    )
