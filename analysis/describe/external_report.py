"""An external network: counts and lengths read off its file, bounds from errors given."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from analysis.bounds.bounds import Bound, ErrorCount, bounds_of_length, check_delta, quoted_bound
from analysis.codes.message import join_counts
from analysis.describe.description import Description
from analysis.describe.external_network import TIE, ExternalNetwork
from analysis.describe.folded_norms import COUNTER, SUFFIXES, prefix_of
from analysis.describe.integer_source import IntegerTensor, find_packed
from analysis.describe.reparametrized import CODED
from analysis.describe.validity import Finding, check_external, check_given, is_certificate
from analysis.quantize.formats import NumberFormat, find_format
from analysis.quantize.integers import tensor_counts, total_counts
from analysis.quantize.nonzeros import NetworkCounts, TensorCounts, count_tensors
from analysis.quantize.stream_counts import count_sources
from training.errors import CheckpointError
from training.run.progress import OnCount
from training.tensor_files.open import TensorFile


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
            "checkpoint": str(network.file.path),
            "key": network.file.key or None,
            "num_rounded": self.num_rounded,
            "beside": list(network.file.beside),
            "integers": {name: form.name for name, form in network.integer_formats.items()},
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
    counts, parts, rounded = count_external(network, number_format, on_progress=on_progress)
    described = Description(spec=None, number_format=number_format, counts=counts, parts=parts)
    num_rounded = _count_rounded(rounded, network, number_format)
    bounds, findings = {}, tuple(check_external(network))
    if train is not None:
        n = counts.total.num_weights
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
        counts=counts,
        parts=parts,
        num_rounded=num_rounded,
        delta=delta,
        train=train,
        test=test,
        bounds=bounds,
        findings=findings,
    )


def count_external(
    network: ExternalNetwork, number_format: NumberFormat, *, on_progress: OnCount | None = None
) -> tuple[NetworkCounts, tuple[tuple[int, NetworkCounts], ...], dict[str, int]]:
    """Count what is coded, in one pass over the file.

    Args:
        network: Its tensors.
        number_format: R_b.
        on_progress: Called with bytes done and bytes in all, from any thread.

    Returns:
        The counts of all tensors; where there are integers, b and the counts of each set of
        numbers; and the numbers by tensor that rounding changed.

    Raises:
        CheckpointError: A tensor holds a number that is not finite, or the file cannot be read.
    """
    parts: list[tuple[int, NetworkCounts]] = []
    rounded: dict[str, int] = {}
    if network.numbers:
        try:
            found = count_sources(network.numbers, number_format, on_progress=on_progress)
        except ValueError as error:
            raise CheckpointError(f"{network.file.path}: {error}; use an earlier one") from error
        parts.append((number_format.bits_per_weight, found.counts))
        rounded = found.rounded
    integers = network.integers
    for form in dict.fromkeys(network.integer_formats.values()):
        own = {name: each for name, each in integers.items() if each.number_format == form}
        rows = tuple(tensor_counts(name, each.shape, each.counts) for name, each in own.items())
        total = total_counts(rows, [each.counts for each in own.values()])
        parts.append((form.bits_per_weight, NetworkCounts(tensors=rows, total=total)))
    network.file.check_bytes()
    by_name: dict[str, TensorCounts] = {row.name: row for _, each in parts for row in each.tensors}
    counts = NetworkCounts(
        tensors=tuple(by_name[name] for name in network.sources),
        total=join_counts(each.total for _, each in parts),
    )
    return counts, tuple(parts) if integers else (), rounded


def count_stored(file: TensorFile, *, on_progress: OnCount | None = None) -> NetworkCounts:
    """Count every dense tensor of a file as it is, but for BatchNorm's counters.

    One with several names counts once, under all of them; packed integers are taken apart.

    Args:
        file: The tensors.
        on_progress: Called with bytes done and bytes in all, from any thread.

    Raises:
        CheckpointError: A tensor holds a number that is not finite, or the file cannot be read.
    """
    places: dict[tuple[object, ...], list[str]] = {}
    stored = {name: each for name, each in file.items() if prefix_of(name, COUNTER) is None}
    stored |= {name: each.integers for name, each in file.quantized.items()}
    packed = find_packed(stored)
    for name, tensor in stored.items():
        if tensor.num_numbers and tensor.number_type.kind != "other":
            places.setdefault(tensor.place, []).append(name)
    tensors = {TIE.join(names): stored[names[0]] for names in places.values()}
    numbers = {name: each for name, each in tensors.items() if each.number_type.kind == "float"}
    wide = {each.number_type.name for each in numbers.values()} - {"float64"}
    parts: list[NetworkCounts] = []
    try:
        if numbers and len(wide) == len({each.number_type.name for each in numbers.values()}):
            exact = find_format(32)
            parts.append(count_sources(numbers, exact, on_progress=on_progress).counts)
        elif numbers:  # float64 has numbers that float32 has not
            held = {name: torch.from_numpy(each.read_float64()) for name, each in numbers.items()}
            parts.append(count_tensors(held))
    except ValueError as error:
        raise CheckpointError(f"{file.path}: {error}; use an earlier one") from error
    integers = {
        name: IntegerTensor(
            stored=each,
            type_name=each.number_type.name,
            num_fields=packed.get(name.partition(TIE)[0], 1),
        )
        for name, each in tensors.items()
        if name not in numbers
    }
    if integers:
        found = {name: each.count() for name, each in integers.items()}
        rows = tuple(
            tensor_counts(name, each.shape, found[name]) for name, each in integers.items()
        )
        total = total_counts(rows, list(found.values()))
        parts.append(NetworkCounts(tensors=rows, total=total))
    file.check_bytes()
    if not parts:
        raise CheckpointError(f"{file.path}: it holds no number to count; save model.state_dict()")
    by_name = {row.name: row for part in parts for row in part.tensors}
    return NetworkCounts(
        tensors=tuple(by_name[name] for name in tensors),
        total=join_counts(part.total for part in parts),
    )


def _count_rounded(
    rounded: Mapping[str, int], network: ExternalNetwork, number_format: NumberFormat
) -> int:
    """Numbers that set the file's network apart from the one that is described.

    Statistics that a decoded BatchNorm was written as come back to its scale and shift but for
    their last bits, which rounding removes; so does a weight of its norm and direction. At 32 bits,
    folding itself rounds.
    """
    found = sum(
        count
        for name, count in rounded.items()
        if not name.endswith(tuple(f".{each}" for each in SUFFIXES[False]))
        and not ((match := CODED.fullmatch(name)) and match["kind"] != "pruned")
    )
    if number_format.bits_per_weight == 32:
        found += sum(norm.num_units for norm in network.norms if not norm.is_plain)
    return found
