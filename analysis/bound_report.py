"""What a checkpoint's bound is made of: the quantised network, its counts, lengths, errors, bounds.

The order matters: fold BatchNorm, round every tensor into R_b, and only then count, both weights
and errors. What is described is what is evaluated.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from analysis.bounds import Bound, binomial_tail, compare_bounds, hold_out, theorem_2
from analysis.description import describe_network
from analysis.encoding import DescriptionLength, index_bits
from analysis.nonzeros import NetworkCounts, twin_weight_counts
from analysis.quantize import NumberFormat
from training.architectures import NetworkSpec
from training.checkpoint import Checkpoint
from training.errors import CheckpointError
from training.evaluate import EvaluationData, count_errors
from training.image_set import ImageSet
from training.models import Network, network_from_state


@dataclass(frozen=True, kw_only=True)
class ErrorCount:
    """Errors of one network on one set of images.

    Attributes:
        num_errors: Images whose largest logit is not at their label.
        num_samples: Images.
    """

    num_errors: int
    num_samples: int

    @property
    def error(self) -> float:
        """The fraction of errors."""
        return self.num_errors / self.num_samples

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "num_errors": self.num_errors,
            "num_samples": self.num_samples,
            "error": self.error,
        }


@dataclass(frozen=True, kw_only=True)
class BoundReport:
    """Everything behind the bounds of one checkpoint.

    Attributes:
        spec: The network.
        number_format: R_b.
        counts: Of the folded and quantised network's tensors.
        twins: Weights by layer of the conv and local twins; {} without twins.
        lengths: Of the descriptions, by name.
        delta: δ of each bound by itself.
        train: Of the quantised network on the m training images.
        validation: The same on held-out images, or None.
        test: The same on test images, or None.
        train_before: Training errors before folding and rounding, as the checkpoint says; or None.
        bounds: By the name of the description that they rest on.
        hold_out: The bound from the validation images alone, if they chose nothing; or None.
        notes: What a reader must know before believing the bounds.
    """

    spec: NetworkSpec
    number_format: NumberFormat
    counts: NetworkCounts
    twins: dict[str, dict[str, int]]
    lengths: dict[str, DescriptionLength]
    delta: float
    train: ErrorCount
    validation: ErrorCount | None
    test: ErrorCount | None
    train_before: ErrorCount | None
    bounds: dict[str, tuple[Bound, ...]]
    hold_out: Bound | None
    notes: tuple[str, ...]

    @property
    def num_samples(self) -> int:
        """m, the images that training saw and the bounds rest on."""
        return self.train.num_samples

    @property
    def shortest(self) -> DescriptionLength:
        """The description of fewest whole bits."""
        return min(self.lengths.values(), key=lambda length: length.whole_bits)

    @property
    def description_bits(self) -> int:
        """B of the shortest description, with the bits that say which of them it is."""
        return self.shortest.whole_bits + index_bits(len(self.lengths))

    @property
    def bound(self) -> Bound:
        """The one bound to quote: the binomial tail at `description_bits`."""
        value = binomial_tail(
            self.train.num_errors, self.num_samples, self.description_bits, self.delta
        )
        like = self.bounds[self.shortest.name][-1]
        return replace(like, value=value)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON. Errors and bounds are fractions, lengths are bits."""
        number_format = self.number_format
        return {
            "network": asdict(self.spec),
            "format": number_format.name,
            "bits_per_weight": number_format.bits_per_weight,
            "num_weights": self.counts.total.num_weights,
            "num_nonzeros": self.counts.total.num_nonzeros,
            "num_distinct": self.counts.total.num_distinct,
            "counts": self.counts.to_dict(),
            "twins": self.twins or None,
            "lengths": {name: length.to_dict() for name, length in self.lengths.items()},
            "delta": self.delta,
            "num_samples": self.num_samples,
            "num_errors": self.train.num_errors,
            "train": self.train.to_dict(),
            "validation": _optional_dict(self.validation),
            "test": _optional_dict(self.test),
            "train_before_quantisation": _optional_dict(self.train_before),
            "guessing_error": 1 - 1 / self.spec.num_classes,
            "bounds": {
                name: {bound.name: bound.to_dict() for bound in bounds}
                for name, bounds in self.bounds.items()
            },
            "hold_out": _optional_dict(self.hold_out),
            "description": self.shortest.name,
            "description_bits": self.description_bits,
            "bound": self.bound.value,
            "vacuous": self.bound.is_vacuous,
            "notes": list(self.notes),
        }


def report_bound(
    checkpoint: Checkpoint,
    data: EvaluationData,
    number_format: NumberFormat,
    *,
    delta: float = 0.05,
    device: torch.device | str = "cpu",
) -> BoundReport:
    """Bound the true error of a checkpoint's network, folded and rounded to b bits a number.

    Args:
        checkpoint: The network.
        data: Its images; errors are counted on exactly `data.train`, in eval mode, unaugmented.
        number_format: R_b.
        delta: δ in (0, 1), of each bound by itself.
        device: Where the errors are counted.

    Raises:
        CheckpointError: The number of training images is not the one the checkpoint states.
        ValueError: δ is outside (0, 1), or the network holds a value that is not finite.
    """
    if not 0 < delta < 1:
        raise ValueError(f"delta must lie in (0, 1), not {delta}")
    if checkpoint.data is not None and checkpoint.data.num_samples != len(data.train):
        raise CheckpointError(
            f"the checkpoint says that training saw {checkpoint.data.num_samples} images, but its "
            f"data set has {len(data.train)} left for it; its errors cannot be counted"
        )
    stored = network_from_state(checkpoint.network, checkpoint.state)  # shares its memory
    described = describe_network(stored, number_format)
    network = described.network.to(device)
    count = _counter(network, data, device)
    train = count(data.train)
    if train is None:
        raise CheckpointError("the checkpoint's data set has no training images to count errors on")
    validation = count(data.validation)
    return BoundReport(
        spec=checkpoint.network,
        number_format=number_format,
        counts=described.counts,
        twins=twin_weight_counts(checkpoint.network),
        lengths=described.lengths,
        delta=delta,
        train=train,
        validation=validation,
        test=count(data.test),
        train_before=_recorded_errors(checkpoint, train.num_samples),
        bounds={
            name: _bounds_of(length, train, described.counts.total.num_weights, delta)
            for name, length in described.lengths.items()
        },
        hold_out=None if validation is None else _hold_out_bound(validation, delta),
        notes=_notes(checkpoint, data),
    )


def _counter(
    network: Network, data: EvaluationData, device: torch.device | str
) -> Callable[[ImageSet], ErrorCount | None]:
    def count(images: ImageSet) -> ErrorCount | None:
        if not len(images):
            return None
        errors = count_errors(
            network, images, data.normalization, permutation=data.permutation, device=device
        )
        return ErrorCount(num_errors=errors, num_samples=len(images))

    return count


def _bounds_of(
    length: DescriptionLength, train: ErrorCount, num_weights: int, delta: float
) -> tuple[Bound, ...]:
    """All bounds from the whole-bit length; Theorem 2 with its own terms where there is a map."""
    errors, samples = train.num_errors, train.num_samples
    bounds = compare_bounds(errors, samples, length.whole_bits, delta)
    if not length.has_map:
        return bounds
    values = next(term for term in length.terms if term.name == "values")
    second = Bound(
        name="theorem_2",
        title="Theorem 2, as printed",
        formula="e/m + sqrt((k b + |d(g)| + ln(2n/δ)) / 2m)",
        value=theorem_2(
            errors, samples, delta,
            value_bits=values.bits, map_bits=length.map_bits, num_weights=num_weights,
        ),
    )  # fmt: skip
    return (bounds[0], second, *bounds[1:])


def _hold_out_bound(validation: ErrorCount, delta: float) -> Bound:
    return Bound(
        name="hold_out",
        title="hold-out, if these images chose nothing",
        formula="sup{p : P[Bin(m',p) <= e'] >= δ} on the m' validation images",
        value=hold_out(validation.num_errors, validation.num_samples, 0, delta),
    )


def _recorded_errors(checkpoint: Checkpoint, num_samples: int) -> ErrorCount | None:
    errors = checkpoint.metrics.get("train_errors")
    if not isinstance(errors, int) or checkpoint.metrics.get("num_samples") != num_samples:
        return None
    return ErrorCount(num_errors=errors, num_samples=num_samples)


def _notes(checkpoint: Checkpoint, data: EvaluationData) -> tuple[str, ...]:
    fixed = ["the network's table of layers", "the set R_b"]
    notes = []
    if data.normalization.source == "data":
        notes.append(
            "NOT STRICTLY VALID: the normalisation constants were computed from the training "
            "images and are not in the length. Train with --normalize fixed for a bound that holds."
        )
    else:
        fixed.append("the pixels' normalisation constants")
    if data.permutation is not None:
        fixed.append("the seed of the pixel permutation")
    notes.append(f"Taken as fixed before the data, so not in the length: {', '.join(fixed)}.")
    notes.append(
        "Errors were counted in float32, where rounding can turn an image whose two best logits "
        "are all but equal; other machines may count one or two more."
    )
    if checkpoint.training is not None:
        notes.append("This checkpoint is of an unfinished run; the bound is about it as it is.")
    return tuple(notes)


def _optional_dict(value: ErrorCount | Bound | None) -> dict[str, Any] | None:
    return None if value is None else value.to_dict()
