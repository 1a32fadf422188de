"""Counting errors: in eval mode, without augmentation, on named images."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from training.checkpoint.checkpoint import Checkpoint
from training.data.input_map import InputMap
from training.data.loading import Dataset, ImageSet, load_dataset, split_validation
from training.distributed.ranks import ALONE, Ranks
from training.networks.models import Network
from training.spec.architectures import NetworkSpec
from training.spec.config import DataConfig
from training.system.memory import check_memory


@dataclass(frozen=True, kw_only=True)
class EvaluationData:
    """The images of a checkpoint, split as they were in training.

    Attributes:
        name: Name of the data set.
        fingerprint: Of its images, all of them.
        train: The m images that training saw.
        validation: Images held out of training for selection; may be empty.
        test: Images that nothing saw.
        inputs: What they are put through before the network.
    """

    name: str
    fingerprint: str
    train: ImageSet
    validation: ImageSet
    test: ImageSet
    inputs: InputMap


def answering_bytes(spec: NetworkSpec, num_images: int) -> int:
    """Bytes of memory that a batch takes on its way through a network, in float32.

    The widest layer has what enters it and what leaves it, each in two forms; a local layer its
    patches, and a residual sum what goes past it.

    >>> spec = NetworkSpec(name="s-fc", image_size=8, num_classes=10, base_channels=1)
    >>> answering_bytes(spec, 1)
    1664
    """
    skips = int(spec.name == "resnet18")
    widest = max(
        (2 + skips) * layer.in_features
        + 2 * layer.out_features
        + (layer.fan_in * layer.out_size**2 if layer.kind == "local" else 0)
        for layer in spec.layers
    )
    return 4 * num_images * widest


@torch.no_grad()
def count_errors(
    network: nn.Module,
    images: ImageSet,
    inputs: InputMap,
    *,
    batch_size: int = 1024,
    device: torch.device | str = "cpu",
    ranks: Ranks = ALONE,
    on_batch: Callable[[], None] = lambda: None,
) -> int:
    """Number of images whose largest logit is not at their label.

    Takes what `right_answers` takes. All ranks return the sum over them.
    """
    right = right_answers(
        network,
        images,
        inputs,
        batch_size=batch_size,
        device=device,
        ranks=ranks,
        on_batch=on_batch,
    )
    return ranks.sum(int((~right).sum()))


def right_answers(
    network: nn.Module,
    images: ImageSet,
    inputs: InputMap,
    *,
    batch_size: int = 1024,
    device: torch.device | str = "cpu",
    ranks: Ranks = ALONE,
    on_batch: Callable[[], None] = lambda: None,
) -> Tensor:
    """Whether the largest logit of an image is at its label, image by image.

    An image with a non-finite logit counts as an error. The network is put in eval mode for the
    count and back into its mode after it.

    Args:
        network: Takes floats (N, C, s, s) of its parameters' type, gives logits (N, c).
        images: uint8 images and labels.
        inputs: Applied to the images.
        batch_size: Images a forward pass of one rank; it changes nothing but rounding.
        device: Where to compute; the network must be there.
        ranks: Each answers for its rows of every batch.
        on_batch: Called before every forward pass.

    Returns:
        bool (N,) on the device, in the order of the images; of one rank, those of its rows.

    Raises:
        OutOfMemoryError: A batch is too large for the memory available.
    """
    classes = predict_classes(
        network,
        images,
        inputs,
        batch_size=batch_size,
        device=device,
        ranks=ranks,
        on_batch=on_batch,
    )
    rows = _rows(len(images), batch_size, ranks)
    labels = torch.cat([images.labels[:0], *(images.labels[each] for each in rows)])
    return classes == labels.to(device)


@torch.no_grad()
def predict_classes(
    network: nn.Module,
    images: ImageSet,
    inputs: InputMap,
    *,
    batch_size: int = 1024,
    device: torch.device | str = "cpu",
    ranks: Ranks = ALONE,
    on_batch: Callable[[], None] = lambda: None,
) -> Tensor:
    """The class of the largest logit, image by image; -1 where a logit is not finite.

    Takes what `right_answers` takes.

    Returns:
        int64 (N,) on the device, in the order of the images; of one rank, those of its rows.

    Raises:
        OutOfMemoryError: A batch is too large for the memory available.
    """
    dtype = next(network.parameters()).dtype
    if isinstance(network, Network) and torch.device(device).type == "cpu":
        needed = answering_bytes(network.spec, min(batch_size, len(images)))
        check_memory(needed, f"a batch of {batch_size} images in {network.spec.name}")
    was_training = network.training
    network.eval()
    answers = [torch.zeros(0, dtype=torch.int64, device=device)]
    for rows in _rows(len(images), batch_size, ranks):
        on_batch()
        logits = network(inputs(images.images[rows].to(device), dtype=dtype))
        answers.append(torch.where(torch.isfinite(logits).all(dim=1), logits.argmax(dim=1), -1))
    network.train(was_training)
    return torch.cat(answers)


def _rows(num_images: int, batch_size: int, ranks: Ranks) -> Iterator[slice]:
    """This rank's rows, batch by batch."""
    for start in range(0, num_images, batch_size * ranks.size):
        end = min(start + batch_size * ranks.size, num_images)
        yield ranks.rows(end - start, start=start)


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
        DataError: The data cannot be loaded, or it is not what the checkpoint was trained on, in
            number or in kind.
    """
    checkpoint.known_data.check_size()
    config = DataConfig(**checkpoint.known_data.config)
    config = config if source is None else replace(config, source=source)
    return split_as_trained(checkpoint, load_dataset(config, cache_dir=cache_dir))


def split_as_trained(checkpoint: Checkpoint, dataset: Dataset) -> EvaluationData:
    """Split the images of a checkpoint as its training did.

    Raises:
        CheckpointError: The checkpoint names no data, or not how its images were normalised.
        DataError: The images are not those that the checkpoint was trained on.
    """
    record = checkpoint.known_data
    record.check(dataset)
    return split_dataset(dataset, DataConfig(**record.config), checkpoint.inputs)


def split_dataset(dataset: Dataset, config: DataConfig, inputs: InputMap) -> EvaluationData:
    """Split a data set as a configuration says.

    Raises:
        DataError: No image would be left for training.
    """
    train, validation = split_validation(dataset.train, config.validation, seed=config.seed)
    return EvaluationData(
        name=dataset.name,
        fingerprint=dataset.fingerprint,
        train=train,
        validation=validation,
        test=dataset.test,
        inputs=inputs,
    )
