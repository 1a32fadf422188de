"""`mdl compress`: the job that a checkpoint, a recipe or a prior makes."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from analysis.certify.prior import SPLIT, Prior, kind_of, load_prior, load_samples
from analysis.compress.compress import compress_from_prior, compress_from_scratch, compress_state
from analysis.compress.compression import Compression, CompressionSettings, Progress
from analysis.compress.qat_training import QATSettings
from analysis.compress.recipes import CompressionRecipe, find_recipe
from analysis.compress.run_file import RunFile
from analysis.quantize.formats import NumberFormat
from mdl.terminal import console
from training.checkpoint.checkpoint import DataRecord, load_checkpoint, restore_network
from training.data.image_set import ImageSet
from training.data.input_map import InputMap
from training.data.loading import load_dataset, split_validation
from training.data.telling import tell_dataset
from training.errors import ConfigError, DataError
from training.networks.models import fold_batch_norm
from training.run.evaluate import evaluation_data
from training.spec.architectures import NetworkSpec
from training.spec.config import DataConfig, Precision
from training.spec.normalization import fixed_normalization


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
        precision: Arithmetic of training.
        penalty: Factor on the rate penalty.
        crop: Padding of a recipe's random crop.
        flip: Whether a recipe mirrors images.
    """

    epochs: int | None
    levels: Sequence[int] | None
    batch_size: int | None
    lr: float | None
    trials: int | None
    width: int | None
    seed: int
    delta: float
    precision: Precision
    penalty: float | None = None
    crop: int | None = None
    flip: bool | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Job:
    """A compression that is ready to run.

    Attributes:
        spec: The network.
        state: Its folded tensors; None to train from scratch.
        images: The m training images.
        inputs: What they are put through.
        test: Test images.
        record: The data set, for the compressed checkpoint.
        number_format: R_b.
        settings: How.
        recipe: The name of the recipe; None for a checkpoint.
        origin: What is known of the network that it continues, plain values.
        prior: What training starts at and the bits are relative to, or None.
        kind: Which kind the prior is, as a certificate has it; "" without one.
    """

    spec: NetworkSpec
    state: dict[str, Tensor] | None
    images: ImageSet
    inputs: InputMap
    test: ImageSet
    record: DataRecord
    number_format: NumberFormat
    settings: CompressionSettings
    recipe: str | None = None
    origin: dict[str, Any] = field(default_factory=dict)
    prior: Prior | None = None
    kind: str = ""

    def run(self, progress: Progress, file: RunFile | None = None) -> Compression:
        """Do it, or continue what a file holds.

        Raises:
            StoppedError: The file was asked to stop.
        """
        given: dict[str, Any] = {
            "number_format": self.number_format,
            "settings": self.settings,
            "progress": progress,
            "file": file,
        }
        if self.prior is not None:
            is_split = self.kind == SPLIT
            return compress_from_prior(
                self.spec, self.prior.codeword, self.images, is_split=is_split, **given
            )
        if self.state is None:
            return compress_from_scratch(self.spec, self.images, self.inputs, **given)
        return compress_state(self.spec, self.state, self.images, self.inputs, **given)

    @property
    def made_by(self) -> dict[str, Any]:
        """What the compressed checkpoint says of its making, to be asked for again."""
        training = self.settings.training
        return {
            "command": "mdl compress",
            "recipe": self.recipe,
            "width": self.spec.base_channels,
            "format": self.number_format.name,
            "levels": list(self.settings.levels),
            "epochs": training.epochs,
            "batch_size": training.batch_size,
            "lr": training.lr,
            "penalty": self.settings.penalty_factor,
            "crop": training.augmentation.crop,
            "flip": training.augmentation.flip,
            "precision": training.precision,
            "trials": self.settings.num_trials,
            "seed": training.seed,
            "delta": self.settings.delta,
            **self.origin,
        }

    def identity(self) -> dict[str, Any]:
        """All that decides the result, as plain values by name; where the images lie does not."""
        digest = hashlib.sha256()
        for name, tensor in (self.state or {}).items():
            digest.update(name.encode() + tensor.float().contiguous().numpy().tobytes())
        settings = asdict(self.settings)
        return {
            "network": asdict(self.spec),
            "weights": None if self.state is None else digest.hexdigest(),
            "prior": None if self.prior is None else self.prior.codeword.sha256,
            "images": self.record.fingerprint,
            "num_samples": len(self.images),
            "held_out": [self.record.num_validation, self.record.config.get("seed")],
            "format": self.number_format.name,
            "threads": torch.get_num_threads(),
            **settings.pop("training"),
            **settings,
        }


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
    chosen = {name: value for name, value in asdict(wishes).items() if value is not None}
    origin = {"trained": {k: value for k, value in checkpoint.config.items() if k != "data"}}
    before = checkpoint.metrics.get("compress")
    if isinstance(before, dict) and "prior_sha256" in before:
        origin["prior_sha256"] = before["prior_sha256"]
    return Job(
        spec=checkpoint.network,
        state=dict(fold_batch_norm(restore_network(checkpoint)).state_dict()),
        images=images.train,
        inputs=images.inputs,
        test=images.test,
        record=checkpoint.known_data,
        number_format=number_format,
        settings=CompressionSettings.continued(**chosen),
        origin=origin,
    )


def plan_recipe(name: str, config: DataConfig, number_format: NumberFormat, wishes: Wishes) -> Job:
    """A job from a recipe: all training images that are not held out are the m samples.

    Raises:
        DataError: The data cannot be loaded.
        ValueError: An unknown recipe, or a setting outside its range.
    """
    recipe = find_recipe(name)
    dataset = load_dataset(config)
    for line in tell_dataset(dataset):
        console.stderr().print(line, markup=False)
    images, held_out = split_validation(dataset.train, config.validation, seed=config.seed)
    spec = NetworkSpec(
        name=recipe.network,
        image_size=dataset.image_size,
        num_classes=dataset.num_classes,
        in_channels=dataset.in_channels,
        base_channels=wishes.width or recipe.base_channels,
    )
    return Job(
        spec=spec,
        state=None,
        images=images,
        inputs=InputMap(fixed_normalization(dataset.in_channels)),
        test=dataset.test,
        record=DataRecord.of(
            config, dataset, num_samples=len(images), num_validation=len(held_out)
        ),
        number_format=number_format,
        settings=_recipe_settings(recipe, wishes),
        recipe=recipe.name,
    )


def plan_prior(
    name: str, config: DataConfig, number_format: NumberFormat, wishes: Wishes, path: Path
) -> Job:
    """A job from a prior, by the settings of a recipe; the network is the prior's.

    The m samples are the images that a split prior left out, else all training images.

    Raises:
        CheckpointError: The prior cannot be read.
        ConfigError: Images are asked for that are not those of a split prior.
        DataError: The data cannot be loaded, are not for the prior's network, or are images that
            the prior may have seen.
        ValueError: An unknown recipe, or a setting outside its range.
    """
    recipe = find_recipe(name)
    prior = load_prior(path, number_format)
    own = prior.codeword.message.network
    config = replace(config, image_size=config.image_size or own.image_size)
    data, images = load_samples(prior, config)
    kind = kind_of(prior.origin, data)
    spec = replace(own, num_classes=data.num_classes)
    ours, theirs = ((each.in_channels, each.image_size) for each in (data, own))
    if ours != theirs:
        raise DataError(
            f"{data.name} has images of {ours[0]}x{ours[1]}x{ours[1]}, but the prior takes "
            f"{theirs[0]}x{theirs[1]}x{theirs[1]}; train a prior on images of that kind"
        )
    num_train = len(images.samples)
    if kind == SPLIT and prior.split is not None:
        if config.num_train not in (None, prior.split.num_train):
            raise ConfigError.naming("leave out {num_train}: the split prior has its own")
        if config.seed not in (0, prior.split.seed):
            raise ConfigError.naming("leave out {data_seed}: the split prior has its own")
        # Training sees all images: those of the samples, and the rest by way of the prior.
        config, num_train = replace(prior.split, source=config.source), data.num_train
    record = DataRecord(
        config=asdict(replace(config, validation=0)),
        name=data.name,
        fingerprint=data.fingerprint,
        num_samples=num_train,
        num_validation=0,
        num_test=len(images.test),
        image_size=data.image_size,
        in_channels=data.in_channels,
        num_classes=data.num_classes,
        class_names=images.class_names,
    )
    return Job(
        spec=spec,
        state=None,
        images=images.samples,
        inputs=prior.codeword.message.known_inputs,
        test=images.test,
        record=record,
        number_format=number_format,
        settings=_recipe_settings(recipe, wishes),
        recipe=recipe.name,
        origin={"prior_sha256": prior.codeword.sha256},
        prior=prior,
        kind=kind,
    )


def _recipe_settings(recipe: CompressionRecipe, wishes: Wishes) -> CompressionSettings:
    asked = {"crop": wishes.crop, "flip": wishes.flip}
    changed: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
    training = QATSettings(
        epochs=wishes.epochs or recipe.epochs,
        batch_size=wishes.batch_size or recipe.batch_size,
        lr=wishes.lr or recipe.lr,
        ramp=recipe.ramp,
        seed=wishes.seed,
        augmentation=replace(recipe.augmentation, **changed),
        precision=wishes.precision,
    )
    return CompressionSettings(
        training=training,
        levels=tuple(wishes.levels or (recipe.max_level,)),
        num_trials=recipe.num_trials if wishes.trials is None else wishes.trials,
        penalty_factor=wishes.penalty or recipe.penalty_factor,
        delta=wishes.delta,
        normalized=recipe.normalized,
    )
