"""What a certificate states: a network's bits, its errors on named images, and what they prove."""

from dataclasses import asdict, dataclass
from typing import Any

import torch

from analysis.bounds.bounds import (
    binomial_tail,
    bound_titles,
    check_delta,
    compare_bounds,
    hold_out,
    percent_up,
    theorem_2,
)
from analysis.bounds.lengths import theorem_2_length
from analysis.certify.errors import EVALUATION, CertifiedErrors, count_sets
from analysis.certify.fresh import FreshCount, FreshImages
from analysis.certify.images import CertifiedData, CertifiedImages
from analysis.certify.prior import SPLIT, Prior, PriorStatement, kind_of, make_statement
from analysis.codes.network_code import Codeword
from analysis.quantize.nonzeros import Counts, count_tensors
from training.data.image_set import check_network
from training.data.telling import count_repeated, repeats_line
from training.errors import DataError
from training.run.progress import OnCount
from training.spec.architectures import NetworkSpec
from training.system.notebook import html_table

FORMAT = "mdl-certificate"
FORMAT_VERSION, FRESH_VERSION, PRIOR_VERSION = 1, 2, 3
"""Without and with a count on fresh images; with a prior, whether with such a count or without."""
STATEMENT = (
    "The classifier is the decoded network in whole-number arithmetic, the same on every machine: "
    "weights rounded to 20 bits below the largest of their unit, the values that enter a layer so "
    "that every sum of products is exact in 53 bits, all else in float64, rounded step by step. "
    "An image is an error unless its right logit exceeds every other."
)
"""`analysis.certify.exact_evaluation` in a sentence."""


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """All numbers follow from the bits, the images and δ.

    Attributes:
        spec: The network.
        code: The code of its description.
        number_format: Name of R_b.
        bits_per_weight: b.
        description_bits: B, the bits that the decoder consumed.
        bits_sha256: Hash of the codeword, its last byte filled up with zeros.
        counts: n, ‖w‖₀ and k of all tensors.
        normalization: Where the constants come from: "fixed", or "data" if they are in the bits.
        permutation_seed: Of the pixels, or None.
        data: The images.
        errors: On the m samples.
        held_out: On validation images that are not among the samples, or None.
        test: On test images, or None.
        delta: δ, of each bound by itself.
        fresh: What was counted on images that are stated to have had no part in training or
            choosing, or None. With a target, `bound` is about the target.
        prior: What is stated of the prior that the bits are relative to, or None.
        num_repeated: Samples that equal another one, pixel by pixel. It follows from the images and
            is no part of the file.
    """

    spec: NetworkSpec
    code: str
    number_format: str
    bits_per_weight: int
    description_bits: int
    bits_sha256: str
    counts: Counts
    normalization: str
    permutation_seed: int | None
    data: CertifiedData
    errors: CertifiedErrors
    held_out: CertifiedErrors | None
    test: CertifiedErrors | None
    delta: float
    fresh: FreshCount | None = None
    prior: PriorStatement | None = None
    num_repeated: int = 0

    @property
    def repeats(self) -> str:
        """What must be said of samples that repeat another one; "" if none does."""
        return repeats_line(self.num_repeated, self.errors.num_samples)

    @property
    def bound(self) -> float:
        """The true error is at most this, with probability 1 - δ.

        The binomial tail; with fresh images, the better of it and the hold-out bound, or the sum of
        it and the disagreement with a target, each at δ/2.
        """
        return self._bound_at(self.counted_bits)

    @property
    def counted_bits(self) -> float:
        """B as the bounds count it, which for a split prior is `split_bits` of it."""
        bits = self.description_bits
        return bits if self.prior is None else self.prior.counted_bits(bits)

    @property
    def bound_by_bits(self) -> float:
        """The binomial tail of its bits and errors alone, at δ, whatever fresh images say."""
        errors = self.errors
        return binomial_tail(errors.num_errors, errors.num_samples, self.counted_bits, self.delta)

    @property
    def bound_with_prior(self) -> float:
        """The same with the prior's own bits counted in: no prior is taken as fixed."""
        own = 0 if self.prior is None else self.prior.description_bits
        return self._bound_at(self.counted_bits + own)

    def _bound_at(self, bits: float) -> float:
        errors = self.errors
        if self.fresh is not None:
            return self.fresh.bound(errors, bits, self.delta)
        return binomial_tail(errors.num_errors, errors.num_samples, bits, self.delta)

    @property
    def bounds(self) -> dict[str, float]:
        """Every bound by its name, the same bits behind each; Theorem 2 with its own terms."""
        errors, counts, bits = self.errors, self.counts, self.bits_per_weight
        found = {
            each.name: each.value
            for each in compare_bounds(
                errors.num_errors, errors.num_samples, self.counted_bits, self.delta
            )
        }
        proof = theorem_2_length(counts.num_weights, counts.num_nonzeros, counts.num_distinct, bits)
        found["theorem_2"] = theorem_2(
            errors.num_errors,
            errors.num_samples,
            self.delta,
            value_bits=float(bits * counts.num_distinct),
            map_bits=proof.map_bits,
            num_weights=counts.num_weights,
        )
        return found

    @property
    def hold_out_bound(self) -> float | None:
        """The bound from the held-out images alone, if they chose nothing."""
        if self.held_out is None:
            return None
        return hold_out(self.held_out.num_errors, self.held_out.num_samples, 0, self.delta)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON. Errors and bounds are fractions, lengths are bits."""
        fresh, bits = self.fresh, self.counted_bits
        counted = {} if fresh is None else {"fresh": fresh.to_dict(self.errors, bits, self.delta)}
        version = FORMAT_VERSION if fresh is None else FRESH_VERSION
        if self.prior is not None:
            counted["prior"] = self.prior.to_dict(
                self.description_bits, self.bound_with_prior, self.delta
            )
            version = PRIOR_VERSION
        return {
            "format": FORMAT,
            "version": version,
            "network": asdict(self.spec),
            "code": self.code,
            "number_format": self.number_format,
            "bits_per_weight": self.bits_per_weight,
            "description_bits": self.description_bits,
            "bits_sha256": self.bits_sha256,
            "num_weights": self.counts.num_weights,
            "num_nonzeros": self.counts.num_nonzeros,
            "num_distinct": self.counts.num_distinct,
            "normalization": self.normalization,
            "permutation_seed": self.permutation_seed,
            "data": self.data.to_dict(),
            "evaluation": {"name": EVALUATION, "statement": STATEMENT},
            "num_samples": self.errors.num_samples,
            "num_errors": self.errors.num_errors,
            "num_ties": self.errors.num_ties,
            "delta": self.delta,
            "bound": self.bound,
            "bounds": self.bounds,
            "hold_out": None if self.held_out is None else _count_dict(self.held_out),
            "hold_out_bound": self.hold_out_bound,
            "test": None if self.test is None else _count_dict(self.test),
            **counted,
        }

    def __str__(self) -> str:
        """What it proves, in one line."""
        target = "A target by way of " if self.fresh and self.fresh.has_target else ""
        return (
            f"{target}{self.spec.name} on {self.data.title}: {self._headline()} "
            f"B = {self.description_bits:,} bits, {self.errors.num_errors:,} errors on "
            f"{self.errors.num_samples:,} images. {self.repeats}"
        ).rstrip()

    def _headline(self) -> str:
        if self.bound > 1 - 1e-9:
            return "Vacuous: this length proves nothing about the true error."
        return f"True error <= {percent_up(self.bound)} with probability {1 - self.delta:.4g}."

    def _repr_html_(self) -> str:
        counts = {"training": self.errors, "held-out": self.held_out, "test": self.test}
        rows = [
            ("network", f"{self.spec.name} on {self.data.title}"),
            ("description", f"{self.description_bits:,} bits ({self.code} code)"),
            *(
                (f"{name} errors", f"{each.num_errors:,} of {each.num_samples:,}")
                for name, each in counts.items()
                if each is not None
            ),
            *((bound_titles()[name], percent_up(value)) for name, value in self.bounds.items()),
        ]
        headline = f"{self._headline()} {self.repeats}".rstrip()
        return html_table(headline, ("certificate", ""), rows, num_text_columns=1)


def make_certificate(
    codeword: Codeword,
    data: CertifiedData,
    images: CertifiedImages,
    *,
    delta: float = 0.05,
    fresh: FreshImages | None = None,
    prior: Prior | None = None,
    device: torch.device | str = "cpu",
    progress: OnCount | None = None,
) -> Certificate:
    """Count the errors of a decoded network and state what its length proves.

    Args:
        codeword: As the decoder gave it.
        data: The record of the images.
        images: The images.
        delta: δ, in (0, 1).
        fresh: Images that had no part in training or choosing, to count on too.
        prior: What the codeword is relative to, if it is.
        device: Where the errors are counted.
        progress: Called with the images done and all of them.

    Raises:
        DataError: The images do not match the network's input, or the prior has seen them.
        ValueError: δ outside (0, 1), a prior that is not the codeword's, or the bits are tensors of
            an external network, which cannot be evaluated.
    """
    check_delta(delta)
    if codeword.prior_sha256 != (None if prior is None else prior.codeword.sha256):
        raise ValueError("prior must be the one that the bits are relative to")
    message = codeword.message
    network = message.network
    check_network(data, network)
    sets = [images.samples, images.held_out, images.test, *([fresh.images] if fresh else ())]
    counts = count_sets(message, sets, device=device, progress=progress)
    errors, held_out, test = counts[:3]
    if errors is None:
        raise DataError(f"{data.name} has no images to count errors on")
    stated = None
    if prior is not None:
        own = None
        if kind_of(prior.origin, data) == SPLIT:
            check_network(data, prior.codeword.message.network)
            (own,) = count_sets(prior.codeword.message, [images.samples], device=device)
        stated = make_statement(prior, data, own)
    return Certificate(
        spec=network,
        code=codeword.code,
        number_format=message.number_format.name,
        bits_per_weight=message.number_format.bits_per_weight,
        description_bits=codeword.num_bits,
        bits_sha256=codeword.sha256,
        counts=count_tensors(message.state, message.number_format).total,
        normalization=message.known_inputs.normalization.source,
        permutation_seed=message.known_inputs.permutation_seed,
        data=data,
        errors=errors,
        held_out=held_out,
        test=test,
        delta=delta,
        fresh=None if fresh is None else fresh.counted(counts[3]),
        prior=stated,
        num_repeated=count_repeated(images.samples),
    )


def _count_dict(errors: CertifiedErrors) -> dict[str, int]:
    return {"num_errors": errors.num_errors, "num_samples": errors.num_samples}
