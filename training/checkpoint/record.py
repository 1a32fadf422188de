"""Which data set a checkpoint belongs to."""

from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from training.data.image_set import Dataset, NamedImages, check_same_images
from training.errors import CheckpointError
from training.spec.config import (
    GENERATED_IMAGE_SIZE,
    GENERATED_NUM_TEST,
    GENERATED_NUM_TRAIN,
    DataConfig,
)
from training.system.checks import MAX_COUNT, check_text, check_type, shown


@dataclass(frozen=True, kw_only=True)
class DataRecord:
    """The data set that a network was trained on: enough to load it again and to know it is it.

    Attributes:
        config: The fields of `DataConfig`; a setting that is not given gets its default.
        name: Name of the data set, for people.
        fingerprint: Hash of its images and labels.
        num_samples: m, training images that training saw, >= 1; counts are at most 2^40.
        num_validation: Training images held out, >= 0.
        num_test: Test images, >= 0.
        image_size: s, side in pixels, >= 1.
        in_channels: Channels, >= 1.
        num_classes: c, >= 2.
        class_names: A name a class.

    Raises:
        ValueError: A value of another type or outside its range.
    """

    config: dict[str, Any]
    name: str
    fingerprint: str
    num_samples: int
    num_validation: int
    num_test: int
    image_size: int
    in_channels: int
    num_classes: int
    class_names: tuple[str, ...]

    @classmethod
    def of(
        cls, config: DataConfig, dataset: Dataset, *, num_samples: int, num_validation: int = 0
    ) -> Self:
        """The record of a data set as it was loaded and split.

        Args:
            config: What it was loaded by.
            dataset: The images, whole.
            num_samples: m, what the split left for training.
            num_validation: What it held out.
        """
        return cls(
            config=asdict(config),
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

    def check(self, found: NamedImages, *, owner: str = "the checkpoint") -> None:
        """Refuse images other than these.

        Raises:
            DataError: Their fingerprint is another.
        """
        check_same_images(found, name=self.name, fingerprint=self.fingerprint, owner=owner)

    def check_size(self) -> None:
        """Refuse a record whose settings would load other numbers of images than it has.

        Asked before anything is loaded, for what may be loaded are very many images.

        Raises:
            CheckpointError: They would.
        """
        config = DataConfig(**self.config)
        num_train = config.num_train or (GENERATED_NUM_TRAIN if config.is_generated else None)
        num_test = config.num_test or (GENERATED_NUM_TEST if config.is_generated else None)
        size = config.image_size or (GENERATED_IMAGE_SIZE if config.is_generated else None)
        num_samples = None if num_train is None else num_train - config.validation
        for what, asked, there in (
            ("{} images were held out", config.validation, self.num_validation),
            ("training saw {} images", num_samples, self.num_samples),
            ("there were {} test images", num_test, self.num_test),
            ("images had {} pixels a side", size, self.image_size),
        ):
            if asked is not None and asked != there:
                raise CheckpointError(
                    f"the checkpoint says that {what.format(there)}, but its settings ask for "
                    f"{asked}; use a checkpoint that mdl train wrote"
                )

    def __post_init__(self) -> None:
        for text in ("name", "fingerprint"):
            check_text(f"data {text}", getattr(self, text))
        lowest = {"num_samples": 1, "image_size": 1, "in_channels": 1, "num_classes": 2}
        for count in ("num_validation", "num_test", *lowest):
            value = getattr(self, count)
            check_type(f"data {count}", value, int)
            if not lowest.get(count, 0) <= value <= MAX_COUNT:
                limit = "" if value < MAX_COUNT else f" and <= {MAX_COUNT}"
                raise ValueError(
                    f"data {count} must be >= {lowest.get(count, 0)}{limit}, not {shown(value)}"
                )
        check_type("data class_names", self.class_names, tuple)
        for name in self.class_names:
            check_text("a class name", name)
        if len(self.class_names) != self.num_classes:
            raise ValueError(
                f"data has {len(self.class_names)} class_names for {self.num_classes} classes"
            )
        object.__setattr__(self, "config", _complete_config(self.config))


def _complete_config(config: object) -> dict[str, Any]:
    """The fields of a `DataConfig`, defaults for those that are not given."""
    check_type("data config", config, dict)
    known = {part.name for part in fields(DataConfig)}
    for name in config:  # type: ignore[attr-defined]
        if name not in known:
            raise ValueError(
                f"data config has {shown(name)}, which this version of mdl does not know"
            )
    try:
        return asdict(DataConfig(**config))  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise ValueError(f"data config: {error}") from error
