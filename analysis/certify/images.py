"""Which images a certificate counts errors on: enough to find them again and to know them."""

from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

import torch

from training.data.image_set import Dataset, ImageSet
from training.data.loading import load_dataset, split_validation
from training.errors import DataError
from training.spec.config import GENERATED, MAX_IMAGE_SIZE, DataConfig
from training.system.checks import MAX_COUNT, MAX_SEED, check_keys, check_text, check_type, shown
from training.system.memory import check_memory

KNOWN_IMAGES = {
    "964d4ccbd19c589cc5ee0aedba54b2c920070ea4d9f100baa7b264339a2fffc7": "MNIST",
    "9a530325baad295a7adaa2114d34ca714364268ee432c5a36616defc503f33a8": "CIFAR-10 (JPEG)",
}
"""Names of whole data sets by their fingerprints; generated ones are known by their generator."""
TRAINING = "training"
WITH_VALIDATION = "training and validation"
VALIDATION_ALONE = "validation"
_SAMPLES = (TRAINING, WITH_VALIDATION, VALIDATION_ALONE)
_LOWEST = {
    "num_train": 1,
    "num_test": 0,
    "image_size": 1,
    "in_channels": 1,
    "num_classes": 2,
    "seed": 0,
    "validation": 0,
}
_HIGHEST = {"image_size": MAX_IMAGE_SIZE, "seed": MAX_SEED}


@dataclass(frozen=True, kw_only=True)
class CertifiedData:
    """The images of a certificate. It says nothing of where they lie on a machine.

    Attributes:
        name: Name of the data set, for people.
        fingerprint: Hash of the training and test images and labels.
        num_train: Training images, before validation images are taken out; the first N.
        num_test: Test images, the first N.
        image_size: s, side in pixels, after any resizing.
        in_channels: Channels.
        num_classes: c.
        seed: Of generated images and of the validation split; 0 where there is neither.
        validation: Training images held out for selection, drawn by the seed.
        samples: What the m samples are: "training", the images left for training; "training and
            validation", all training images; or "validation", those that a split prior left out.
        is_known: Whether the images themselves, not somebody's word, say that this is their name:
            they were generated, or are the first of a set of `KNOWN_IMAGES`. It is found out anew
            where images are loaded, and not written.

    Raises:
        ValueError: A value of another type or outside its range.
    """

    name: str
    fingerprint: str
    num_train: int
    num_test: int
    image_size: int
    in_channels: int
    num_classes: int
    seed: int
    validation: int
    samples: str
    is_known: bool = field(default=False, compare=False)

    def __post_init__(self) -> None:
        for text in ("name", "fingerprint", "samples"):
            check_text(f"data {text}", getattr(self, text))
        for name, lowest in _LOWEST.items():
            value, highest = getattr(self, name), _HIGHEST.get(name, MAX_COUNT)
            check_type(f"data {name}", value, int)
            if value < lowest:
                raise ValueError(f"data {name} must be >= {lowest}, not {shown(value)}")
            if value > highest:
                raise ValueError(f"data {name} must be <= {highest}, not {shown(value)}")
        if self.samples not in _SAMPLES:
            raise ValueError(
                f"data samples must be one of {', '.join(map(repr, _SAMPLES))}, "
                f"not {shown(self.samples)}"
            )
        if self.samples == VALIDATION_ALONE and not self.validation:
            raise ValueError("data validation must be >= 1 where its images are the samples")
        if self.validation >= self.num_train:
            raise ValueError(
                f"data validation must be below num_train = {self.num_train}, not {self.validation}"
            )

    @classmethod
    def from_dict(cls, values: object) -> "CertifiedData":
        """The inverse of `to_dict`.

        Raises:
            ValueError: A field that is unknown, missing or not as it must be.
        """
        if not isinstance(values, dict):
            raise ValueError(f"data must be of type dict, not {type(values).__name__}")
        check_keys("data", values, {each.name for each in fields(cls)} - {"is_known"})
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {name: value for name, value in asdict(self).items() if name != "is_known"}

    @property
    def title(self) -> str:
        """The name, and beside one that nothing verifies the fingerprint, which is what counts."""
        if self.is_known:
            return self.name
        return f"{self.name} (name not verified, images {self.fingerprint[:12]})"


@dataclass(frozen=True, kw_only=True)
class CertifiedImages:
    """The images themselves.

    Attributes:
        samples: The m images that training may have seen, on which the bound rests.
        held_out: Validation images that are not among them; may be empty.
        test: Images that nothing saw; may be empty.
        class_names: One for each class, in the order of the labels.
    """

    samples: ImageSet
    held_out: ImageSet
    test: ImageSet
    class_names: tuple[str, ...]


def load_images(
    config: DataConfig, *, samples: str = TRAINING
) -> tuple[CertifiedData, CertifiedImages]:
    """Load a data set and say which of its images are counted.

    Args:
        config: The data; its permutation and normalisation belong to the network's description.
        samples: Which images are the m samples, as `CertifiedData` has it.

    Raises:
        DataError: The data cannot be loaded.
    """
    dataset = load_dataset(config)
    known = _known_name(config, dataset)
    needs_seed = config.is_generated or config.validation > 0
    record = CertifiedData(
        name=known or dataset.name,
        fingerprint=dataset.fingerprint,
        num_train=len(dataset.train),
        num_test=len(dataset.test),
        image_size=dataset.image_size,
        in_channels=dataset.in_channels,
        num_classes=dataset.num_classes,
        seed=config.seed if needs_seed else 0,
        validation=config.validation,
        samples=samples,
        is_known=known is not None,
    )
    return record, _split(dataset, record)


def _known_name(config: DataConfig, dataset: Dataset) -> str | None:
    """The name that images have for certain; None if they have none."""
    if config.is_generated:
        return config.source
    if config.num_train is not None or config.num_test is not None:
        dataset = load_dataset(replace(config, num_train=None, num_test=None))
    return KNOWN_IMAGES.get(dataset.fingerprint)


def find_images(
    record: CertifiedData, source: str | None, label_column: str | None = None
) -> tuple[CertifiedData, CertifiedImages]:
    """Load the images of a record from where they lie on this machine.

    Args:
        record: Which images; the fingerprint is not compared.
        source: "glyphs", "leaves", a folder or a name on the hub; None for generated images.
        label_column: Column of a table that holds the labels; None for the one its name says.

    Returns:
        The record as the images themselves give it, and the images.

    Raises:
        DataError: They cannot be loaded, or nothing says where they lie.
    """
    if source is None and record.name not in GENERATED:
        raise DataError.naming("the certificate is about {}; pass it as {data}", record.name)
    size = (record.num_train + record.num_test) * record.in_channels * record.image_size**2
    check_memory(size, f"the certificate's {record.num_train + record.num_test:,} images")
    config = DataConfig(
        source=source or record.name,
        image_size=record.image_size,
        num_train=record.num_train,
        num_test=record.num_test or None,
        validation=record.validation,
        seed=record.seed,
        label_column=label_column,
    )
    return load_images(config, samples=record.samples)


def _split(dataset: Dataset, record: CertifiedData) -> CertifiedImages:
    train, held_out = split_validation(dataset.train, record.validation, seed=record.seed)
    nothing = ImageSet(torch.empty_like(train.images[:0]), train.labels[:0])
    if record.samples == WITH_VALIDATION:
        train, held_out = dataset.train, nothing
    elif record.samples == VALIDATION_ALONE:
        train, held_out = held_out, nothing
    return CertifiedImages(
        samples=train, held_out=held_out, test=dataset.test, class_names=dataset.class_names
    )
