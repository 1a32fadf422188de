"""Constants of the input normalisation and what is refused."""

from typing import Any

import pytest

from training.spec.normalization import Normalization, fixed_normalization


def test_fixed_constants_map_black_and_white_to_two_deviations() -> None:
    fixed = fixed_normalization(3)
    assert fixed.num_channels == 3
    assert fixed.source == "fixed"
    for mean, std in zip(fixed.mean, fixed.std, strict=True):
        assert ((0 - mean) / std, (1 - mean) / std) == (-2, 2)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"mean": [0.5]}, "mean must be a tuple"),
        ({"mean": (float("nan"),)}, "mean must be a tuple of finite"),
        ({"std": (float("inf"),)}, "std must be a tuple of finite"),
        ({"mean": ("0.5",)}, "mean must be a tuple of finite"),
        ({"mean": (True,)}, "mean must be a tuple of finite"),
        ({"mean": (), "std": ()}, "one number for each channel"),
        ({"mean": (0.5, 0.5)}, "one number for each channel, not 2 and 1"),
        ({"std": (0.0,)}, "std must be > 0"),
        ({"source": "guess"}, "source must be"),
    ],
)
def test_refuses_what_cannot_normalise(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Normalization(**{"mean": (0.5,), "std": (0.25,), "source": "fixed", **values})


def test_refuses_no_channels() -> None:
    with pytest.raises(ValueError, match="one number for each channel"):
        fixed_normalization(0)
