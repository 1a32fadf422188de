"""The full configuration of a training run, and the named recipes that fill it. No torch."""

import re
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Any, Literal, get_args

from training.errors import ConfigError
from training.spec.architectures import MAX_UNITS, NETWORKS, NetworkSpec
from training.spec.built_in_policies import BUILT_IN_POLICIES, built_in_policy
from training.spec.policy import Policy, PolicyTable, check_policy_table, table_policy
from training.system.checks import MAX_COUNT, MAX_SEED, check_text, shown

Method = Literal["beta-lasso", "sgd"]
Precision = Literal["bf16", "fp16", "fp32", "fp64"]
Normalize = Literal["fixed", "data"]
Sharding = Literal["auto", "never", "always"]
Sparsity = Literal["auto", "typical", "always", "never"]
SaveUnit = Literal["epochs", "steps", "seconds"]

MAX_IMAGE_SIZE = 2**16
GENERATED = ("glyphs", "handwriting", "leaves")
"""Sources whose images are drawn from a seed, each from random numbers of its own; nothing is read
for them."""
GENERATED_IMAGE_SIZE = 32
GENERATED_NUM_TRAIN = 20_000
GENERATED_NUM_TEST = 5_000
MAX_COEFFICIENT = 3.4e38
"""Largest value of a coefficient such as λ or β: what float32 holds."""
_INTERVAL = re.compile(r"(\d{1,9})(|steps|s|m|h)")
_SECONDS = {"s": 1, "m": 60, "h": 3600}


def _check(holds: bool, rule: str, *values: object) -> None:
    if not holds:
        raise ConfigError.naming(rule, *values)


def _check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    rule = f"{{{name}}} must be one of {{}}, not {{}}"
    _check(isinstance(value, str) and value in choices, rule, ", ".join(choices), shown(value))


def _check_integer(
    name: str, value: object, lowest: int, highest: int = MAX_COUNT, unit: str = ""
) -> None:
    is_integer = isinstance(value, int) and not isinstance(value, bool)
    _check(is_integer, f"{{{name}}} must be an integer, not {{}}", shown(value))
    _check_range(name, value, lowest, highest, unit)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _check_number(name: str, value: object, lowest: int) -> None:
    _check(_is_number(value), f"{{{name}}} must be a number, not {{}}", shown(value))
    _check_range(name, value, lowest, MAX_COEFFICIENT)


def _check_range(name: str, value: Any, lowest: int, highest: float, unit: str = "") -> None:
    rule = f"{{{name}}} must be >= {{}}{unit}, not {{}}"
    _check(value >= lowest, rule, lowest, shown(value))  # not so of what is no number
    _check(value <= highest, f"{{{name}}} must be <= {{}}{unit}, not {{}}", highest, shown(value))


def _check_shrinkage(value: object) -> tuple[float, float]:
    """Two numbers >= 0; JSON has a list where the configuration has a tuple."""
    pair = tuple(value) if isinstance(value, tuple | list) else ()
    _check(len(pair) == 2, "{shrinkage} must be two numbers, not {}", shown(value))
    for each in pair:
        _check_number("shrinkage", each, 0)
    return pair[0], pair[1]


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Which images, and what is done to every one of them.

    Attributes:
        source: "glyphs", digits of many fonts on busy backgrounds; "handwriting", digits as a pen
            writes them, white on black, in one channel; "leaves", scenes with the statistics of
            natural images; a hub name ("cifar10", "uoft-cs/cifar100", ...); or a path: a folder of
            parquet files, of class folders of images, of idx files or of CIFAR's pickles, or a
            .npz file.
        image_size: Side in pixels, 1 to 65,536; None keeps the images' own (generated: 32).
        num_train: Use only the first N >= 1 training images; None for all (generated: 20,000).
        num_test: Likewise for test images (generated: 5,000).
        validation: Training images held out for selection, drawn at random from the training set.
        permute_pixels: Seed of one fixed permutation of the pixels of every image; None for none.
        normalize: "fixed" subtracts 0.5 and divides by 0.25, constants chosen before the data;
            "data" uses the training set's own mean and deviation per channel.
        seed: Seed of generated images and of the validation split; all seeds lie in [0, 2^64).
        label_column: Column of a table that holds the labels, such as "coarse_label"; None for the
            one that its name says.

    Raises:
        ConfigError: A value of another type or outside its range.

    >>> DataConfig(source="mnist", num_train=1000).image_size is None
    True
    """

    source: str = "glyphs"
    image_size: int | None = None
    num_train: int | None = None
    num_test: int | None = None
    validation: int = 0
    permute_pixels: int | None = None
    normalize: Normalize = "fixed"
    seed: int = 0
    label_column: str | None = None

    @property
    def is_generated(self) -> bool:
        """Whether the images are generated, not stored on disk."""
        return self.source in GENERATED

    def __post_init__(self) -> None:
        check_text("source", self.source)
        if self.image_size is not None:
            _check_integer("image_size", self.image_size, 1, MAX_IMAGE_SIZE)
        for name in ("num_train", "num_test"):
            if (value := getattr(self, name)) is not None:
                _check_integer(name, value, 1)
        _check_integer("validation", self.validation, 0)
        _check_integer("data_seed", self.seed, 0, MAX_SEED)
        if self.permute_pixels is not None:
            _check_integer("permute_pixels", self.permute_pixels, 0, MAX_SEED)
        _check_choice("normalize", self.normalize, get_args(Normalize))
        if self.label_column is not None:
            check_text("label_column", self.label_column)
            _check(self.label_column != "", "{label_column} must name a column")


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Random changes of a training image, all drawn anew for every image of every batch.

    Attributes:
        flip: Mirror left to right with probability 1/2.
        crop: Zero padding in pixels on each side, from which a window of the image's size is cut.
        cutout: Side in pixels of a square set to the mid value; its centre may lie on the border.
        policy: One of `training.spec.built_in_policies`, or the name of the file that
            `policy_table` is from; None for none.
        policy_table: A table in the form of `training.spec.policy`, so that the configuration
            says all; None for a built-in policy.
    """

    flip: bool = False
    crop: int = 0
    cutout: int = 0
    policy: str | None = None
    policy_table: PolicyTable | None = None

    def __post_init__(self) -> None:
        _check(isinstance(self.flip, bool), "{flip} must be true or false")
        _check_integer("crop", self.crop, 0, MAX_IMAGE_SIZE, " pixels")
        _check_integer("cutout", self.cutout, 0, MAX_IMAGE_SIZE, " pixels")
        if self.policy_table is not None:
            is_named = isinstance(self.policy, str) and self.policy != ""
            _check(is_named, "{policy} must name the file that policy_table is from")
            check_text("policy", self.policy)
            # JSON has lists where the table has tuples.
            object.__setattr__(self, "policy_table", check_policy_table(self.policy_table))
        elif self.policy is not None:
            _check_choice("policy", self.policy, BUILT_IN_POLICIES)

    @cached_property
    def chosen_policy(self) -> Policy | None:
        """The policy in full, one object for the life of this one."""
        if self.policy is None:
            return None
        if self.policy_table is None:
            return built_in_policy(self.policy)
        return table_policy(self.policy, self.policy_table)


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Everything that decides the weights of a run, apart from the machine.

    Attributes:
        network: One of `training.spec.architectures.NETWORKS`.
        base_channels: α; None for 3-fc.
        hidden_units: Width of 3-fc; None for the others.
        kernel_size: Kernel of ResNet18; None for the others.
        data: The images.
        augmentation: Random changes of training images.
        method: "beta-lasso" (Algorithm 1) or "sgd".
        lr: η at the start of the cosine schedule, > 0; it falls to 0 at the last step.
        l1_conv: λ of the layers that are, or correspond to, convolutions, >= 0.
        l1_fc: λ of the fully-connected head, >= 0.
        shrinkage: Total shrinkage of the two, which says λ in units of the run's length, its
            learning rate and its initial weights, as `training.spec.shrinkage` has it: both λ are
            set from it when the run begins, whatever they are. None: λ are what they are.
        max_threshold: With `shrinkage`, the most that βλ may be, in units of the initial weights,
            > 0: in a short run it and not the shrinkage sets λ. None: no such limit.
        beta: β >= 0; weights below βλ in absolute value are set to zero.
        momentum: Momentum of SGD, in [0, 1).
        weight_decay: L2 coefficient of SGD, >= 0.
        dropout: Probability of dropping an input of the last two fc layers, in [0, 1).
        epochs: Passes over the training images, >= 1.
        batch_size: Images per step, >= 2; a last incomplete batch is left out of an epoch.
        precision: Arithmetic of the matrix products; BatchNorm and the weights stay at float32
            ("fp64": everything in float64).
        seed: Seed of initialisation, order, augmentation and dropout.
        recipe: Name of the recipe that the rest started from.
    """

    network: str
    base_channels: int | None = None
    hidden_units: int | None = None
    kernel_size: int | None = None
    data: DataConfig = DataConfig()
    augmentation: Augmentation = Augmentation()
    method: Method = "beta-lasso"
    lr: float = 0.1
    l1_conv: float = 0.0
    l1_fc: float = 0.0
    shrinkage: tuple[float, float] | None = None
    max_threshold: float | None = None
    beta: float = 50.0
    momentum: float = 0.0
    weight_decay: float = 0.0
    dropout: float = 0.0
    epochs: int = 1
    batch_size: int = 512
    precision: Precision = "bf16"
    seed: int = 0
    recipe: str = "quick"

    def __post_init__(self) -> None:
        _check_choice("network", self.network, NETWORKS)
        _check_choice("method", self.method, get_args(Method))
        _check_choice("precision", self.precision, get_args(Precision))
        _check(not _is_number(self.lr) or self.lr > 0, "{lr} must be > 0, not {}", self.lr)
        for name in ("momentum", "dropout"):
            value = getattr(self, name)
            rule = f"{{{name}}} must lie in [0, 1), not {{}}"
            _check(not _is_number(value) or 0 <= value < 1, rule, shown(value))
        for name in ("lr", "l1_conv", "l1_fc", "beta", "weight_decay", "momentum", "dropout"):
            _check_number(name, getattr(self, name), 0)
        for name in ("base_channels", "hidden_units", "kernel_size"):
            if (value := getattr(self, name)) is not None:
                _check_integer(name, value, 1, MAX_UNITS)
        _check_integer("seed", self.seed, 0, MAX_SEED)
        _check_integer("epochs", self.epochs, 1, MAX_UNITS)
        _check_integer("batch_size", self.batch_size, 2)
        check_text("recipe", self.recipe)
        if self.shrinkage is not None:
            object.__setattr__(self, "shrinkage", _check_shrinkage(self.shrinkage))
        if self.max_threshold is not None:
            _check(self.shrinkage is not None, "{max_threshold} goes with {shrinkage}")
            _check_number("max_threshold", self.max_threshold, 0)
            _check(self.max_threshold > 0, "{max_threshold} must be > 0, not {}", 0)
        if self.method == "beta-lasso":
            _check(
                self.momentum == 0 and self.weight_decay == 0,
                "{momentum} and {weight_decay} belong to sgd; "
                "beta-lasso takes {l1_conv}, {l1_fc} and {beta}",
            )
        else:
            _check(
                self.l1_conv == 0 and self.l1_fc == 0 and self.shrinkage is None,
                "{l1_conv}, {l1_fc} and {shrinkage} belong to beta-lasso; "
                "sgd takes {momentum} and {weight_decay}",
            )

    @property
    def has_threshold(self) -> bool:
        """Whether some weights are set to zero after a step: βλ > 0."""
        return self.beta > 0 and max(self.l1_conv, self.l1_fc, *(self.shrinkage or ())) > 0

    def network_spec(self, *, image_size: int, num_classes: int, in_channels: int) -> NetworkSpec:
        """The network of this configuration for images of the given shape."""
        return NetworkSpec(
            name=self.network,
            image_size=image_size,
            num_classes=num_classes,
            in_channels=in_channels,
            base_channels=self.base_channels,
            hidden_units=self.hidden_units,
            kernel_size=self.kernel_size,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain nested dicts of primitives, as config.json and checkpoints hold them."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "TrainConfig":
        """The inverse of `to_dict`.

        Raises:
            ValueError: An unknown or missing setting, or a value outside its range.
        """
        rest = dict(values)
        try:
            data = _from_fields(DataConfig, rest.pop("data"), "data")
            augmentation = _from_fields(Augmentation, rest.pop("augmentation"), "augmentation")
            rest |= {"data": data, "augmentation": augmentation}
            config: TrainConfig = _from_fields(cls, rest, "configuration")
            return config
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"not a training configuration: {error}") from error


def _from_fields(kind: type, values: object, name: str) -> Any:
    """A configuration from its fields; those that are not given get their defaults."""
    if not isinstance(values, dict):
        raise ValueError(f"{name} must be a dict, not {shown(values)}")
    known = {part.name for part in fields(kind)}
    for key in values:
        if key not in known:
            raise ValueError(f"{name} has {shown(key)}, which this version of mdl does not know")
    return kind(**values)


@dataclass(frozen=True, kw_only=True)
class SaveInterval:
    """How much training may lie between two checkpoints.

    Attributes:
        count: Number of units, >= 1.
        unit: What is counted; "seconds" are those of the clock, evaluation and all.

    Raises:
        ValueError: A count below 1.
    """

    count: int = 1
    unit: SaveUnit = "epochs"

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError(f"the interval between checkpoints must be >= 1, not {self.count}")

    @classmethod
    def parse(cls, text: str) -> "SaveInterval":
        """Read "5" (epochs), "500steps", "90s", "10m" or "2h".

        Raises:
            ValueError: Any other text.

        >>> SaveInterval.parse("10m")
        SaveInterval(count=600, unit='seconds')
        """
        found = _INTERVAL.fullmatch(text.strip())
        if found is None or int(found[1]) == 0:
            raise ValueError(
                f"the interval between checkpoints must be epochs such as 5, steps such as "
                f"500steps, or a time such as 90s, 10m or 2h, not {text!r}"
            )
        count, unit = int(found[1]), found[2]
        if unit in _SECONDS:
            return cls(count=count * _SECONDS[unit], unit="seconds")
        return cls(count=count, unit="steps" if unit else "epochs")

    def __str__(self) -> str:
        """In words.

        >>> print(SaveInterval(), "/", SaveInterval(count=90, unit="seconds"))
        every epoch / every 90 seconds
        """
        return f"every {self.unit[:-1]}" if self.count == 1 else f"every {self.count} {self.unit}"
