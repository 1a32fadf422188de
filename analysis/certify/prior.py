"""The prior of a certificate: its bits, what is known of how it came to be, and what it rests on.

A bound holds for every network at once whose description was fixed before the images that are
counted, so a prior must be fixed before them too. Three kinds of reasons are told apart:

- independent: it was trained on generated images, from a seed, and none of them is counted;
- split: it was trained on a part of the training images, and the others alone are counted;
- trusted: nothing is known of it but its bits, so its independence is somebody's word.
"""

import json
import math
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch

from analysis.bounds.bounds import ErrorCount, hold_out
from analysis.certify.images import (
    TRAINING,
    VALIDATION_ALONE,
    CertifiedData,
    CertifiedImages,
    load_images,
)
from analysis.codes.bit_file import is_bit_file, load_prior_bits
from analysis.codes.checkpoint_message import described_codeword
from analysis.codes.network_code import Codeword
from analysis.quantize.formats import NumberFormat
from training.checkpoint.checkpoint import Checkpoint, load_checkpoint
from training.errors import CheckpointError, DataError
from training.spec.config import GENERATED, DataConfig
from training.system.checks import MAX_SEED, check_keys, check_text, check_type, shown

Kind = Literal["independent", "split", "trusted"]
INDEPENDENT, SPLIT, TRUSTED = "independent", "split", "trusted"
NETWORK_FILE = "network.mdl"
_MAX_SETTINGS = 1 << 16
_ITSELF = 3
"""Bits of the prior itself in its language; no other network has so few."""
_OTHERS, _CHANGED = 2**-4, 7
"""Of a split prior: the weight that is left for all others, and what a changed network pays."""
_ASSUMPTIONS = {
    INDEPENDENT: "The prior was trained on generated images alone, as prior.origin says, and was "
    "not chosen by the images that are counted. mdl verify checks its bits and recomputes every "
    "number; it does not train the prior again.",
    SPLIT: "The prior was trained and chosen without the images that are counted, those that the "
    "seed of the split leaves out. mdl verify draws the split and counts again; it does not train "
    "the prior again.",
    TRUSTED: "That the prior was made without these images is the word of who made the "
    "certificate; nothing in it shows that.",
}


@dataclass(frozen=True, kw_only=True)
class Origin:
    """How a prior came to be, as the checkpoint of its training says.

    Attributes:
        data: Name of the data set it was trained on.
        fingerprint: Of its images.
        generated: Whether they were drawn from the seed.
        num_train: Training images, those that it did not see among them.
        seed: Of the images, or of the split.
        validation: Training images that it did not see, drawn by the seed.
        settings: Its training, plain values; may be empty.

    Raises:
        ValueError: A value of another type or outside its range.
    """

    data: str
    fingerprint: str
    generated: bool
    num_train: int
    seed: int
    validation: int
    settings: dict[str, Any]

    def __post_init__(self) -> None:
        for name in ("data", "fingerprint"):
            check_text(f"prior.origin.{name}", getattr(self, name))
        check_type("prior.origin.generated", self.generated, bool)
        for name in ("num_train", "seed", "validation"):
            value = getattr(self, name)
            check_type(f"prior.origin.{name}", value, int)
            if not 0 <= value <= MAX_SEED:
                raise ValueError(f"prior.origin.{name} must be >= 0, not {shown(value)}")
        check_type("prior.origin.settings", self.settings, dict)
        if len(json.dumps(self.settings, allow_nan=False)) > _MAX_SETTINGS:
            raise ValueError(f"prior.origin.settings must take at most {_MAX_SETTINGS} characters")
        if self.generated and self.data not in GENERATED:
            raise ValueError(
                f"prior.origin.data must be one of {', '.join(GENERATED)} where it is generated, "
                f"not {shown(self.data)}"
            )

    @classmethod
    def of(cls, checkpoint: Checkpoint) -> "Origin | None":
        """What a checkpoint says; None if it does not name its data."""
        if checkpoint.data is None:
            return None
        config = checkpoint.data.config
        generated = config["source"] in GENERATED
        trained = {name: value for name, value in checkpoint.config.items() if name != "data"}
        made = checkpoint.metrics.get("compress")
        settings = made if isinstance(made, dict) else trained
        return cls(
            data=config["source"] if generated else checkpoint.data.name,
            fingerprint=checkpoint.data.fingerprint,
            generated=generated,
            num_train=checkpoint.data.num_samples + checkpoint.data.num_validation,
            seed=config["seed"],
            validation=config["validation"],
            settings=json.loads(json.dumps(settings)),  # tuples become lists, as a file has them
        )

    @classmethod
    def from_dict(cls, values: object) -> "Origin":
        """The inverse of `vars`.

        Raises:
            ValueError: A field that is unknown, missing or not as it must be.
        """
        if not isinstance(values, dict):
            raise ValueError(f"prior.origin must be of type dict, not {type(values).__name__}")
        check_keys("prior.origin", values, set(cls.__dataclass_fields__))
        return cls(**values)


@dataclass(frozen=True, kw_only=True, eq=False)
class Prior:
    """A prior.

    Attributes:
        codeword: Its own bits, decoded.
        origin: How it came to be; None if nothing says so.
        split: What its images were loaded by, if it held some out.
    """

    codeword: Codeword
    origin: Origin | None = None
    split: DataConfig | None = None


@dataclass(frozen=True, kw_only=True)
class PriorStatement:
    """What a certificate says of its prior.

    Attributes:
        kind: "independent", "split" or "trusted".
        sha256: Hash of its bits.
        description_bits: How many they are.
        origin: How it came to be; None of a trusted one.
        errors: Its own errors on the counted images, of a split prior alone.
    """

    kind: Kind
    sha256: str
    description_bits: int
    origin: Origin | None
    errors: ErrorCount | None = None

    @property
    def assumption(self) -> str:
        """What the bound takes for true, and what a check shows of it."""
        return _ASSUMPTIONS[self.kind]

    def counted_bits(self, description_bits: int) -> float:
        """What bits that are relative to it count as in a bound."""
        return split_bits(description_bits) if self.kind == SPLIT else description_bits

    def hold_out_bound(self, delta: float) -> float | None:
        """The bound of a split prior itself on the images that it has not seen: no bits."""
        if self.errors is None:
            return None
        return hold_out(self.errors.num_errors, self.errors.num_samples, 0, delta)

    def to_dict(
        self, description_bits: int, bound_with_bits: float, delta: float
    ) -> dict[str, Any]:
        """Plain values, for JSON, of B bits that are relative to it."""
        found: dict[str, Any] = {
            "kind": self.kind,
            "sha256": self.sha256,
            "description_bits": self.description_bits,
            "origin": None if self.origin is None else dict(vars(self.origin)),
            "assumption": self.assumption,
            "bound_with_its_bits": bound_with_bits,
        }
        if self.errors is not None:
            found |= {
                "num_errors": self.errors.num_errors,
                "num_samples": self.errors.num_samples,
                "counted_bits": self.counted_bits(description_bits),
                "hold_out_bound": self.hold_out_bound(delta),
            }
        return found


def split_bits(description_bits: int) -> float:
    """What a bound counts for B bits that are relative to a split prior: -log2 of a weight.

    The prior itself is the network that training chose, and most often none beside it pays for its
    bits. So it has the weight 1 - 2^-4, a network that differs from it has 2^-(B + 7), and one that
    is described without it has 2^-B. Those that differ have at most 2^-8 in all, since their
    codewords begin with 0. Those without the prior have at most 2^-5, since theirs begin with 1 and
    spend at least 4 bits on the number of classes, which the labels fix. The sum is below 1.

    >>> round(split_bits(3), 3), split_bits(500)
    (0.093, 507)
    """
    if description_bits <= _ITSELF:
        return -math.log2(1 - _OTHERS)
    return description_bits + _CHANGED


def load_prior(path: Path | str, number_format: NumberFormat) -> Prior:
    """Read a prior, trusting nothing in its files.

    Args:
        path: What `mdl compress` wrote: its bits and its checkpoint. Or a checkpoint, or a run
            folder, which is put in bits. Or a file of bits, of which nothing else is known.
        number_format: R_b of a checkpoint's bits.

    Raises:
        CheckpointError: A file cannot be used, or bits and checkpoint are of two networks.
        ValueError: The checkpoint holds a value that is not finite.
    """
    place = Path(path)
    if not place.is_dir() and is_bit_file(place):
        return Prior(codeword=load_prior_bits(place))
    checkpoint = load_checkpoint(place)
    bits = place / NETWORK_FILE
    if place.is_dir() and bits.exists():
        codeword = load_prior_bits(bits)
        message = codeword.message
        same = message.spec == checkpoint.network and set(message.state) == set(checkpoint.state)
        if not same or not all(
            torch.equal(tensor, checkpoint.state[name]) for name, tensor in message.state.items()
        ):
            raise CheckpointError(
                f"{place}: its bits and its checkpoint are not of one network; give a folder that "
                "mdl compress wrote, or the file of bits alone"
            )
    else:
        codeword = described_codeword(checkpoint, number_format)
    config = None if checkpoint.data is None else checkpoint.data.config
    split = DataConfig(**config) if config is not None and config["validation"] else None
    return Prior(codeword=codeword, origin=Origin.of(checkpoint), split=split)


def load_samples(
    prior: Prior | None, config: DataConfig, samples: str = TRAINING
) -> tuple[CertifiedData, CertifiedImages]:
    """The images to count on: those that a split prior left out, else those that are asked for.

    Args:
        prior: The prior, if there is one.
        config: The data set as it lies here.
        samples: Which images are asked for, as `CertifiedData` has it.

    Raises:
        DataError: They cannot be loaded.
    """
    if prior is not None and prior.origin is not None and prior.split is not None:
        own = replace(prior.split, source=config.source)
        with suppress(DataError, ValueError):  # so it is another data set, which is loaded below
            data, images = load_images(own, samples=VALIDATION_ALONE)
            if data.fingerprint == prior.origin.fingerprint:
                return data, images
    return load_images(config, samples=samples)


def kind_of(origin: Origin | None, data: CertifiedData) -> Kind:
    """Which kind a prior is, of a certificate about these images.

    One that began at a prior of its own is trusted: nothing says what that one has seen.

    Raises:
        DataError: It has seen images that are counted, or may have.
    """
    if origin is None:
        return "trusted"
    kind = _kind_by_images(origin, data)
    return "trusted" if origin.settings.get("prior_sha256") else kind


def _kind_by_images(origin: Origin, data: CertifiedData) -> Kind:
    """The same by the images alone that it was trained on last."""
    if origin.fingerprint == data.fingerprint:
        if not origin.validation:
            raise DataError(
                f"the prior was trained on all of the images that are counted ({data.title}); "
                "train it with some of them left out (validation), or on other images"
            )
        if (data.samples, data.validation, data.seed) != (
            VALIDATION_ALONE,
            origin.validation,
            origin.seed,
        ):
            raise DataError(
                "the images that are counted are not those that the prior left out; give "
                "validation and seed of the prior's training"
            )
        return "split"
    if origin.generated and (data.name, data.seed) != (origin.data, origin.seed):
        return "independent"
    if origin.generated or origin.data == data.name:
        raise DataError(
            f"the prior was trained on images of {origin.data}, and some of those that are counted "
            "may be among them; choose these as in training (num_train, seed), train the prior "
            "with some left out (validation), or give its file of bits alone if you state that it "
            "is independent"
        )
    return "trusted"


def make_statement(prior: Prior, data: CertifiedData, errors: ErrorCount | None) -> PriorStatement:
    """What a certificate about these images says of its prior.

    Args:
        prior: It.
        data: The images.
        errors: Its own errors on the counted images.

    Raises:
        DataError: As `kind_of`.
    """
    kind = kind_of(prior.origin, data)
    return PriorStatement(
        kind=kind,
        sha256=prior.codeword.sha256,
        description_bits=prior.codeword.num_bits,
        origin=None if kind == TRUSTED else prior.origin,
        errors=errors if kind == SPLIT else None,
    )
