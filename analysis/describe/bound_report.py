"""What a network's bound is made of: its bits, counts, lengths, errors and bounds.

The order matters: fold BatchNorm, round every tensor into R_b, make it shorter, encode it, decode
the bits, and only then count, both weights and errors. What is described is what is evaluated.
"""

from dataclasses import dataclass
from typing import Any

import torch

from analysis.bounds.bounds import (
    Bound,
    ErrorCount,
    bounds_of_length,
    check_delta,
    compare_bounds,
    hold_out,
)
from analysis.certify.errors import count_sets
from analysis.codes.checkpoint_message import described_codeword
from analysis.codes.network_code import Codeword
from analysis.describe.description import Description
from analysis.describe.validity import Finding, check_checkpoint, check_measured
from analysis.quantize.formats import NumberFormat
from analysis.quantize.nonzeros import count_tensors
from training.checkpoint.checkpoint import Checkpoint
from training.errors import CheckpointError
from training.run.evaluate import EvaluationData
from training.spec.architectures import NetworkSpec

BITS = "bits"
"""The description that is written and decoded, among the lengths that are formulas."""


@dataclass(frozen=True, kw_only=True)
class BoundReport(Description):
    """Everything behind the bounds of one network, which is the one that the decoder gives.

    Attributes:
        spec: The network.
        codeword: The description in bits.
        delta: δ of each bound by itself.
        train: Of the decoded network on the m training images.
        validation: The same on held-out images, or None.
        test: The same on test images, or None.
        train_before: Training errors before folding and rounding, as the checkpoint says; or None.
        bounds: By the name of the description that they rest on, `BITS` first.
        hold_out: The bound from the validation images alone, if they chose nothing; or None.
        findings: What a reader must know before believing the bounds.
    """

    spec: NetworkSpec
    codeword: Codeword
    delta: float
    train: ErrorCount
    validation: ErrorCount | None
    test: ErrorCount | None
    train_before: ErrorCount | None
    bounds: dict[str, tuple[Bound, ...]]
    hold_out: Bound | None
    findings: tuple[Finding, ...]

    @property
    def notes(self) -> tuple[str, ...]:
        """The findings as sentences."""
        return tuple(finding.text for finding in self.findings)

    @property
    def num_samples(self) -> int:
        """m, the images that training saw and the bounds rest on."""
        return self.train.num_samples

    @property
    def description_bits(self) -> int:
        """B: bits that the decoder consumed."""
        return self.codeword.num_bits

    @property
    def bound(self) -> Bound:
        """The one bound to quote: the binomial tail at `description_bits`."""
        return self.bounds[BITS][-1]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON. Errors and bounds are fractions, lengths are bits."""
        described = super().to_dict()
        del described["description"]
        return described | {
            "code": self.codeword.code,
            "description_bits": self.description_bits,
            "ledger": [entry.to_dict() for entry in self.codeword.ledger.entries],
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
            "bound": self.bound.value,
            "vacuous": self.bound.is_vacuous,
            "notes": list(self.notes),
            "findings": [finding.to_dict() for finding in self.findings],
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
        data: Its images; errors are counted on exactly `data.train`, unaugmented.
        number_format: R_b.
        delta: δ in (0, 1), of each bound by itself.
        device: Where the errors are counted.

    Raises:
        CheckpointError: The number of training images is not the one the checkpoint states.
        ValueError: δ is outside (0, 1), or the network holds a value that is not finite.
    """
    check_delta(delta)
    if checkpoint.data is not None and checkpoint.data.num_samples != len(data.train):
        raise CheckpointError(
            f"the checkpoint says that training saw {checkpoint.data.num_samples} images, but its "
            f"data set has {len(data.train)} left for it; its errors cannot be counted"
        )
    codeword = described_codeword(checkpoint, number_format)
    return report_codeword(codeword, data, delta=delta, device=device, trained=checkpoint)


def report_codeword(
    codeword: Codeword,
    data: EvaluationData,
    *,
    delta: float = 0.05,
    device: torch.device | str = "cpu",
    trained: Checkpoint | None = None,
) -> BoundReport:
    """Bound the true error of the network that a codeword stands for.

    What the images are put through is what the codeword says: of `data`, only the images count.

    Args:
        codeword: As the decoder gave it.
        data: The images; errors are counted on exactly `data.train`, unaugmented.
        delta: δ in (0, 1), of each bound by itself.
        device: Where the errors are counted.
        trained: The checkpoint that the bits come from, if they do.

    Raises:
        CheckpointError: There are no training images.
        ValueError: δ is outside (0, 1), or the network's code is not ours.
    """
    check_delta(delta)
    message = codeword.message
    sets = (data.train, data.validation, data.test)
    train, validation, test = count_sets(message, sets, device=device)
    if train is None:
        raise CheckpointError("the data set has no training images to count errors on")
    described = Description(
        spec=message.network,
        number_format=message.number_format,
        counts=count_tensors(message.state, message.number_format),
    )
    e, m, n = train.num_errors, train.num_samples, described.counts.total.num_weights
    bounds: dict[str, tuple[Bound, ...]] = {BITS: compare_bounds(e, m, codeword.num_bits, delta)}
    bounds |= {
        name: bounds_of_length(length, train, n, delta)
        for name, length in described.lengths.items()
    }
    return BoundReport(
        spec=message.network,
        number_format=message.number_format,
        codeword=codeword,
        counts=described.counts,
        delta=delta,
        train=train,
        validation=validation,
        test=test,
        train_before=None if trained is None else _recorded_errors(trained, m),
        bounds=bounds,
        hold_out=None if validation is None else _hold_out_bound(validation, delta),
        findings=(*(() if trained is None else check_checkpoint(trained)), *check_measured(data)),
    )


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


def _optional_dict(value: ErrorCount | Bound | None) -> dict[str, Any] | None:
    return None if value is None else value.to_dict()
