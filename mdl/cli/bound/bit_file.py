"""The images that a file of bits is about: it does not name them, so the command must."""

from pathlib import Path

from analysis.codes.network_code import Codeword
from training.data.loading import load_dataset, pixel_permutation, split_validation
from training.errors import CheckpointError, DataError
from training.run.evaluate import EvaluationData
from training.spec.architectures import NetworkSpec
from training.spec.config import DataConfig
from training.spec.normalization import fixed_normalization


def bit_file_config(
    codeword: Codeword,
    path: Path,
    data: str | None,
    *,
    num_train: int | None = None,
    num_test: int | None = None,
    validation: int = 0,
    seed: int = 0,
) -> DataConfig:
    """The configuration of the images, at the size that the network takes.

    Raises:
        CheckpointError: The bits are tensors of a network whose code is not ours.
        ValueError: No data set was named.
    """
    spec = codeword.message.spec
    if not isinstance(spec, NetworkSpec):
        raise CheckpointError(
            f"{path}: tensors of a network whose code is not mdl's, so its errors cannot be "
            "counted here; use mdl bound with --samples and --train-errors"
        )
    if data is None:
        raise ValueError(f"{path} does not say what data it is about; pass --data")
    return DataConfig(
        source=data,
        image_size=spec.image_size,
        num_train=num_train,
        num_test=num_test,
        validation=validation,
        seed=seed,
    )


def load_evaluation_data(
    codeword: Codeword, path: Path, data: str | None
) -> tuple[EvaluationData, str]:
    """All training and test images of a data set, and its fingerprint.

    Raises:
        CheckpointError: As `bit_file_config`.
        DataError: The data cannot be loaded, or do not match the network's input.
        ValueError: No data set was named.
    """
    config = bit_file_config(codeword, path, data)
    dataset = load_dataset(config)
    spec = codeword.message.spec
    if not isinstance(spec, NetworkSpec) or (dataset.in_channels, dataset.num_classes) != (
        spec.in_channels,
        spec.num_classes,
    ):
        raise DataError(
            f"{data}: {dataset.in_channels} channels and {dataset.num_classes} classes, but "
            f"{path} is of a network for others; pass the data set that it was trained on"
        )
    train, validation = split_validation(dataset.train, 0, seed=0)
    seed = codeword.message.permutation_seed
    return EvaluationData(
        name=dataset.name,
        train=train,
        validation=validation,
        test=dataset.test,
        normalization=codeword.message.normalization or fixed_normalization(spec.in_channels),
        permutation=None if seed is None else pixel_permutation(seed, spec.image_size**2),
    ), dataset.fingerprint
