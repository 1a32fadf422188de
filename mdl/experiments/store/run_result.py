"""What is kept of one finished run: a few kilobytes of JSON under a hash of its configuration."""

import base64
import binascii
import hashlib
import json
import math
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from pathlib import PurePath
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

import numpy as np
from numpy.typing import NDArray

from analysis.bounds.bounds import ErrorCount
from training.spec.config import DataConfig, TrainConfig
from training.system.checks import shown

RESULT_VERSION = 3
_LARGEST = 2.0**63
KEY_DIGITS = 16
"""Of a key, hexadecimal."""


@dataclass(frozen=True, kw_only=True)
class EpochPoint:
    """A run at the end of one epoch.

    Attributes:
        epoch: From 1.
        seconds: Training time so far.
        train_loss: Mean over the epoch's steps, with augmentation.
        train_accuracy: Likewise, a fraction.
        validation_accuracy: A fraction; None where it was not measured.
        test_accuracy: A fraction; None where it was not measured.
        num_nonzeros: By layer.
        screened: Share of rows screened by layer, as `training.run.progress.EpochMetrics` has it.
    """

    epoch: int
    seconds: float
    train_loss: float
    train_accuracy: float
    validation_accuracy: float | None
    test_accuracy: float | None
    num_nonzeros: dict[str, int]
    screened: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Description:
    """How short the network is, as `analysis.describe.bound_report` measures it.

    Attributes:
        bits_per_number: b of the number format.
        num_bits: B of the shortest of our codes, as the decoder consumed them.
        code: Its name.
        lengths: Bits of each of the paper's descriptions, by name.
        bound: The bound on the true error that B proves, a fraction.
        delta: δ of the bound.
    """

    bits_per_number: int
    num_bits: int
    code: str
    lengths: dict[str, float]
    bound: float
    delta: float


@dataclass(frozen=True, kw_only=True)
class FilterLocality:
    """Locality of the first layer's filters, as `analysis.filters.locality.LocalitySummary` has it.

    Radii in pixels; `ratio` is radius over chance, with its interval at 95%.
    """

    num_filters: int
    radius: float
    chance_radius: float
    ratio: float
    ratio_interval: tuple[float, float]
    local_share: float


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """One finished run.

    Attributes:
        key: `run_key` of the configuration.
        config: What was trained.
        data_name: Name of the data set.
        fingerprint: Of its images.
        num_weights: By layer, without biases and BatchNorm.
        num_nonzeros: By layer, of the final weights.
        train: Errors of the final network on the training images, without augmentation.
        validation: On the held-out images; None if there are none.
        test: On the test images.
        test_answers: Which test images are right, as `pack_answers` writes it: so that two runs
            can be compared image by image.
        history: By epoch.
        seconds: Training time.
        description: How short it is; None if not measured.
        locality: Of the first layer; None where filters have no place.
        versions: Of the project and the packages, and the machine.
    """

    key: str
    config: TrainConfig
    data_name: str
    fingerprint: str
    num_weights: dict[str, int]
    num_nonzeros: dict[str, int]
    train: ErrorCount
    validation: ErrorCount | None
    test: ErrorCount
    test_answers: str
    history: tuple[EpochPoint, ...]
    seconds: float
    description: Description | None
    locality: FilterLocality | None
    versions: dict[str, Any]

    @property
    def total_weights(self) -> int:
        """Of all layers, without biases and BatchNorm."""
        return sum(self.num_weights.values())

    @property
    def total_nonzeros(self) -> int:
        """Of all layers, of the final weights."""
        return sum(self.num_nonzeros.values())

    @property
    def right_tests(self) -> NDArray[np.bool_]:
        """Whether each test image is right, (number of test images,)."""
        return unpack_answers(self.test_answers, self.test.num_samples)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {"version": RESULT_VERSION} | asdict(self) | {"config": self.config.to_dict()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "RunResult":
        """The inverse of `to_dict`.

        Raises:
            ValueError: Another version, a field that is missing or unknown, or a value out of its
                range.
        """
        rest = dict(values)
        version = rest.pop("version", None)
        if version not in (2, RESULT_VERSION):
            raise ValueError(f"version must be {RESULT_VERSION}, not {shown(version)}")
        unknown = set(rest) ^ {field.name for field in fields(cls)}
        if unknown:
            raise ValueError(f"not a result of a run: {', '.join(sorted(unknown))}")
        try:
            if version == 2:
                rest = _from_version_2(rest)
            rest["config"] = TrainConfig.from_dict(rest["config"])
            for name in ("train", "validation", "test"):
                rest[name] = None if rest[name] is None else ErrorCount(**rest[name])
            rest["history"] = tuple(EpochPoint(**point) for point in rest["history"])
            if rest["description"] is not None:
                rest["description"] = Description(**rest["description"])
            if rest["locality"] is not None:
                low, high = rest["locality"]["ratio_interval"]
                rest["locality"] = FilterLocality(
                    **rest["locality"] | {"ratio_interval": (low, high)}
                )
            result = cls(**rest)
            for part in (result, *result.history, result.description, result.locality):
                if part is not None:
                    _check_values(part)
            num_wrong = int((~result.right_tests).sum())
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"not a result of a run: {error}") from error
        if num_wrong != result.test.num_errors:
            raise ValueError(
                f"not a result of a run: test_answers has {num_wrong} errors, "
                f"test.num_errors is {result.test.num_errors}"
            )
        return result


def _check_values(record: Any) -> None:
    """Refuse values of another type than their field's, and numbers that are negative or infinite.

    Fields that are records check themselves.
    """
    for name, hint in _hints(type(record)):  # type: ignore[arg-type]  # types can be hashed
        if not _fits(getattr(record, name), hint):
            raise ValueError(f"{name} is not of type {hint}, or outside its range")


@lru_cache(maxsize=8)
def _hints(kind: type) -> tuple[tuple[str, Any], ...]:
    return tuple(get_type_hints(kind).items())


def _fits(value: Any, hint: Any) -> bool:
    parts = get_args(hint)
    if isinstance(hint, UnionType):
        return any(_fits(value, part) for part in parts)
    if get_origin(hint) is dict:
        found = isinstance(value, dict)
        return found and all(
            _fits(name, str) and _fits(each, parts[1]) for name, each in value.items()
        )
    if get_origin(hint) is tuple:
        return isinstance(value, tuple) and all(_fits(each, parts[0]) for each in value)
    if hint in (int, float):
        numbers = (int,) if hint is int else (int, float)
        return type(value) in numbers and 0 <= value < math.inf and value < _LARGEST
    return hint is Any or isinstance(value, hint)


def _from_version_2(values: dict[str, Any]) -> dict[str, Any]:
    """Version 2 said "certified" for "screened", and "sparse" for the code of Theorem 2."""
    history = [_renamed(point, "certified", "screened") for point in values["history"]]
    description = values["description"]
    if description is not None:
        lengths = _renamed(description["lengths"], "sparse", "theorem-2")
        description = description | {"lengths": lengths}
    return values | {"history": history, "description": description}


def _renamed(values: dict[str, Any], old: str, new: str) -> dict[str, Any]:
    return {new if name == old else name: value for name, value in values.items()}


def pack_answers(right: NDArray[np.bool_]) -> str:
    """Right and wrong answers as text: a bit an image, the first highest, bytes in base64.

    >>> pack_answers(np.array([True, False, False, False, False, False, False, True, True]))
    'gYA='
    """
    return base64.b64encode(np.packbits(right).tobytes()).decode("ascii")


def unpack_answers(text: str, number: int) -> NDArray[np.bool_]:
    """The inverse of `pack_answers`.

    Raises:
        ValueError: The text does not hold just as many answers.

    >>> unpack_answers("gYA=", 9).tolist().count(True)
    3
    """
    try:
        packed = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(f"test_answers: {error}") from None
    if len(packed) != (number + 7) // 8:
        raise ValueError(f"test_answers must hold {number} answers, not {8 * len(packed)}")
    return np.unpackbits(np.frombuffer(packed, dtype=np.uint8), count=number).astype(np.bool_)


def run_key(config: TrainConfig) -> str:
    """A hash of everything that decides the weights, apart from the machine.

    Where the images lie is left out: a path counts by its last part, but a folder called glyphs is
    not the generator. Whether they are the same images is checked by their fingerprint once they
    are read.

    >>> from dataclasses import replace
    >>> from training.spec.config import DataConfig
    >>> near = TrainConfig(network="s-fc", base_channels=8, data=DataConfig(source="data/cifar10"))
    >>> far = replace(near, data=DataConfig(source="/mnt/images/cifar10/"))
    >>> run_key(near) == run_key(far), run_key(near) == run_key(replace(near, seed=1))
    (True, False)
    """
    text = json.dumps(_canonical(config), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:KEY_DIGITS]


def _canonical(config: TrainConfig) -> dict[str, Any]:
    values = config.to_dict()
    del values["recipe"]  # a name for where the settings came from
    name = PurePath(config.data.source).name
    is_namesake = DataConfig(source=name).is_generated and not config.data.is_generated
    values["data"]["source"] = f"folder {name}" if is_namesake else name
    # As before there were such settings:
    if config.data.label_column is None:
        del values["data"]["label_column"]
    if config.shrinkage is None:
        del values["shrinkage"]
    else:
        del values["l1_conv"], values["l1_fc"]  # they follow from it
    if config.max_threshold is None:
        del values["max_threshold"]
    return values
