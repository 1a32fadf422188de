"""What images are put through before a network: constants, a permutation, and what is refused."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from training.data.image_set import ImageSet
from training.data.input_map import InputMap, measure_normalization, pixel_permutation
from training.spec.normalization import Normalization, fixed_normalization

COLOUR = Normalization(mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7), source="data")


def random_images(num: int, *, size: int = 7) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (num, 3, size, size), dtype=torch.uint8, generator=generator)


def normalize_slowly(image: np.ndarray, normalization: Normalization) -> np.ndarray:
    mean = np.array(normalization.mean)[:, None, None]
    std = np.array(normalization.std)[:, None, None]
    return (image / 255 - mean) / std


def test_the_formula():
    images = random_images(5)
    inputs = InputMap(COLOUR)(images, dtype=torch.float64)
    for image, result in zip(images.numpy(), inputs.numpy(), strict=True):
        np.testing.assert_allclose(result, normalize_slowly(image, COLOUR), rtol=1e-13, atol=1e-13)


def test_fixed_inputs_are_rounded_once():
    images = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    inputs = InputMap(fixed_normalization(1))(images).flatten()
    exact = (np.arange(256, dtype=np.longdouble) / 255 - 0.5) / 0.25
    assert inputs.dtype == torch.float32
    np.testing.assert_array_equal(inputs.numpy(), exact.astype(np.float32))


@given(seed=st.integers(0, 999))
def test_a_permutation_only_relabels_the_pixels(seed: int) -> None:
    images, order = random_images(4), pixel_permutation(seed, 49)
    plain, permuted = InputMap(COLOUR)(images), InputMap(COLOUR, seed)(images)
    assert torch.equal(plain.flatten(2)[:, :, order], permuted.flatten(2))
    assert torch.equal(InputMap(COLOUR, seed).permutation(7), order)
    assert InputMap(COLOUR).permutation(7) is None


@given(seed=st.integers(0, 999), num_pixels=st.integers(1, 200))
def test_a_pixel_permutation_is_one(seed: int, num_pixels: int) -> None:
    permutation = pixel_permutation(seed, num_pixels)
    assert sorted(permutation.tolist()) == list(range(num_pixels))
    assert torch.equal(permutation, pixel_permutation(seed, num_pixels))


def test_normalization_is_fixed_unless_it_is_measured() -> None:
    images = torch.randint(0, 256, (50, 3, 4, 4), dtype=torch.uint8)
    sample = ImageSet(images=images, labels=torch.zeros(50, dtype=torch.int64))
    fixed = measure_normalization(sample, "fixed")
    assert (fixed.mean, fixed.std, fixed.source) == ((0.5,) * 3, (0.25,) * 3, "fixed")
    measured = measure_normalization(sample, "data")
    pixels = images.double() / 255
    assert measured.source == "data"
    assert measured.mean == pytest.approx(pixels.mean(dim=(0, 2, 3)).tolist())
    assert measured.std == pytest.approx(pixels.std(dim=(0, 2, 3), correction=0).tolist())


def test_wrong_images_are_named() -> None:
    images = random_images(2)
    with pytest.raises(ValueError, match="images must be uint8"):
        InputMap(COLOUR)(images.float())
    with pytest.raises(ValueError, match=r"images must be .*\(2, 3, 7, 6\)"):
        InputMap(COLOUR)(images[..., :6])
    with pytest.raises(ValueError, match="normalization is for 1 channels"):
        InputMap(fixed_normalization(1))(images)
