"""Batched augmentation against a slow version that handles one image at a time in NumPy."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.examples import examples
from training.augment.inputs import augment_images
from training.data.input_map import InputMap, pixel_permutation
from training.spec.config import Augmentation
from training.spec.normalization import Normalization, fixed_normalization

COLOUR = Normalization(mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7), source="data")


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_images(num: int, *, size: int = 7, channels: int = 3, seed: int = 0) -> torch.Tensor:
    shape = (num, channels, size, size)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=seeded(seed))


def normalize_slowly(image: np.ndarray, normalization: Normalization) -> np.ndarray:
    mean = np.array(normalization.mean)[:, None, None]
    std = np.array(normalization.std)[:, None, None]
    return (image / 255 - mean) / std


def candidates(
    image: np.ndarray, augmentation: Augmentation, normalization: Normalization
) -> list[np.ndarray]:
    """Every result that flip and crop can give for one image, normalised, without cutout."""
    size, pad = image.shape[-1], augmentation.crop
    results = []
    for mirrored in [image, image[:, :, ::-1]] if augmentation.flip else [image]:
        padded = np.pad(mirrored, ((0, 0), (pad, pad), (pad, pad)))
        for top in range(2 * pad + 1):
            for left in range(2 * pad + 1):
                window = padded[:, top : top + size, left : left + size]
                results.append(normalize_slowly(window, normalization))
    return results


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_results_have_the_type_asked_for(dtype):
    images, normalization = random_images(4), fixed_normalization(3)
    prepared = InputMap(normalization)(images, dtype=dtype)
    augmented = augment_images(
        images, Augmentation(cutout=3), normalization, generator=seeded(0), dtype=dtype
    )
    assert prepared.dtype == augmented.dtype == dtype
    assert prepared.shape == augmented.shape == images.shape


@given(
    size=st.integers(2, 9),
    channels=st.sampled_from([1, 3]),
    flip=st.booleans(),
    crop=st.integers(0, 2),
    seed=st.integers(0, 100),
)
@examples(0.3)
def test_every_result_is_a_possible_one(size, channels, flip, crop, seed):
    images = random_images(6, size=size, channels=channels, seed=seed)
    augmentation, normalization = Augmentation(flip=flip, crop=crop), fixed_normalization(channels)
    results = augment_images(
        images, augmentation, normalization, generator=seeded(seed), dtype=torch.float64
    ).numpy()
    for image, result in zip(images.numpy(), results, strict=True):
        possible = candidates(image, augmentation, normalization)
        assert any(np.allclose(result, one, rtol=0, atol=1e-12) for one in possible)


def test_flip_and_crop_are_uniform():
    image = random_images(1, size=5)
    augmentation, normalization = Augmentation(flip=True, crop=2), fixed_normalization(3)
    num = 20_000
    results = augment_images(
        image.expand(num, -1, -1, -1), augmentation, normalization, generator=seeded(1)
    )
    possible = np.stack(candidates(image[0].numpy(), augmentation, normalization))
    possible = torch.from_numpy(possible.astype(np.float32)).flatten(1)
    which = torch.cdist(results.flatten(1), possible).argmin(dim=1)
    counts = which.bincount(minlength=len(possible))
    assert len(possible) == 2 * 25
    expected = num / len(possible)
    chi_square = float(((counts - expected) ** 2 / expected).sum())
    assert chi_square < 49 + 5 * (2 * 49) ** 0.5  # five deviations above its mean
    assert abs(int(counts[:25].sum()) - num / 2) < 5 * (num / 4) ** 0.5


@pytest.mark.parametrize("side", [1, 4, 5])
def test_cutout_is_a_square_around_a_uniform_pixel(side):
    size, num = 8, 4000
    images = torch.full((num, 3, size, size), 200, dtype=torch.uint8)
    results = augment_images(
        images, Augmentation(cutout=side), fixed_normalization(3), generator=seeded(2)
    )
    holes = (results == 0).numpy()
    assert (holes == holes[:, :1]).all()
    allowed = {}
    for row in range(size):
        for column in range(size):
            hole = np.zeros((size, size), dtype=bool)
            top, left = row - side // 2, column - side // 2
            hole[max(top, 0) : top + side, max(left, 0) : left + side] = True
            allowed[hole.tobytes()] = hole.sum()
    seen = {hole[0].tobytes() for hole in holes}
    assert seen == set(allowed)
    mean_area = np.mean(list(allowed.values())) if len(allowed) == size**2 else None
    if mean_area is not None:
        assert abs(holes[:, 0].sum(axis=(1, 2)).mean() - mean_area) < 0.4
    rest = InputMap(fixed_normalization(3))(images).numpy()
    np.testing.assert_array_equal(results.numpy()[~holes], rest[~holes])


@given(
    flip=st.booleans(), crop=st.integers(0, 3), cutout=st.integers(0, 7), seed=st.integers(0, 50)
)
@examples(0.3)
def test_permutation_only_relabels_the_result(flip, crop, cutout, seed):
    images = random_images(5, seed=seed)
    policy = "rand" if seed % 2 else None
    augmentation = Augmentation(flip=flip, crop=crop, cutout=cutout, policy=policy)
    permutation = pixel_permutation(seed, 49)
    plain, permuted = (
        augment_images(images, augmentation, COLOUR, permutation=order, generator=seeded(seed))
        for order in (None, permutation)
    )
    assert torch.equal(plain.flatten(2)[:, :, permutation], permuted.flatten(2))
    prepared = InputMap(COLOUR)(images).flatten(2)[:, :, permutation]
    assert torch.equal(prepared, InputMap(COLOUR, seed)(images).flatten(2))


def test_the_policy_comes_first_and_what_it_uncovers_is_black():
    images = torch.full((40, 3, 8, 8), 100, dtype=torch.uint8)
    table = ((("TranslateX", 1.0, 1.0),),)  # by 0.45 of 8: 4 pixels one way or the other
    policy = {"policy": "test", "policy_table": table}
    results = augment_images(
        images, Augmentation(cutout=3, **policy), COLOUR, generator=seeded(0), dtype=torch.float64
    )
    values = torch.tensor([(value / 255 - 0.2) / 0.6 for value in (0, 100)], dtype=torch.float64)
    halves = {tuple(one[1, :, column].unique().tolist()) for one in results for column in (0, 7)}
    seen = {round(value, 6) for half in halves for value in half}
    assert seen == {0.0, *(round(value, 6) for value in values.tolist())}  # 0 from cutout alone
    both = augment_images(
        images, Augmentation(crop=2, **policy), COLOUR, generator=seeded(0), dtype=torch.float64
    )
    bright = (both[:, 0] > 0).sum(dim=(1, 2))
    assert bright.max() <= 4 * 8  # half of the image at most is left to crop from
    assert len(bright.unique()) > 3


def test_same_generator_same_result():
    images = random_images(16)
    augmentation = Augmentation(flip=True, crop=2, cutout=3, policy="trivial")
    first, again, other = (
        augment_images(images, augmentation, COLOUR, generator=seeded(seed)) for seed in (3, 3, 4)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_nothing_on_is_prepare_and_draws_nothing():
    images, generator = random_images(4), seeded(5)
    before = generator.get_state()
    result = augment_images(images, Augmentation(), COLOUR, generator=generator)
    assert torch.equal(result, InputMap(COLOUR)(images))
    assert torch.equal(generator.get_state(), before)


def test_the_images_are_left_alone():
    images = random_images(4)
    copy = images.clone()
    augment_images(images, Augmentation(flip=True, crop=1, cutout=2), COLOUR, generator=seeded(0))
    assert torch.equal(images, copy)


def test_images_that_are_not_contiguous():
    images = random_images(4).permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    augmentation = Augmentation(flip=True, crop=2, cutout=2)
    first, second = (
        augment_images(one, augmentation, COLOUR, generator=seeded(0))
        for one in (images, images.contiguous())
    )
    assert torch.equal(first, second)


def test_wrong_arguments_are_named():
    images, augmentation = random_images(2), Augmentation(crop=8)
    with pytest.raises(ValueError, match="permutation must have 49 positions"):
        augment_images(
            images, Augmentation(), COLOUR, permutation=torch.arange(48), generator=seeded(0)
        )
    with pytest.raises(ValueError, match="crop must be at most the images' side, 7, not 8"):
        augment_images(images, augmentation, COLOUR, generator=seeded(0))
    with pytest.raises(ValueError, match="cutout must be at most the images' side, 7, not 9"):
        augment_images(images, Augmentation(cutout=9), COLOUR, generator=seeded(0))


@pytest.mark.cuda
@pytest.mark.parametrize("normalization", [fixed_normalization(3), COLOUR])
def test_cuda_prepares_the_same_inputs_without_waiting(normalization):
    images = random_images(64, size=32)
    inputs = InputMap(normalization, 0)
    expected = inputs(images)
    on_device, order = images.cuda(), inputs.permutation(32, "cuda:0")
    settings = {"permutation": order, "generator": torch.Generator("cuda").manual_seed(0)}
    augmentation = Augmentation(flip=True, crop=4, cutout=8, policy="trivial")
    augment_images(on_device, augmentation, normalization, **settings)  # the policy goes there
    torch.cuda.set_sync_debug_mode("error")
    try:
        result = inputs(on_device)
        augment_images(on_device, augmentation, normalization, **settings)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert torch.equal(result.cpu(), expected)
