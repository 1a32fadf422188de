"""The certificates in results/, checked where their images are."""

from pathlib import Path

import pytest

from analysis.certify.verify import verify

CERTIFICATES = Path(__file__).resolve().parents[3] / "results" / "certificates"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "data", "bound"),
    [
        ("mnist", "mnist", 0.0695),
        ("mnist-prior", "mnist", 0.0561),
        ("mnist-s-conv", "mnist", 0.0936),
        ("cifar10-jpeg", "cifar10", 0.6061),
    ],
)
def test_it_is_verified(name: str, data: str, bound: float, shared_data: Path) -> None:
    found = verify(CERTIFICATES / name, data=str(shared_data / data))
    assert found.differences == ()
    assert found.certificate is not None
    assert found.certificate.bound <= bound
