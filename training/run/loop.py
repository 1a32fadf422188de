"""The training loop: from a configuration and images to a checkpoint in a run folder."""

import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from training.checkpoint.checkpoint import Checkpoint, DataRecord
from training.checkpoint.writer import SaveError
from training.data.input_map import InputMap, measure_normalization
from training.data.loading import Dataset, ImageSet, split_validation
from training.distributed.ranks import Vote, naming_lost_ranks
from training.distributed.run_options import RunOptions
from training.errors import CheckpointError, TrainingError
from training.networks.models import Network
from training.run.evaluate import count_errors
from training.run.progress import EpochMetrics, Progress, Stop
from training.run.run_checkpoints import RunCheckpoints
from training.run.run_folder import RunFolder
from training.run.state import TrainingState
from training.spec.config import TrainConfig
from training.system.memory import resident_memory

FINITE_CHECK_EVERY = 50
"""Steps between looks at the loss; each look waits for the device."""


class _StoppedError(Exception):
    """The run was asked to stop before its end."""


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """How a run ended: "finished", or "stopped" early with all state saved."""

    status: Literal["finished", "stopped"]
    checkpoint: Checkpoint
    metrics: dict[str, Any] = field(default_factory=dict)


def run_training(
    *,
    config: TrainConfig,
    dataset: Dataset,
    folder: RunFolder,
    options: RunOptions,
    progress: Progress,
    stop: Stop,
    resume_from: Checkpoint | None = None,
) -> TrainResult:
    """Train one network and leave its checkpoint in `folder`.

    The checkpoint is written at the start, then as often as `options` ask beside the training
    (see `training.run.run_checkpoints`), and when `stop` asks. Those hold all that `resume_from`
    needs to reach bit-identical weights on the same machine. The final one holds the network alone,
    sparse where that is smaller.

    With several ranks each calls this with the same arguments but for device and rank, the progress
    and `stop`, which any of them may ask by. Rank 0 alone writes. The weights are those of one rank
    but for the order of sums, and a run may resume with another number of ranks.

    Raises:
        TrainingError: The loss or a weight is not finite, a file of the run could not be written,
            or another rank is gone. The last good checkpoint stays; where the run's folder takes no
            newer one, it lies in a temporary folder that the message names.
        DataError: The validation split or the batch does not fit the data.
    """
    train_set, validation_set = split_validation(
        dataset.train, config.data.validation, seed=config.data.seed
    )
    state = _make_state(config, dataset, train_set, options, resume_from)
    record = DataRecord.of(
        config.data, dataset, num_samples=len(train_set), num_validation=len(validation_set)
    )
    metrics: dict[str, Any] = {}
    if resume_from is not None:
        try:
            state.restore(resume_from)
        except CheckpointError as error:
            raise CheckpointError(
                f"{folder.checkpoint}: {error}; it cannot be resumed, train anew"
            ) from error
        metrics = dict(resume_from.metrics)
        if options.ranks.is_first:
            folder.keep_metrics_until(state.epoch)
    # Already on the device, so that the evaluation of an epoch moves nothing.
    measures = _Measures(
        state, validation_set.to(options.device), dataset.test.to(options.device), stop
    )
    with (
        naming_lost_ranks(options.ranks, f"{folder.checkpoint} holds the last good state"),
        RunCheckpoints(
            state=state,
            folder=folder,
            data=record,
            normalization=state.inputs.normalization,
            interval=options.save_every,
            tell=progress.on_note,
        ) as checkpoints,
        Vote(lambda: stop.requested, options.ranks) as stopping,
        Vote(checkpoints.is_due, options.ranks) as saving,
        np.errstate(over="ignore", invalid="ignore"),  # what diverges is told by the loss
    ):
        try:
            try:
                if resume_from is None:
                    checkpoints.save_now(metrics)
                while state.step < state.num_steps or not _was_evaluated(state, metrics):
                    if _was_evaluated(state, metrics):  # else a signal came in the middle of that
                        _run_epoch(
                            state,
                            checkpoints,
                            metrics,
                            progress=progress,
                            stopping=stopping,
                            saving=saving,
                        )
                    last = state.step == state.num_steps
                    epoch_metrics = measures.of_epoch(
                        due=last or state.epoch % options.evaluate_every == 0
                    )
                    checkpoints.log(asdict(epoch_metrics))
                    metrics = asdict(epoch_metrics)
                    progress.on_epoch(epoch_metrics)
                    if not last and stopping.ask_now():
                        raise _StoppedError
                    if not last and saving.ask_now():
                        checkpoints.save(metrics)
                finished = metrics | measures.of_run()
                checkpoint = checkpoints.save_now(finished, final=True)
                return TrainResult(status="finished", checkpoint=checkpoint, metrics=finished)
            except _StoppedError:
                checkpoint = checkpoints.save_now(metrics)
                return TrainResult(status="stopped", checkpoint=checkpoint, metrics=metrics)
        except SaveError as error:
            raise checkpoints.rescue(error, metrics) from error


def _make_state(
    config: TrainConfig,
    dataset: Dataset,
    train_set: ImageSet,
    options: RunOptions,
    resume_from: Checkpoint | None,
) -> TrainingState:
    """The state of a run before its first step."""
    normalization = (
        resume_from.normalization if resume_from is not None else None
    ) or measure_normalization(train_set, config.data.normalize)
    spec = config.network_spec(
        image_size=dataset.image_size,
        num_classes=dataset.num_classes,
        in_channels=dataset.in_channels,
    )
    return TrainingState(
        config=config,
        spec=spec,
        train_set=train_set.to(options.device),
        inputs=InputMap(normalization, config.data.permute_pixels),
        options=options,
    )


@dataclass(frozen=True)
class _Measures:
    """What is measured of a run's state on its images, which lie on its device."""

    state: TrainingState
    validation_set: ImageSet
    test_set: ImageSet
    stop: Stop

    def of_epoch(self, *, due: bool) -> EpochMetrics:
        """After the last step of an epoch; with accuracies if they are due.

        Raises:
            _StoppedError: `stop` asked while errors were counted.
        """
        state = self.state
        return EpochMetrics(
            epoch=state.epoch,
            step=state.step,
            lr=state.last_lr,
            train_loss=state.mean_loss(),
            train_accuracy=state.mean_accuracy(),
            validation_accuracy=self._accuracy_on(self.validation_set) if due else None,
            test_accuracy=self._accuracy_on(self.test_set) if due else None,
            seconds=state.seconds,
            images_per_second=state.images_per_second,
            num_nonzeros=state.num_nonzeros(),
            screened=state.weights.screened,
            sparse_layers=state.weights.sparse_layers,
            weight_bytes=state.weights.weight_bytes,
            memory_bytes=_used_memory(state.device),
        )

    def of_run(self) -> dict[str, int]:
        """Images and errors of the finished network on each split.

        Raises:
            _StoppedError: `stop` asked while errors were counted.
        """
        network = self.state.weights.exact_network()
        return {
            "train_errors": self._errors_on(self.state.train_set, network),
            "num_samples": len(self.state.train_set),
            "validation_errors": self._errors_on(self.validation_set, network),
            "num_validation": len(self.validation_set),
            "test_errors": self._errors_on(self.test_set, network),
            "num_test": len(self.test_set),
        }

    def _accuracy_on(self, images: ImageSet) -> float | None:
        if len(images) == 0:
            return None
        with self.state.autocast():
            return 1 - self._errors_on(images, self.state.network) / len(images)

    def _errors_on(self, images: ImageSet, network: Network) -> int:
        return count_errors(
            network,
            images,
            self.state.inputs,
            device=self.state.device,
            ranks=self.state.ranks,
            on_batch=self._stop_between_batches,
        )

    def _stop_between_batches(self) -> None:
        # Several ranks go through with it: they would have to agree on the batch.
        if self.stop.requested and self.state.ranks.size == 1:
            raise _StoppedError


def _was_evaluated(state: TrainingState, metrics: dict[str, Any]) -> bool:
    return bool(metrics.get("epoch", 0) >= state.epoch)


def _run_epoch(
    state: TrainingState,
    checkpoints: RunCheckpoints,
    metrics: dict[str, Any],
    *,
    progress: Progress,
    stopping: Vote,
    saving: Vote,
) -> None:
    """Run to the end of the current epoch, saving on the way when due.

    Raises:
        _StoppedError: Asked to stop before the end.
        TrainingError: The loss or a weight is not finite.
    """
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
        if state.step % state.steps_per_epoch == 0:
            return
        if leaving:
            raise _StoppedError
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
        raise TrainingError.naming(
            "{} by step {} of epoch {}; {} holds the last good state; try a smaller {lr} than {:g}",
            what,
            state.step,
            state.epoch_of_last_step,
            last_good,
            state.config.lr,
        )
