"""An external network: counts and lengths read off its file, bounds from errors given."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from analysis.bounds.bounds import Bound, ErrorCount, bounds_of_length, check_delta, quoted_bound
from analysis.describe.description import Description
from analysis.describe.external_network import SUFFIXES, ExternalNetwork
from analysis.describe.validity import Finding, check_external_norms, check_given, is_certificate
from analysis.quantize.formats import NumberFormat
from analysis.quantize.stream_counts import count_sources
from training.errors import CheckpointError
from training.run.progress import OnCount


@dataclass(frozen=True, kw_only=True)
class ExternalReport(Description):
    """Everything known about an external network.

    Attributes:
        network: Its tensors, and where they are.
        num_rounded: Numbers of the file that are not in R_b.
        delta: δ of each bound by itself.
        train: Errors that the network's owner counted on the training samples, of the decoded
            network; None if only the lengths were asked for.
        test: The same on a test set, or None.
        bounds: By the name of the description that they rest on; {} without errors.
        findings: What a reader must know before believing the bounds.
    """

    network: ExternalNetwork
    num_rounded: int
    delta: float
    train: ErrorCount | None
    test: ErrorCount | None
    bounds: dict[str, tuple[Bound, ...]]
    findings: tuple[Finding, ...]

    @property
    def is_valid(self) -> bool:
        """Whether a bound may be quoted."""
        return self.train is not None and is_certificate(self.findings)

    @property
    def bound(self) -> Bound | None:
        """The one bound to quote if it is valid; None without errors."""
        if self.train is None:
            return None
        return quoted_bound(self.lengths, self.bounds, self.train, self.delta)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON. Errors and bounds are fractions, lengths are bits."""
        network, train, bound = self.network, self.train, self.bound
        described = super().to_dict()
        del described["twins"]
        return described | {
            "checkpoint": str(network.path),
            "key": network.key or None,
            "num_rounded": self.num_rounded,
            "fixed": list(network.fixed),
            "folded": [norm.name for norm in network.norms],
            "delta": self.delta,
            "errors": None if train is None else "given",
            "num_samples": None if train is None else train.num_samples,
            "num_errors": None if train is None else train.num_errors,
            "train": None if train is None else train.to_dict(),
            "test": None if self.test is None else self.test.to_dict(),
            "bounds": {
                name: {bound.name: bound.to_dict() for bound in bounds}
                for name, bounds in self.bounds.items()
            },
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
    train: ErrorCount | None = None,
    test: ErrorCount | None = None,
    on_progress: OnCount | None = None,
) -> ExternalReport:
    """Count a network's numbers in one pass over its file, and bound its error from errors given.

    Args:
        network: Its tensors.
        number_format: R_b.
        delta: δ in (0, 1), of each bound by itself.
        train: Errors of the decoded network on the m i.i.d. training samples, as its owner counted
            them; None for the lengths alone.
        test: The same on a test set, or None.
        on_progress: Called with bytes done and bytes in all, from any thread.

    Raises:
        CheckpointError: A tensor holds a number that is not finite, or the file cannot be read.
        ValueError: δ is outside (0, 1).
    """
    check_delta(delta)
    try:
        found = count_sources(network.sources, number_format, on_progress=on_progress)
    except ValueError as error:
        raise CheckpointError(f"{network.path}: {error}; use an earlier one") from error
    described = Description(spec=None, number_format=number_format, counts=found.counts)
    num_rounded = _count_rounded(found.rounded, network, number_format)
    bounds, findings = {}, tuple(check_external_norms(network))
    if train is not None:
        n = found.counts.total.num_weights
        bounds = {
            name: bounds_of_length(length, train, n, delta)
            for name, length in described.lengths.items()
        }
        findings = check_given(
            network, format_name=number_format.name, num_rounded=num_rounded, train=train, test=test
        )
    return ExternalReport(
        spec=None,
        network=network,
        number_format=number_format,
        counts=found.counts,
        num_rounded=num_rounded,
        delta=delta,
        train=train,
        test=test,
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
