"""The training loop: from a configuration and images to a checkpoint in a run folder."""

import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch

from training.checkpoint.checkpoint import Checkpoint, DataRecord
from training.data.loading import (
    Dataset,
    ImageSet,
    measure_normalization,
    pixel_permutation,
    split_validation,
)
from training.distributed.lost_ranks import naming_lost_ranks
from training.distributed.ranks import ALONE, Ranks
from training.distributed.sharding import Sharding
from training.distributed.votes import Vote
from training.errors import TrainingError
from training.networks.network import Network
from training.run.evaluate import count_errors
from training.run.progress import EpochMetrics, Progress, Stop
from training.run.run_checkpoints import RunCheckpoints
from training.run.run_folder import RunFolder
from training.run.save_schedule import SaveInterval
from training.run.state import TrainingState
from training.sparse.choice import Sparsity
from training.spec.config import TrainConfig
from training.system.memory import resident_memory

FINITE_CHECK_EVERY = 50
"""Steps between looks at the loss; each look waits for the device."""


class _StoppedError(Exception):
    """A signal came while errors were being counted."""


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """How a run ended: "finished", or "stopped" early with all state saved."""

    status: Literal["finished", "stopped"]
    checkpoint: Checkpoint
    metrics: dict[str, Any] = field(default_factory=dict)


def train(
    *,
    config: TrainConfig,
    dataset: Dataset,
    folder: RunFolder,
    device: torch.device,
    progress: Progress,
    stop: Stop,
    resume_from: Checkpoint | None = None,
    save_every: SaveInterval = SaveInterval(),  # noqa: B008  # frozen
    evaluate_every: int = 1,
    ranks: Ranks = ALONE,
    sharding: Sharding = "auto",
    sparsity: Sparsity = "never",
) -> TrainResult:
    """Train one network and leave its checkpoint in `folder`.

    The checkpoint is written at the start, then as often as `save_every` asks beside the training
    (see `training.run.run_checkpoints`), and when `stop` asks. Those hold all that `resume_from`
    needs to reach bit-identical weights on the same machine. The final one holds the network alone,
    sparse where that is smaller.

    With several ranks each calls this with the same arguments but for the device, the progress and
    `stop`, which any of them may ask by. Rank 0 alone writes. The weights are those of one rank but
    for the order of sums, and a run may resume with another number of ranks.

    Raises:
        TrainingError: The loss or a weight is not finite, a checkpoint could not be written, or
            another rank is gone; the last good checkpoint stays.
        DataError: The validation split or the batch does not fit the data.
    """
    train_set, validation_set = split_validation(
        dataset.train, config.data.validation, seed=config.data.seed
    )
    normalization = (
        resume_from.normalization if resume_from is not None else None
    ) or measure_normalization(train_set, config.data.normalize)
    permutation = None
    if config.data.permute_pixels is not None:
        permutation = pixel_permutation(config.data.permute_pixels, dataset.image_size**2)
    record = _data_record(config, dataset, len(train_set), len(validation_set))
    spec = config.network_spec(
        image_size=dataset.image_size,
        num_classes=dataset.num_classes,
        in_channels=dataset.in_channels,
    )
    state = TrainingState(
        config=config,
        spec=spec,
        train_set=_to_device(train_set, device),
        normalization=normalization,
        permutation=None if permutation is None else permutation.to(device),
        device=device,
        ranks=ranks,
        sharding=sharding,
        sparsity=sparsity,
    )
    if resume_from is not None:
        state.restore(resume_from)
    if resume_from is not None and ranks.is_first:
        folder.keep_metrics_until(state.epoch)
    # Already on the device, so that the evaluation of an epoch moves nothing.
    validation_set, test_set = (_to_device(each, device) for each in (validation_set, dataset.test))

    def stop_between_batches() -> None:
        # Several ranks go through with it: they would have to agree on the batch.
        if stop.requested and ranks.size == 1:
            raise _StoppedError

    def errors_on(images: ImageSet, network: Network) -> int:
        return count_errors(
            network,
            images,
            normalization,
            permutation=state.permutation,
            device=device,
            dtype=state.dtype,
            ranks=ranks,
            on_batch=stop_between_batches,
        )

    def accuracy_on(images: ImageSet, *, due: bool) -> float | None:
        if not due or len(images) == 0:
            return None
        with state.autocast():
            return 1 - errors_on(images, state.network) / len(images)

    metrics: dict[str, Any] = {} if resume_from is None else dict(resume_from.metrics)

    def was_evaluated(epoch: int) -> bool:
        return bool(metrics.get("epoch", 0) >= epoch)

    way_out = (
        f"{folder.checkpoint} holds the last good state; resume with "
        f"torchrun ... -m mdl train --resume {folder.path}"
    )
    with (
        naming_lost_ranks(ranks, way_out),
        RunCheckpoints(
            state=state,
            folder=folder,
            data=record,
            normalization=normalization,
            interval=save_every,
            tell=progress.on_note,
        ) as checkpoints,
        Vote(lambda: stop.requested, ranks) as stopping,
        Vote(checkpoints.is_due, ranks) as saving,
    ):

        def stopped() -> TrainResult:
            return TrainResult(
                status="stopped", checkpoint=checkpoints.save_now(metrics), metrics=metrics
            )

        if resume_from is None:
            checkpoints.save_now(metrics)
        try:
            while state.step < state.num_steps or not was_evaluated(state.epoch):
                if was_evaluated(state.epoch):  # else a signal came in the middle of that
                    _run_epoch(
                        state,
                        checkpoints,
                        metrics,
                        progress=progress,
                        stopping=stopping,
                        saving=saving,
                    )
                if state.step % state.steps_per_epoch != 0:
                    return stopped()
                epoch = state.epoch
                last = state.step == state.num_steps
                due = last or epoch % evaluate_every == 0
                epoch_metrics = EpochMetrics(
                    epoch=epoch,
                    step=state.step,
                    lr=state.last_lr,
                    train_loss=state.mean_loss(),
                    train_accuracy=state.mean_accuracy(),
                    validation_accuracy=accuracy_on(validation_set, due=due),
                    test_accuracy=accuracy_on(test_set, due=due),
                    seconds=state.seconds,
                    images_per_second=state.images_per_second,
                    num_nonzeros=state.num_nonzeros(),
                    screened=state.weights.screened,
                    sparse_layers=state.weights.sparse_layers,
                    weight_bytes=state.weights.weight_bytes,
                    memory_bytes=_used_memory(device),
                )
                metrics = asdict(epoch_metrics)
                if ranks.is_first:
                    folder.append_metrics(metrics)
                progress.on_epoch(epoch_metrics)
                if not last and stopping.ask_now():
                    return stopped()
                if not last and saving.ask_now():
                    checkpoints.save(metrics)
            network = state.weights.exact_network()
            counts = {
                "train_errors": errors_on(state.train_set, network),
                "num_samples": len(train_set),
                "validation_errors": errors_on(validation_set, network),
                "num_validation": len(validation_set),
                "test_errors": errors_on(test_set, network),
                "num_test": len(test_set),
            }
        except _StoppedError:
            return stopped()
        metrics = metrics | counts
        return TrainResult(
            status="finished", checkpoint=checkpoints.save_now(metrics, final=True), metrics=metrics
        )


def _run_epoch(
    state: TrainingState,
    checkpoints: RunCheckpoints,
    metrics: dict[str, Any],
    *,
    progress: Progress,
    stopping: Vote,
    saving: Vote,
) -> None:
    """Run to the end of the current epoch, or until asked to stop, saving on the way when due."""
    state.begin_epoch()
    start, first_step = time.perf_counter(), state.step
    while True:
        state.take_step()
        progress.on_step(state.step, state.num_steps)
        leaving = state.step % state.steps_per_epoch == 0 or stopping.ask()
        due = not leaving and saving.ask()
        if leaving or due or state.step % FINITE_CHECK_EVERY == 0:
            _check_finite(state, checkpoints.path, with_weights=leaving or due)
        if leaving or due:
            state.add_time(time.perf_counter() - start, num_steps=state.step - first_step)
        if leaving:
            return
        if due:
            checkpoints.save(metrics)
            start, first_step = time.perf_counter(), state.step


def _used_memory(device: torch.device) -> int | None:
    """Bytes resident on a CPU, allocated by torch on CUDA; None where the system does not tell."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    return resident_memory()


def _check_finite(state: TrainingState, last_good: Path, *, with_weights: bool) -> None:
    what = None
    if not state.loss_is_finite():
        what = "the loss is not finite"
    elif with_weights and not state.weights_are_finite():
        what = "a weight is not finite"
    if what is not None:
        raise TrainingError(
            f"{what} by step {state.step} of epoch {state.epoch_of_last_step}; {last_good} "
            f"holds the last good state; try a smaller --lr than {state.config.lr:g}"
        )


def _data_record(
    config: TrainConfig, dataset: Dataset, num_samples: int, num_validation: int
) -> DataRecord:
    return DataRecord(
        config=asdict(config.data),
        name=dataset.name,
        fingerprint=dataset.fingerprint,
        num_samples=num_samples,
        num_validation=num_validation,
        num_test=len(dataset.test),
        image_size=dataset.image_size,
        in_channels=dataset.in_channels,
        num_classes=dataset.num_classes,
        class_names=dataset.class_names,
    )


def _to_device(images: ImageSet, device: torch.device) -> ImageSet:
    return ImageSet(images=images.images.to(device), labels=images.labels.to(device))
