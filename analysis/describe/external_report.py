"""An external network: counts and lengths read off its file, bounds from errors given."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from analysis.bounds.bounds import (
    Bound,
    bounds_of_length,
    quoted_bits,
    quoted_bound,
    shortest_length,
)
from analysis.bounds.lengths import DescriptionLength
from analysis.bounds.tails import check_counts
from analysis.describe.description import measure_lengths
from analysis.describe.external_network import SUFFIXES, ExternalNetwork
from analysis.describe.validity import Finding, check_external_norms, check_given, is_certificate
from analysis.quantize.formats import NumberFormat
from analysis.quantize.nonzeros import NetworkCounts
from analysis.quantize.stream_counts import count_sources
from training.errors import CheckpointError
from training.run.progress import OnCount


@dataclass(frozen=True, kw_only=True)
class GivenErrors:
    """Errors that the network's owner counted.

    Attributes:
        num_errors: e, on the training samples, of the decoded network.
        num_samples: m, i.i.d. training samples.
        num_test_errors: On a test set, or None.
        num_test_samples: Of it, or None.

    Raises:
        ValueError: Counts that cannot be, or a test set of which only one is given.
    """

    num_errors: int
    num_samples: int
    num_test_errors: int | None = None
    num_test_samples: int | None = None

    def __post_init__(self) -> None:
        check_counts(self.num_errors, self.num_samples)
        if self.test is not None:
            check_counts(*self.test)

    @property
    def test(self) -> tuple[int, int] | None:
        """Errors and samples of the test set, if given."""
        errors, samples = self.num_test_errors, self.num_test_samples
        if errors is None and samples is None:
            return None
        if errors is None or samples is None:
            raise ValueError("num_test_errors and num_test_samples must be given together")
        return errors, samples

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "train": _part(self.num_errors, self.num_samples),
            "test": None if self.test is None else _part(*self.test),
        }


@dataclass(frozen=True, kw_only=True)
class ExternalReport:
    """Everything known about an external network.

    Attributes:
        network: Its tensors, and where they are.
        number_format: R_b.
        counts: Of every coded tensor, BatchNorm folded and rounded.
        lengths: Of the descriptions, by name.
        num_rounded: Numbers of the file that are not in R_b.
        delta: δ of each bound by itself.
        given: Errors, or None if only the lengths were asked for.
        bounds: By the name of the description that they rest on; {} without errors.
        findings: What a reader must know before believing the bounds.
    """

    network: ExternalNetwork
    number_format: NumberFormat
    counts: NetworkCounts
    lengths: dict[str, DescriptionLength]
    num_rounded: int
    delta: float
    given: GivenErrors | None
    bounds: dict[str, tuple[Bound, ...]]
    findings: tuple[Finding, ...]

    @property
    def is_valid(self) -> bool:
        """Whether a bound may be quoted."""
        return self.given is not None and is_certificate(self.findings)

    @property
    def shortest(self) -> DescriptionLength:
        """The description of fewest whole bits."""
        return shortest_length(self.lengths)

    @property
    def description_bits(self) -> int:
        """B of the shortest description, with the bits that say which of them it is."""
        return quoted_bits(self.lengths)

    @property
    def bound(self) -> Bound | None:
        """The one bound to quote if it is valid; None without errors."""
        if self.given is None:
            return None
        errors, samples = self.given.num_errors, self.given.num_samples
        return quoted_bound(self.lengths, self.bounds, errors, samples, self.delta)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON. Errors and bounds are fractions, lengths are bits."""
        network, bound, total = self.network, self.bound, self.counts.total
        return {
            "checkpoint": str(network.path),
            "key": network.key or None,
            "network": None,
            "format": self.number_format.name,
            "bits_per_weight": self.number_format.bits_per_weight,
            "num_weights": total.num_weights,
            "num_nonzeros": total.num_nonzeros,
            "num_distinct": total.num_distinct,
            "num_rounded": self.num_rounded,
            "counts": self.counts.to_dict(),
            "lengths": {name: length.to_dict() for name, length in self.lengths.items()},
            "fixed": list(network.fixed),
            "folded": [norm.name for norm in network.norms],
            "delta": self.delta,
            "errors": None if self.given is None else "given",
            "num_samples": None if self.given is None else self.given.num_samples,
            "num_errors": None if self.given is None else self.given.num_errors,
            **({"train": None, "test": None} if self.given is None else self.given.to_dict()),
            "bounds": {
                name: {bound.name: bound.to_dict() for bound in bounds}
                for name, bounds in self.bounds.items()
            },
            "description": self.shortest.name,
            "description_bits": self.description_bits,
            "bound": bound.value if bound is not None and self.is_valid else None,
            "vacuous": None if bound is None else bound.is_vacuous,
            "valid": self.is_valid,
            "notes": [finding.text for finding in self.findings],
            "findings": [finding.to_dict() for finding in self.findings],
        }


def report_external(
    network: ExternalNetwork,
    number_format: NumberFormat,
    *,
    delta: float = 0.05,
    given: GivenErrors | None = None,
    on_progress: OnCount | None = None,
) -> ExternalReport:
    """Count a network's numbers in one pass over its file, and bound its error from errors given.

    Args:
        network: Its tensors.
        number_format: R_b.
        delta: δ in (0, 1), of each bound by itself.
        given: Errors of the decoded network; None for the lengths alone.
        on_progress: Called with bytes done and bytes in all, from any thread.

    Raises:
        CheckpointError: A tensor holds a number that is not finite, or the file cannot be read.
        ValueError: δ is outside (0, 1).
    """
    if not 0 < delta < 1:
        raise ValueError(f"delta must lie in (0, 1), not {delta}")
    try:
        found = count_sources(network.sources, number_format, on_progress=on_progress)
    except ValueError as error:
        raise CheckpointError(f"{network.path}: {error}; use an earlier one") from error
    lengths = measure_lengths(found.counts, number_format)
    num_rounded = _count_rounded(found.rounded, network, number_format)
    bounds, findings = {}, tuple(check_external_norms(network))
    if given is not None:
        errors, samples, n = given.num_errors, given.num_samples, found.counts.total.num_weights
        bounds = {
            name: bounds_of_length(length, errors, samples, n, delta)
            for name, length in lengths.items()
        }
        findings = check_given(
            network,
            format_name=number_format.name,
            num_rounded=num_rounded,
            num_errors=errors,
            num_samples=samples,
            test=given.test,
        )
    return ExternalReport(
        network=network,
        number_format=number_format,
        counts=found.counts,
        lengths=lengths,
        num_rounded=num_rounded,
        delta=delta,
        given=given,
        bounds=bounds,
        findings=findings,
    )


def _count_rounded(
    rounded: Mapping[str, int], network: ExternalNetwork, number_format: NumberFormat
) -> int:
    """Numbers that set the file's network apart from the one that is described.

    Statistics that a decoded BatchNorm was written as come back to its scale and shift but for
    their last bits, which rounding removes. At 32 bits, folding itself rounds.
    """
    found = sum(
        count
        for name, count in rounded.items()
        if not name.endswith(tuple(f".{each}" for each in SUFFIXES[False]))
    )
    if number_format.bits_per_weight == 32:
        found += sum(norm.num_units for norm in network.norms if not norm.is_plain)
    return found


def _part(num_errors: int, num_samples: int) -> dict[str, Any]:
    return {"num_errors": num_errors, "num_samples": num_samples, "error": num_errors / num_samples}
