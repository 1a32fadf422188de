"""Which data set a checkpoint belongs to."""

from dataclasses import asdict, dataclass
from typing import Any, Self

from training.data.image_set import Dataset, NamedImages, check_same_images
from training.spec.config import DataConfig
from training.system.checks import check_type


@dataclass(frozen=True, kw_only=True)
class DataRecord:
    """The data set that a network was trained on: enough to load it again and to know it is it.

    Attributes:
        config: The fields of `DataConfig`; a setting that is not given gets its default.
        name: Name of the data set, for people.
        fingerprint: Hash of its images and labels.
        num_samples: m, training images that training saw, >= 1.
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

    def __post_init__(self) -> None:
        for text in ("name", "fingerprint"):
            check_type(f"data {text}", getattr(self, text), str)
        lowest = {"num_samples": 1, "image_size": 1, "in_channels": 1, "num_classes": 2}
        for count in ("num_validation", "num_test", *lowest):
            value = getattr(self, count)
            check_type(f"data {count}", value, int)
            if value < lowest.get(count, 0):
                raise ValueError(f"data {count} must be >= {lowest.get(count, 0)}, not {value}")
        check_type("data class_names", self.class_names, tuple)
        for name in self.class_names:
            check_type("a class name", name, str)
        if len(self.class_names) != self.num_classes:
            raise ValueError(
                f"data has {len(self.class_names)} class_names for {self.num_classes} classes"
            )
        object.__setattr__(self, "config", _complete_config(self.config))


def _complete_config(config: object) -> dict[str, Any]:
    """The fields of a `DataConfig`, defaults for those that are not given."""
    check_type("data config", config, dict)
    for name, value in config.items():  # type: ignore[attr-defined]
        if not isinstance(value, str | int | None):
            raise ValueError(f"data config: {name} must be text or an integer, not {value!r}")
    try:
        complete = asdict(DataConfig(**config))  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise ValueError(f"data config: {error}") from error
    check_type("data config source", complete["source"], str)
    return complete
