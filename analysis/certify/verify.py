"""Checks a certificate anew: decode the bits, count the errors, recompute every number, compare.

Only the bits, the images and δ are believed. B is what the decoder consumed.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from analysis.certify.certificate import PRIOR_VERSION, Certificate, make_certificate
from analysis.certify.errors import counting_bytes
from analysis.certify.folder import (
    BITS_FILE,
    CHECKSUM,
    PREDICTIONS_FILE,
    VERSIONS,
    check_versions,
    json_checksum,
    read_certificate,
)
from analysis.certify.fresh import FreshImages, choose_fresh
from analysis.certify.images import CertifiedData, CertifiedImages, find_images
from analysis.certify.predictions import load_predictions
from analysis.certify.prior import Origin, Prior
from analysis.codes.bit_file import PRIOR_FILE, load_codeword, load_prior_bits
from analysis.codes.network_code import Codeword
from training.data.image_set import check_network, check_same_images
from training.errors import CheckpointError, OutOfMemoryError, UserError
from training.run.progress import OnCount
from training.system.checks import shown

_MAX_NAME, _MAX_TEXT = 60, 500
_SAME = 1e-12
"""Relative difference of two bounds that two libraries' logarithms may make."""


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What came of a check.

    Attributes:
        differences: One line for each thing that is not as the certificate states it.
        certificate: As recomputed; None if it could not be.
    """

    differences: tuple[str, ...]
    certificate: Certificate | None

    @property
    def ok(self) -> bool:
        """Whether everything is as the certificate states it."""
        return not self.differences and self.certificate is not None

    def to_dict(self) -> dict[str, Any]:
        """The numbers as recomputed, for JSON; null where they could not be."""
        found = {} if self.certificate is None else self.certificate.to_dict()
        names = ("bound", "num_errors", "num_samples", "description_bits", "delta", "data")
        return {
            "ok": self.ok,
            "differences": list(self.differences),
            **{
                name: found.get(name)
                for name in (*names, "network", "hold_out_bound", "test", "fresh", "prior")
            },
            "num_repeated": None if self.certificate is None else self.certificate.num_repeated,
        }


def verify(
    folder: Path | str,
    *,
    data: str | None = None,
    images: str | None = None,
    label_column: str | None = None,
    device: torch.device | str = "cpu",
    progress: OnCount | None = None,
    name_of: Callable[[str], str] = str,
) -> Verification:
    """Recompute a certificate from its bits and the images, and compare.

    Args:
        folder: What `mdl.certify` or `write_certificate` wrote.
        data: Where the images lie on this machine; None for generated images.
        images: Likewise, the fresh images of a certificate that has them from a data set of their
            own.
        label_column: Column of a table that holds the labels; None for the one its name says.
        device: Where the errors are counted.
        progress: Called with the images done and all of them.
        name_of: What one of these arguments is called where a difference names it.

    >>> verify("no such folder").differences
    ('no such folder is not a folder; give one that mdl certify wrote',)
    """
    folder = Path(folder)
    try:
        contents = read_certificate(folder)
        own = None
        if contents.get("version") == PRIOR_VERSION:
            own = load_prior_bits(folder / PRIOR_FILE)
        codeword = load_codeword(folder / BITS_FILE, prior=own, beside=counting_bytes)
    except (CheckpointError, OutOfMemoryError) as error:
        return Verification(differences=(error.told(name_of),), certificate=None)
    try:
        record = CertifiedData.from_dict(contents.get("data"))
        delta = _read_delta(contents.get("delta"))
        if codeword.message.can_run:
            check_network(record, codeword.message.network)
        known, found = _find_same(record, data, label_column, "data")
        fresh = _find_fresh(contents.get("fresh"), folder, found, images)
        prior = None if own is None else _find_prior(contents.get("prior"), own)
        certificate = make_certificate(
            codeword,
            known,
            found,
            delta=delta,
            fresh=fresh,
            prior=prior,
            device=device,
            progress=progress,
        )
    except (UserError, ValueError) as error:
        told = error.told(name_of) if isinstance(error, UserError) else str(error)
        lines = [*_check_frame(contents), told]
        return Verification(differences=tuple(lines), certificate=None)
    lines = [*_check_frame(contents)]
    stated = {name: contents[name] for name in contents if name not in (CHECKSUM, VERSIONS)}
    lines += _compare("", stated, certificate.to_dict())
    return Verification(differences=tuple(lines), certificate=certificate)


def _find_same(
    record: CertifiedData, source: str | None, label_column: str | None, place: str
) -> tuple[CertifiedData, CertifiedImages]:
    """The very images of a record, and the record as they give it."""
    found, images = find_images(record, source, label_column)
    check_same_images(
        found,
        name=record.name,
        fingerprint=record.fingerprint,
        owner=f"the certificate, by its {place}.fingerprint,",
    )
    # A name that the images do not give may follow the folder's on this machine.
    return found if found.is_known else replace(found, name=record.name), images


def _find_prior(stated: object, codeword: Codeword) -> Prior:
    """The prior beside the bits, with what is stated of how it came to be."""
    if not isinstance(stated, dict):
        raise ValueError(f"prior must be of type dict, not {type(stated).__name__}")
    origin = stated.get("origin")
    return Prior(codeword=codeword, origin=None if origin is None else Origin.from_dict(origin))


def _find_fresh(
    stated: object, folder: Path, images: CertifiedImages, source: str | None
) -> FreshImages | None:
    """The fresh images that a certificate names, with the predictions beside its bits."""
    if stated is None:
        return None
    if not isinstance(stated, dict):
        raise ValueError(f"fresh must be of type dict, not {type(stated).__name__}")
    own = None
    if stated.get("data") is not None:
        own = _find_same(CertifiedData.from_dict(stated["data"]), source, None, "fresh.data")
    split = stated.get("split")
    if not isinstance(split, str):
        raise ValueError(f"fresh.split must be text, not {shown(split)}")
    has_target = stated.get("predictions_sha256") is not None
    fresh = choose_fresh(split, images, own, has_target=has_target)
    if not has_target:
        return fresh
    c = len(images.class_names)
    classes = load_predictions(folder / PREDICTIONS_FILE, len(fresh.images), c)
    return fresh.with_predictions(classes, c)


def _check_frame(contents: dict[str, Any]) -> list[str]:
    """Versions and checksum, which no recount can give."""
    lines = check_versions(contents)
    if contents.get(CHECKSUM) != json_checksum(contents):
        lines.append(f"{CHECKSUM}: does not fit the rest; something in the JSON was changed")
    return lines


def _read_delta(value: object) -> float:
    if not isinstance(value, float) or not 0 < value < 1:
        raise ValueError(f"delta must be a number in (0, 1), not {shown(value)}")
    return value


def _compare(place: str, stated: Any, found: Any) -> Iterator[str]:
    """A line for each field that differs, is missing, or is unknown."""
    if isinstance(stated, dict) and isinstance(found, dict):
        for name in sorted(stated.keys() | found.keys()):
            short = name if len(name) <= _MAX_NAME else name[:_MAX_NAME] + "..."
            where = f"{place}.{short}" if place else short
            if name not in found:
                yield f"{where}: a field that no certificate has"
            elif name not in stated:
                yield f"{where}: missing; recomputed as {_told(found[name])}"
            else:
                yield from _compare(where, stated[name], found[name])
    elif not _is_same(stated, found):
        yield (f"{place}: the certificate says {_told(stated)}, recomputed it is {_told(found)}")


def _told(value: Any) -> str:
    """A value in full where it is of a usual length: of hashes every digit counts."""
    return repr(value) if isinstance(value, str) and len(value) <= _MAX_TEXT else shown(value)


def _is_same(stated: Any, found: Any) -> bool:
    if type(stated) is not type(found):
        return False
    if isinstance(found, float):
        return math.isclose(stated, found, rel_tol=_SAME)
    return bool(stated == found)
