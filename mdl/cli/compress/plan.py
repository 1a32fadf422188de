"""What `mdl compress` works on: a checkpoint with its images, or a recipe with a data set."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from torch import Tensor

from analysis.compress.compress import (
    Compression,
    CompressionInputs,
    CompressionSettings,
    Progress,
    compress_from_scratch,
    compress_state,
)
from analysis.compress.qat_training import QATSettings
from analysis.compress.recipes import find_recipe
from analysis.compress.start import LEVELS
from analysis.quantize.formats import NumberFormat
from training.checkpoint.checkpoint import Checkpoint, DataRecord, load_checkpoint, restore_network
from training.data.image_set import ImageSet
from training.data.loading import load_dataset
from training.errors import CheckpointError
from training.networks.models import fold_batch_norm
from training.run.evaluate import evaluation_data
from training.spec.architectures import NetworkSpec
from training.spec.config import DataConfig
from training.spec.normalization import fixed_normalization

CHECKPOINT_EPOCHS = 10
CHECKPOINT_LR = 0.01
CHECKPOINT_TRIALS = 0


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What the command line asks for; None leaves the default.

    Attributes:
        epochs: Of quantization-aware training.
        levels: L to choose from.
        batch_size: Images per step.
        lr: Learning rate of it.
        trials: Single changes tried at the end.
        width: α of a recipe's network.
        seed: Of everything random.
        delta: δ.
    """

    epochs: int | None
    levels: Sequence[int] | None
    batch_size: int | None
    lr: float | None
    trials: int | None
    width: int | None
    seed: int
    delta: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Job:
    """A compression that is ready to run.

    Attributes:
        spec: The network.
        state: Its folded tensors; None to train from scratch.
        inputs: The m training images.
        test: Test images.
        record: The data set, for the compressed checkpoint.
        number_format: R_b.
        settings: How.
    """

    spec: NetworkSpec
    state: dict[str, Tensor] | None
    inputs: CompressionInputs
    test: ImageSet
    record: DataRecord
    number_format: NumberFormat
    settings: CompressionSettings

    def run(self, progress: Progress) -> Compression:
        """Do it."""
        if self.state is None:
            return compress_from_scratch(
                self.spec, self.inputs, self.number_format, self.settings, progress=progress
            )
        return compress_state(
            self.spec, self.state, self.inputs, self.number_format, self.settings, progress=progress
        )


def plan_checkpoint(
    path: Path, data: str | None, number_format: NumberFormat, wishes: Wishes
) -> Job:
    """A job from a checkpoint.

    Raises:
        CheckpointError: It cannot be read, or does not name its data.
        DataError: The data cannot be loaded, or are others.
        ValueError: A setting outside its range.
    """
    checkpoint = load_checkpoint(path)
    images = evaluation_data(checkpoint, source=data)
    record = checkpoint.data
    if record is None:
        raise CheckpointError(f"{path}: it does not say what data it was trained on")
    training = QATSettings(
        epochs=wishes.epochs or CHECKPOINT_EPOCHS,
        batch_size=wishes.batch_size or 256,
        lr=wishes.lr or CHECKPOINT_LR,
        ramp=0.0,
        seed=wishes.seed,
    )
    settings = CompressionSettings(
        training=training,
        levels=tuple(wishes.levels or LEVELS),
        num_trials=CHECKPOINT_TRIALS if wishes.trials is None else wishes.trials,
        delta=wishes.delta,
    )
    return Job(
        spec=checkpoint.network,
        state=dict(fold_batch_norm(restore_network(checkpoint)).state_dict()),
        inputs=CompressionInputs(
            images=images.train,
            normalization=images.normalization,
            permutation=images.permutation,
            permutation_seed=record.config["permute_pixels"],
        ),
        test=images.test,
        record=record,
        number_format=number_format,
        settings=settings,
    )


def plan_recipe(name: str, data: str | None, number_format: NumberFormat, wishes: Wishes) -> Job:
    """A job from a recipe: all training images of the data set are the m samples.

    Raises:
        DataError: The data cannot be loaded.
        ValueError: An unknown recipe, or a setting outside its range.
    """
    recipe = find_recipe(name)
    config = DataConfig(source=data or "glyphs")
    dataset = load_dataset(config)
    spec = NetworkSpec(
        name=recipe.network,
        image_size=dataset.image_size,
        num_classes=dataset.num_classes,
        in_channels=dataset.in_channels,
        base_channels=wishes.width or recipe.base_channels,
    )
    training = QATSettings(
        epochs=wishes.epochs or recipe.epochs,
        batch_size=wishes.batch_size or recipe.batch_size,
        lr=wishes.lr or recipe.lr,
        seed=wishes.seed,
    )
    settings = CompressionSettings(
        training=training,
        levels=tuple(wishes.levels or (recipe.max_level,)),
        num_trials=recipe.num_trials if wishes.trials is None else wishes.trials,
        penalty_factor=recipe.penalty_factor,
        delta=wishes.delta,
    )
    record = DataRecord(
        config=asdict(config),
        name=dataset.name,
        fingerprint=dataset.fingerprint,
        num_samples=len(dataset.train),
        num_validation=0,
        num_test=len(dataset.test),
        image_size=dataset.image_size,
        in_channels=dataset.in_channels,
        num_classes=dataset.num_classes,
        class_names=dataset.class_names,
    )
    inputs = CompressionInputs(
        images=dataset.train, normalization=fixed_normalization(dataset.in_channels)
    )
    return Job(
        spec=spec,
        state=None,
        inputs=inputs,
        test=dataset.test,
        record=record,
        number_format=number_format,
        settings=settings,
    )


def compressed_checkpoint(job: Job, compression: Compression) -> Checkpoint:
    """A checkpoint of the decoded network, folded, with the data set that it belongs to."""
    message = compression.codeword.message
    return Checkpoint(
        network=job.spec,
        state=message.state,
        data=job.record,
        normalization=job.inputs.normalization,
        metrics={
            "train_errors": compression.errors.num_errors,
            "num_samples": compression.errors.num_samples,
            "description_bits": compression.codeword.num_bits,
            "bound": compression.bound,
        },
    )
