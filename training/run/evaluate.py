"""Counting errors: in eval mode, without augmentation, on named images."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from training.augment.inputs import prepare_images
from training.checkpoint.checkpoint import Checkpoint, DataRecord
from training.data.loading import ImageSet, load_dataset, pixel_permutation, split_validation
from training.distributed.ranks import ALONE, Ranks
from training.errors import CheckpointError, DataError
from training.spec.config import DataConfig
from training.spec.normalization import Normalization


@dataclass(frozen=True, kw_only=True)
class EvaluationData:
    """The images of a checkpoint, split as they were in training.

    Attributes:
        name: Name of the data set.
        train: The m images that training saw.
        validation: Images held out of training for selection; may be empty.
        test: Images that nothing saw.
        normalization: Constants that map pixels to the network's inputs.
        permutation: The fixed permutation of pixels, or None.
    """

    name: str
    train: ImageSet
    validation: ImageSet
    test: ImageSet
    normalization: Normalization
    permutation: Tensor | None


@torch.no_grad()
def count_errors(
    network: nn.Module,
    images: ImageSet,
    normalization: Normalization,
    *,
    permutation: Tensor | None = None,
    batch_size: int = 1024,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    ranks: Ranks = ALONE,
    on_batch: Callable[[], None] = lambda: None,
) -> int:
    """Number of images whose largest logit is not at their label.

    Takes what `right_answers` takes. All ranks return the sum over them.
    """
    right = right_answers(
        network,
        images,
        normalization,
        permutation=permutation,
        batch_size=batch_size,
        device=device,
        dtype=dtype,
        ranks=ranks,
        on_batch=on_batch,
    )
    return ranks.sum(int((~right).sum()))


@torch.no_grad()
def right_answers(
    network: nn.Module,
    images: ImageSet,
    normalization: Normalization,
    *,
    permutation: Tensor | None = None,
    batch_size: int = 1024,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    ranks: Ranks = ALONE,
    on_batch: Callable[[], None] = lambda: None,
) -> Tensor:
    """Whether the largest logit of an image is at its label, image by image.

    An image with a non-finite logit counts as an error. The network is put in eval mode for the
    count and back into its mode after it.

    Args:
        network: Takes floats (N, C, s, s), gives logits (N, c).
        images: uint8 images and labels.
        normalization: Applied to the images.
        permutation: Applied to the pixels, (s·s,), or None.
        batch_size: Images a forward pass of one rank; it changes nothing but rounding.
        device: Where to compute; the network must be there.
        dtype: Floating-point type of the inputs; the network's parameters must have it.
        ranks: Each answers for its rows of every batch.
        on_batch: Called before every forward pass.

    Returns:
        bool (N,) on the device, in the order of the images; of one rank, those of its rows.
    """
    was_training = network.training
    network.eval()
    answers = [torch.zeros(0, dtype=torch.bool, device=device)]
    permutation = None if permutation is None else permutation.to(device)
    for start in range(0, len(images), batch_size * ranks.size):
        on_batch()
        end = min(start + batch_size * ranks.size, len(images))
        rows = ranks.rows(end - start, start=start)
        batch, labels = images.images[rows].to(device), images.labels[rows].to(device)
        logits = network(prepare_images(batch, normalization, permutation=permutation, dtype=dtype))
        right = (logits.argmax(dim=1) == labels) & torch.isfinite(logits).all(dim=1)
        answers.append(right)
    network.train(was_training)
    return torch.cat(answers)


def input_mapping(checkpoint: Checkpoint) -> tuple[Normalization, Tensor | None]:
    """How a checkpoint's network wants its images: normalisation, and pixel permutation if any.

    Raises:
        CheckpointError: The checkpoint names no data.
    """
    record = _data_record(checkpoint)
    seed = record.config["permute_pixels"]
    permutation = None if seed is None else pixel_permutation(seed, record.image_size**2)
    if checkpoint.normalization is None:
        raise CheckpointError("the checkpoint does not say how its images were normalised")
    return checkpoint.normalization, permutation


def evaluation_data(
    checkpoint: Checkpoint, *, source: str | None = None, cache_dir: Path | None = None
) -> EvaluationData:
    """Load the images that a checkpoint was trained and tested on.

    Args:
        checkpoint: Names the data set, its split, permutation and normalization.
        source: Where the same data set lies now; None looks where it lay in training.
        cache_dir: Folder of decoded data sets.

    Raises:
        CheckpointError: The checkpoint names no data.
        DataError: The data cannot be loaded, or it is not what the checkpoint was trained on.
    """
    record = _data_record(checkpoint)
    normalization, permutation = input_mapping(checkpoint)
    config = DataConfig(**record.config)
    located = config if source is None else replace(config, source=source)
    dataset = load_dataset(located, cache_dir=cache_dir)
    if dataset.fingerprint != record.fingerprint:
        raise DataError(
            f"{located.source}: these are not the images that the checkpoint was trained on "
            f"({record.name}, fingerprint {record.fingerprint[:12]}, not "
            f"{dataset.fingerprint[:12]}); pass --data with the original data set"
        )
    train, validation = split_validation(dataset.train, config.validation, seed=config.seed)
    return EvaluationData(
        name=record.name,
        train=train,
        validation=validation,
        test=dataset.test,
        normalization=normalization,
        permutation=permutation,
    )


def _data_record(checkpoint: Checkpoint) -> DataRecord:
    if checkpoint.data is None:
        raise CheckpointError(
            "the checkpoint does not say what data it was trained on, so no error can be "
            "counted; use a checkpoint that mdl train wrote"
        )
    return checkpoint.data
