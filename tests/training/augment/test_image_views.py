"""Compiled views against those by gathers, bit by bit."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from training.augment import image_policy
from training.augment.image_policy import SMALLEST_COMPILED
from training.augment.inputs import augment_images
from training.data.input_map import InputMap, pixel_permutation
from training.spec.config import Augmentation
from training.spec.normalization import Normalization, fixed_normalization

COLOUR = Normalization(mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7), source="data")
TYPES = [torch.bfloat16, torch.float16, torch.float32, torch.float64]


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_images(num: int, *, size: int, channels: int = 3) -> torch.Tensor:
    shape = (num, channels, size, size)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=seeded(0))


def both_ways(images: torch.Tensor, augmentation: Augmentation, **settings) -> list[torch.Tensor]:
    normalization = COLOUR if images.shape[1] == 3 else fixed_normalization(1)
    seed = settings.pop("seed", 0)
    results = []
    for smallest in (1, 10**9):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(image_policy, "SMALLEST_COMPILED", smallest)
            generator = seeded(seed)
            result = augment_images(
                images, augmentation, normalization, generator=generator, **settings
            )
            results.append(result)
            results.append(generator.get_state())
    compiled, state, gathered, other_state = results
    assert torch.equal(state, other_state)
    return [compiled, gathered]


@st.composite
def augmentations(draw: st.DrawFn, size: int) -> Augmentation:
    return Augmentation(
        flip=draw(st.booleans()),
        crop=draw(st.integers(0, size)),
        cutout=draw(st.integers(0, size)),
        policy=draw(st.sampled_from([None, "trivial"])),
    )


@given(
    size=st.integers(1, 9),
    channels=st.sampled_from([1, 3]),
    seed=st.integers(0, 99),
    data=st.data(),
)
def test_both_ways_agree(size, channels, seed, data):
    images = random_images(5, size=size, channels=channels)
    order = pixel_permutation(seed, size**2) if data.draw(st.booleans()) else None
    compiled, gathered = both_ways(
        images,
        data.draw(augmentations(size)),
        permutation=order,
        dtype=data.draw(st.sampled_from(TYPES)),
        seed=seed,
    )
    assert compiled.dtype == gathered.dtype
    assert torch.equal(compiled, gathered)


@pytest.mark.parametrize("dtype", TYPES)
def test_large_batches_agree_and_leave_the_images_alone(dtype):
    images = random_images(64, size=32)
    assert images.numel() >= SMALLEST_COMPILED
    copy = images.clone()
    augmentation = Augmentation(flip=True, crop=4, cutout=16, policy="rand")
    compiled, gathered = both_ways(images, augmentation, dtype=dtype)
    assert torch.equal(compiled, gathered)
    assert torch.equal(images, copy)
    nothing, prepared = both_ways(images, Augmentation(), dtype=dtype)
    assert torch.equal(nothing, prepared)
    assert torch.equal(prepared, InputMap(COLOUR)(images, dtype=dtype))


def test_images_that_are_not_contiguous():
    images = random_images(4, size=8).permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    augmentation = Augmentation(flip=True, crop=2, cutout=2, policy="trivial")
    compiled, gathered = both_ways(images, augmentation)
    assert torch.equal(compiled, gathered)


def test_bfloat16_is_float32_rounded_once():
    images = random_images(8, size=8)
    augmentation = Augmentation(flip=True, crop=2, cutout=3)
    narrow, _ = both_ways(images, augmentation, dtype=torch.bfloat16)
    wide, _ = both_ways(images, augmentation, dtype=torch.float32)
    assert torch.equal(narrow, wide.to(torch.bfloat16))
