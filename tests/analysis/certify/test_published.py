"""The certificates in results/: the gallery's rows, and checked where their images are."""

import json
import math
import re
from pathlib import Path

import pytest

from analysis.certify.folder import JSON_FILE
from analysis.certify.verify import verify

ROOT = Path(__file__).resolve().parents[3]
CERTIFICATES = ROOT / "results" / "certificates"
GALLERY = (ROOT / "docs" / "certificates.md").read_text(encoding="utf-8")


def test_the_gallery_has_a_row_for_each() -> None:
    named = re.findall(r"^\| \[([\w-]+)\]\(#\1\)", GALLERY, re.MULTILINE)
    assert sorted(named) == sorted(path.name for path in CERTIFICATES.iterdir())


@pytest.mark.parametrize("name", sorted(path.name for path in CERTIFICATES.iterdir()))
def test_a_row_says_what_the_certificate_says(name: str) -> None:
    says = json.loads((CERTIFICATES / name / JSON_FILE).read_text(encoding="utf-8"))
    prior, test = says.get("prior"), says["test"]
    whose = " (surrogate's)" if "num_disagreements" in (says.get("fresh") or {}) else ""
    cells = [
        f"[{name}](#{name})",
        says["data"]["name"],
        f"{math.ceil(1e4 * says['bound']) / 1e4:.2%}",  # a bound is never rounded down
        f"{says['description_bits']:,}{whose}",
        f"{says['num_errors']:,} of {says['num_samples']:,}{whose}",
        f"{test['num_errors']:,} of {test['num_samples']:,}{whose}",
        f"{prior['kind']}, {prior['description_bits']:,} bits" if prior else "none",
    ]
    assert f"| {' | '.join(cells)} |" in GALLERY
    assert f"    mdl verify results/certificates/{name}" in GALLERY


def test_a_missing_data_set_is_asked_for_by_the_callers_name_for_it() -> None:
    for name_of, called in ((str, "data"), ("--{}".format, "--data")):
        (line,) = verify(CERTIFICATES / "mnist", name_of=name_of).differences
        assert line == f"the certificate is about MNIST; pass it as {called}"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "data", "bound"),
    [
        ("mnist", "mnist", 0.0695),
        ("mnist-prior", "mnist", 0.0487),
        ("mnist-s-conv", "mnist", 0.0936),
        ("mnist-split", "mnist", 0.0183),
        ("cifar10-jpeg", "cifar10", 0.5877),
    ],
)
def test_it_is_verified(name: str, data: str, bound: float, shared_data: Path) -> None:
    found = verify(CERTIFICATES / name, data=str(shared_data / data))
    assert found.differences == ()
    assert found.certificate is not None
    assert found.certificate.bound <= bound
