"""The whole state of a training run between two steps, and how one step changes it."""

import hashlib
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from training.augment.inputs import augment_images
from training.checkpoint.checkpoint import Checkpoint
from training.checkpoint.ranges import check_training
from training.data.image_set import ImageSet
from training.data.input_map import InputMap
from training.distributed.layers import span_ranks
from training.distributed.run_options import RunOptions
from training.distributed.shards import Shards
from training.distributed.weights import Replicas, Weights
from training.errors import CheckpointError, DataError
from training.networks.models import Network, build_network
from training.run.emulated_products import emulated_products
from training.sparse.replicas import SparseReplicas
from training.spec.architectures import NetworkSpec
from training.spec.config import TrainConfig
from training.spec.shrinkage import count_steps, fill_penalties

NUM_EAGER = 3
"""Steps taken as they are before one is recorded, so that all has been compiled and allocated."""
_DOES_NOT_FIT = (
    AttributeError,
    KeyError,
    IndexError,
    TypeError,
    ValueError,
    RuntimeError,
    OverflowError,
)
_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


class TrainingState:
    """Network, optimizer, random generators and running sums of one run.

    The order of the images, the augmentation and dropout of an epoch are seeded by the run's seed
    and the epoch, so that a run can be cut at any step and resume with the same numbers. Dropout
    draws from torch's global generator, which is therefore seeded here.

    At precision bf16 the layers compute with working copies of their weights
    (`training.optim.working_copies`). On CUDA a step is recorded once as a graph and then
    replayed, but for fp16, whose loss scaling looks at every step, and for sparse layers, whose
    work changes from step to step.

    Layers of a network under β-lasso may become sparse (`training.sparse`); the weights move as
    they do in dense layers, but for rounding.

    Several ranks share out the images of every step. They then take their steps without a graph,
    and whatever sums over them must be asked for on each.

    Attributes:
        step: Steps done.
        num_steps: Steps of the whole run.
        config: With the λ that it is trained with.
        steps_per_epoch: Full batches in the training set.
        batch_size: Images per step: the configured number, or all if there are fewer.
        seconds: Training time so far.
    """

    def __init__(
        self,
        *,
        config: TrainConfig,
        spec: NetworkSpec,
        train_set: ImageSet,
        inputs: InputMap,
        options: RunOptions,
    ) -> None:
        if len(train_set) < 2:
            raise DataError(f"training needs at least 2 images, not {len(train_set)}")
        device, ranks = options.device, options.ranks
        config = fill_penalties(config, spec, len(train_set))
        self.config, self.device, self.ranks = config, device, ranks
        self.train_set, self.inputs = train_set, inputs
        self._permutation = inputs.permutation(train_set.images.shape[-1], device)
        self.dtype = torch.float64 if config.precision == "fp64" else torch.float32
        self.batch_size = min(config.batch_size, len(train_set))
        self.steps_per_epoch = len(train_set) // self.batch_size
        self.num_steps = count_steps(config, len(train_set))
        self.network = _build(spec, config, self.dtype)
        span_ranks(self.network, ranks, num_images=self.batch_size)
        kind: type[Replicas | Shards] = Replicas
        if options.chooses_shards(config, spec):
            kind = Shards
        elif options.chooses_sparse(config):
            kind = SparseReplicas
        self.weights: Weights = kind(self.network, config, options)
        self.optimizer = self.weights.optimizer
        self.scaler = torch.amp.GradScaler(device.type, enabled=config.precision == "fp16")
        self.augment_generator = torch.Generator(device)
        self.step = 0
        self.seconds = 0.0
        self.images_per_second = 0.0
        self.last_lr = config.lr
        self._order = torch.empty(0, dtype=torch.int64, device=device)
        self._part = ranks.part(self.batch_size)
        self._chosen = torch.zeros(len(self._part), dtype=torch.int64, device=device)
        self._lr = torch.zeros((), dtype=self.dtype, device=device)
        self._products = emulated_products(config.precision, device)
        self._has_graph = device.type == "cuda" and config.precision != "fp16" and ranks.size == 1
        self._graph: StepGraph | None = None
        self._loss_sum = torch.zeros((), dtype=torch.float64, device=device)
        self._num_right = torch.zeros((), dtype=torch.int64, device=device)

    @property
    def epoch(self) -> int:
        """Epochs done."""
        return self.step // self.steps_per_epoch

    @property
    def epoch_of_last_step(self) -> int:
        """The epoch, from 1, that the last step belongs to."""
        return max(self.step - 1, 0) // self.steps_per_epoch + 1

    def begin_epoch(self) -> None:
        """Draw the order of the epoch's images.

        At its start also reseed, clear the sums and choose the sparse layers.
        """
        order = torch.Generator().manual_seed(derive_seed(self.config.seed, "order", self.epoch))
        self._order = torch.randperm(len(self.train_set), generator=order).to(self.device)
        if self.step % self.steps_per_epoch == 0:
            self.augment_generator.manual_seed(derive_seed(self.config.seed, "augment", self.epoch))
            torch.manual_seed(derive_seed(self.config.seed, "dropout", self.epoch))
            self._loss_sum.zero_()
            self._num_right.zero_()
            with self._products:
                self.weights.begin_epoch(self.epoch + 1, batch_size=self.batch_size)

    def take_step(self) -> None:
        """One step of the optimizer on the next batch. Nothing here waits for the device."""
        start = self.step % self.steps_per_epoch * self.batch_size
        self._chosen.copy_(self._order[self.ranks.rows(self.batch_size, start=start)])
        self._set_lr(cosine_lr(self.config.lr, self.step, self.num_steps))
        self.network.train()
        if self._has_graph and self.weights.is_settled:
            if self._graph is None:
                self._graph = StepGraph(self._compute_step, generator=self.augment_generator)
            self._graph.run()
        else:
            if self.weights.sparse_layers:
                self._graph = None  # it would step weights that are gone
            with self._products:
                self._compute_step()
        self.step += 1

    def _compute_step(self) -> None:
        """From the chosen images to the moved weights: the part of a step that a device does."""
        labels = self.train_set.labels[self._chosen]
        inputs = augment_images(
            self.train_set.images[self._chosen],
            self.config.augmentation,
            self.inputs.normalization,
            permutation=self._permutation,
            generator=self.augment_generator,
            dtype=torch.bfloat16 if self.optimizer.working_copies else self.dtype,
            part=self._part,
        )
        self.optimizer.zero_grad(set_to_none=True)
        logits = self.forward(inputs).to(self.dtype)
        loss = F.cross_entropy(logits, labels)
        # Gradients are averaged over ranks, whose parts of the batch may differ by one image.
        share = len(self._part) * self.ranks.size / self.batch_size
        objective = loss if share == 1 else loss * share
        self.scaler.scale(objective).backward()  # type: ignore[no-untyped-call]
        self.weights.take_gradients()
        self.scaler.step(self.optimizer)
        self.weights.step_sparse_layers()
        self.scaler.update()
        self._loss_sum += loss.detach() * len(labels)
        self._num_right += (logits.detach().argmax(dim=1) == labels).sum()

    def forward(self, inputs: Tensor) -> Tensor:
        """The network's logits at the configured precision, through its working copies, if any."""
        with self.autocast():
            logits: Tensor = self.weights.model(inputs)
        return logits

    def _set_lr(self, lr: float) -> None:
        """Tell the optimizer; a graph reads the number from the device's memory."""
        self.last_lr = lr
        self._lr.fill_(lr)
        for group in self.optimizer.param_groups:
            group["lr"] = self._lr if self._has_graph else lr

    @contextmanager
    def autocast(self) -> Iterator[None]:
        """The context in which forward passes run at the configured precision."""
        low = _AUTOCAST.get(self.config.precision)
        with self._products, torch.autocast(self.device.type, dtype=low, enabled=low is not None):
            yield

    def add_time(self, seconds: float, *, num_steps: int) -> None:
        """Count the time of some steps, which also sets the rate."""
        self.seconds += seconds
        self.images_per_second = num_steps * self.batch_size / max(seconds, 1e-9)

    def mean_loss(self) -> float:
        """Mean loss in nats over the images of the epoch so far."""
        return self.ranks.sum_real(float(self._loss_sum)) / self._num_seen

    def mean_accuracy(self) -> float:
        """Share of the epoch's images so far that were right when they were seen."""
        return self.ranks.sum(int(self._num_right)) / self._num_seen

    @property
    def _num_seen(self) -> int:
        return ((self.step - 1) % self.steps_per_epoch + 1) * self.batch_size

    def loss_is_finite(self) -> bool:
        """Whether every loss of this epoch is finite."""
        return self.ranks.all_hold(bool(torch.isfinite(self._loss_sum)))

    def weights_are_finite(self) -> bool:
        """Whether every tensor of the network is finite."""
        extremes = [
            bound
            for tensor in self.weights.local_tensors()
            if tensor.is_floating_point() and tensor.numel() > 0
            for bound in tensor.aminmax()  # NaN is both
        ]
        return self.ranks.all_hold(bool(torch.isfinite(torch.stack(extremes)).all()))

    def num_nonzeros(self) -> dict[str, int]:
        """Nonzero weights by layer."""
        return self.weights.num_nonzeros()

    def resume_dict(self) -> dict[str, Any]:
        """All but the network's own state, as primitives and tensors."""
        return {
            "step": self.step,
            "seconds": self.seconds,
            "loss_sum": self.ranks.sum_real(float(self._loss_sum)),
            "num_right": self.ranks.sum(int(self._num_right)),
            "device": self.device.type,
            "optimizer": self._optimizer_dict(),
            "scaler": self.scaler.state_dict(),
            "augment_generator": self.augment_generator.get_state(),
            "cpu_generator": torch.get_rng_state(),
            "cuda_generator": (
                torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else None
            ),
        }

    def _optimizer_dict(self) -> dict[str, Any]:
        saved = self.weights.whole_optimizer_state()
        groups = [group | {"lr": self.last_lr} for group in saved["param_groups"]]
        return saved | {"param_groups": groups}

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go back to the state of a checkpoint that holds one.

        A run may continue on another kind of device; its weights then differ from an uninterrupted
        run's by rounding, and by the random draws of the epoch that was cut.

        Raises:
            CheckpointError: The checkpoint is final, or its state does not fit this run.
        """
        saved = checkpoint.training
        if saved is None:
            raise CheckpointError("the run is finished; there is nothing to resume")
        try:
            check_training(saved, is_whole=True)
            self.weights.load(checkpoint.state, saved["optimizer"])
            self.scaler.load_state_dict(saved["scaler"])
            self.step = int(saved["step"])
            self.seconds = float(saved["seconds"])
            self.images_per_second = self.step * self.batch_size / max(self.seconds, 1e-9)
            self.last_lr = cosine_lr(self.config.lr, max(self.step - 1, 0), self.num_steps)
            self._loss_sum.fill_(float(saved["loss_sum"]) if self.ranks.is_first else 0.0)
            self._num_right.fill_(int(saved["num_right"]) if self.ranks.is_first else 0)
            torch.set_rng_state(saved["cpu_generator"])
            if saved["device"] == self.device.type:
                self.augment_generator.set_state(saved["augment_generator"])
                if self.device.type == "cuda":
                    torch.cuda.set_rng_state(saved["cuda_generator"], self.device)
        except _DOES_NOT_FIT as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise CheckpointError(f"the saved training state does not fit: {reason}") from error
        if not 0 <= self.step <= self.num_steps:
            raise CheckpointError(
                f"the saved training state is at step {self.step} of a run of {self.num_steps}"
            )
        if int(saved["num_right"]) > self._num_seen:
            raise CheckpointError(
                f"the saved training state has {saved['num_right']} right answers to "
                f"{self._num_seen} images"
            )
        if checkpoint.metrics.get("epoch", 0) > self.epoch:
            raise CheckpointError(
                f"the saved training state has done {self.epoch} epochs, its metrics "
                f"{checkpoint.metrics['epoch']}"
            )


class StepGraph:
    """Runs a step: the first times as it is, then by replaying what the device was told to do.

    The step must read what changes from one call to the next from memory that stays where it is,
    and must not wait for the device. Recording runs nothing, so every call is one step.

    Args:
        step: Takes one step.
        generator: A CUDA generator that the step draws from, besides torch's own.
    """

    def __init__(self, step: Callable[[], None], *, generator: torch.Generator) -> None:
        self._step = step
        self._generator = generator
        self._num_eager = 0
        self._graph: torch.cuda.CUDAGraph | None = None
        self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]

    def run(self) -> None:
        """Take one step."""
        if self._graph is None and self._num_eager < NUM_EAGER:
            self._num_eager += 1
            self._run_aside()
            return
        if self._graph is None:
            self._graph = self._record()
        self._graph.replay()

    def _run_aside(self) -> None:
        """On the stream that the recording will use, as autograd wants it."""
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            self._step()
        torch.cuda.current_stream().wait_stream(self._stream)

    def _record(self) -> torch.cuda.CUDAGraph:
        graph = torch.cuda.CUDAGraph()
        graph.register_generator_state(self._generator)
        with torch.cuda.graph(graph, stream=self._stream):
            self._step()
        return graph


def derive_seed(seed: int, purpose: str, index: int = 0) -> int:
    """A 63-bit seed for one purpose and index, independent of the seeds of all others."""
    digest = hashlib.sha256(f"{seed}/{purpose}/{index}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def cosine_lr(lr: float, step: int, num_steps: int) -> float:
    """η_t = η (1 + cos(π t / T)) / 2 for step t of T, from 0; per step, not per epoch.

    >>> cosine_lr(0.1, 0, 100), round(cosine_lr(0.1, 50, 100), 12)
    (0.1, 0.05)
    """
    return lr * (1 + math.cos(math.pi * step / num_steps)) / 2


def _build(spec: NetworkSpec, config: TrainConfig, dtype: torch.dtype) -> Network:
    torch.manual_seed(derive_seed(config.seed, "initialisation"))
    return build_network(spec, dropout=config.dropout).to(dtype)
