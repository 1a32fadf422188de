"""Images that had no part in training or choosing, and what is counted on them.

On their labels the network's errors give a hold-out bound, which needs no bits; on the predictions
of a target, any classifier, its disagreements with the target give a bound on the target's error.
"""

from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from analysis.bounds.bounds import ErrorCount, better_of_two, binomial_tail, hold_out
from analysis.bounds.surrogate import surrogate
from analysis.certify.images import TRAINING, CertifiedData, CertifiedImages
from analysis.certify.predictions import hash_predictions
from training.data.encoded import first_names
from training.data.image_set import ImageSet
from training.data.telling import count_shared
from training.errors import ConfigError, DataError
from training.system.checks import shown

TEST, VALIDATION = "test", "validation"
SPLITS = (TEST, VALIDATION, TRAINING)
_IID = "The samples and these images are i.i.d. from one source"
HOLD_OUT_ASSUMPTION = f"{_IID}; these had no part in training or choosing the network."
SURROGATE_ASSUMPTION = (
    f"{_IID}; these had no part in training or choosing target or surrogate, and the predictions "
    "are one classifier's, each of its image alone."
)


@dataclass(frozen=True, kw_only=True, eq=False)
class FreshImages:
    """The images, as somebody states that they are fresh.

    Attributes:
        split: Which split they are: "test" or "validation" of the certificate's data set, or "test"
            or "training" of a data set of their own.
        data: That data set; None if it is the certificate's.
        images: With their labels, or with the target's predictions in the place of labels.
        predictions_sha256: `hash_predictions` of the target's predictions; None if there is none.
        remarks: Sentences to add.
    """

    split: str
    data: CertifiedData | None
    images: ImageSet
    predictions_sha256: str | None = None
    remarks: tuple[str, ...] = ()

    def with_predictions(self, classes: Tensor, num_classes: int, *remarks: str) -> "FreshImages":
        """The same images with a target's predictions, int64 (N,), in the place of labels."""
        return replace(
            self,
            images=ImageSet(self.images.images, classes),
            predictions_sha256=hash_predictions(classes, num_classes),
            remarks=(*self.remarks, *remarks),
        )

    def counted(self, count: ErrorCount | None) -> "FreshCount":
        """The count that was made on them, without the images.

        Raises:
            ValueError: There is none, since there are no images.
        """
        if count is None:
            raise ValueError("fresh images must not be empty")
        return FreshCount(
            split=self.split,
            data=self.data,
            predictions_sha256=self.predictions_sha256,
            count=count,
            remarks=self.remarks,
        )


@dataclass(frozen=True, kw_only=True)
class FreshCount:
    """What was counted on fresh images, and what it proves beside m, e, B and δ.

    Attributes:
        split: As in `FreshImages`.
        data: Likewise.
        predictions_sha256: Likewise.
        count: Errors of the network on the labels; or of the surrogate on the target's predictions,
            which are the images on which the two differ or the surrogate has no class.
        remarks: Sentences to add; no part of the file.
    """

    split: str
    data: CertifiedData | None
    predictions_sha256: str | None
    count: ErrorCount
    remarks: tuple[str, ...] = field(default=(), compare=False)

    @property
    def has_target(self) -> bool:
        """Whether the bound is on a target's error, not on the network's."""
        return self.predictions_sha256 is not None

    @property
    def assumption(self) -> str:
        """What the bound takes for true, in one line."""
        return SURROGATE_ASSUMPTION if self.has_target else HOLD_OUT_ASSUMPTION

    def parts(self, samples: ErrorCount, bits: float, delta: float) -> tuple[float, float]:
        """The bound by bits and the one by fresh images, each at δ/2."""
        e, m, fresh = samples.num_errors, samples.num_samples, self.count
        return (
            binomial_tail(e, m, bits, delta / 2),
            hold_out(fresh.num_errors, fresh.num_samples, 0, delta / 2),
        )

    def bound(self, samples: ErrorCount, bits: float, delta: float) -> float:
        """The sum of the parts, on the target's error; or the better one, on the network's."""
        e, m, fresh = samples.num_errors, samples.num_samples, self.count
        if self.has_target:
            return surrogate(
                e, m, bits, delta, num_disagreements=fresh.num_errors, num_fresh=fresh.num_samples
            )
        return better_of_two(
            e,
            m,
            bits,
            delta,
            num_held_out_errors=fresh.num_errors,
            num_held_out_samples=fresh.num_samples,
        )

    def to_dict(self, samples: ErrorCount, bits: float, delta: float) -> dict[str, Any]:
        """Plain values, for JSON."""
        described, counted = self.parts(samples, bits, delta)
        return {
            "split": self.split,
            "data": None if self.data is None else self.data.to_dict(),
            "predictions_sha256": self.predictions_sha256,
            "num_disagreements" if self.has_target else "num_errors": self.count.num_errors,
            "num_samples": self.count.num_samples,
            "delta_each": delta / 2,
            "surrogate_bound" if self.has_target else "description_bound": described,
            "disagreement_bound" if self.has_target else "hold_out_bound": counted,
            "assumption": self.assumption,
        }


def choose_fresh(
    split: str,
    images: CertifiedImages,
    own: tuple[CertifiedData, CertifiedImages] | None = None,
    *,
    has_target: bool = False,
) -> FreshImages:
    """The images of a split, which must not be the m samples.

    Args:
        split: One of `SPLITS`.
        images: The certificate's images.
        own: A data set that fresh images are from; None if they are among `images`.
        has_target: Whether predictions take the place of labels.

    Raises:
        ConfigError: The split is none, or names the samples themselves.
        DataError: The split is empty, or all of it is among the samples, pixel by pixel; images of
            another shape, or labels of other classes.
    """
    if split not in SPLITS:
        rule = "{held_out} must be one of {}, not {}"
        raise ConfigError.naming(rule, ", ".join(SPLITS), shown(split))
    if own is None and split == TRAINING:
        raise ConfigError.naming(
            "{held_out} cannot be training: these images trained the network; name images that had "
            "no part in it"
        )
    data, found = (None, images) if own is None else own
    _check_shape(images.samples, found.samples)
    if not has_target and found.class_names != images.class_names:
        raise DataError(
            f"the fresh images have other classes ({first_names(list(found.class_names))}) than "
            f"the samples ({first_names(list(images.class_names))}); name them alike, or give "
            "predictions of a target, which take no labels"
        )
    chosen = {TEST: found.test, VALIDATION: found.held_out, TRAINING: found.samples}[split]
    if not len(chosen):
        raise DataError(f"there are no {split} images to count on; name another split")
    shared = count_shared(images.samples, chosen)
    if shared == len(chosen):
        raise DataError(
            f"all of the {split} images are among the {len(images.samples):,} that may have "
            "trained the network; name images that had no part in it"
        )
    remark = (
        f"{shared:,} of the {len(chosen):,} {split} images are among the samples too: they are "
        "fresh only if the source itself repeats images so."
    )
    remarks = (remark,) if shared else ()
    return FreshImages(split=split, data=data, images=chosen, remarks=remarks)


def _check_shape(samples: ImageSet, found: ImageSet) -> None:
    ours, theirs = (tuple(each.images.shape[1:]) for each in (samples, found))
    if ours != theirs:
        raise DataError(
            f"the fresh images are {'x'.join(map(str, theirs))}, but the network takes "
            f"{'x'.join(map(str, ours))}; give images of that kind"
        )
