"""Every operation against Pillow's own result, image by image and byte by byte."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from PIL import Image

from mdl.bench.pillow_loader import Centre, pillow_operation
from training.augment.image_policy import Draws, apply_batched, apply_compiled, rows_on
from training.kernels.image_operations import CUTOUT_COLOUR, CUTOUT_GREY
from training.spec.built_in_policies import BUILT_IN_POLICIES, built_in_policy
from training.spec.policy import (
    MIRRORED,
    OPERATIONS,
    Policy,
    PolicyStep,
    read_policy_table,
    table_policy,
)

SHARED = Path(__file__).parents[4] / "shared" / "data" / "policies"
WAYS = {"compiled": apply_compiled, "batched": apply_batched}
CPU = torch.device("cpu")
# fmt: off
MAGNITUDES = {
    "ShearX": (-1, 1), "ShearY": (-1, 1), "TranslateX": (-1.2, 1.2), "TranslateY": (-1.2, 1.2),
    "Rotate": (-200, 200), "Solarize": (0, 256), "Contrast": (0, 3), "Color": (0, 3),
    "Brightness": (0, 3), "Sharpness": (0, 3),
}
# fmt: on

Change = tuple[str, float]


def one_each(changes: list[Change]) -> Policy:
    """A policy whose sub-policy p is change p."""
    steps = (
        (PolicyStep(operation=name, probability=1.0, magnitude=magnitude),)
        for name, magnitude in changes
    )
    return Policy(name="test", subpolicies=tuple(steps))


def change_images(way: str, images: torch.Tensor, changes: list[Change]) -> torch.Tensor:
    """Image i after change i."""
    rows = rows_on(one_each(changes), images.shape[-1], CPU)
    found = rows.choices[:, 0, 0].to(torch.int64)[None]
    boxes = torch.zeros(1, 4, len(images), dtype=torch.int32)
    return WAYS[way](images, rows, Draws(rows=found, boxes=boxes))


def by_pillow(
    images: torch.Tensor, changes: list[Change], *, centre: Centre = (0.0, 0.0)
) -> torch.Tensor:
    results = []
    for image, (name, magnitude) in zip(images, changes, strict=True):
        array = image[0] if len(image) == 1 else image.permute(1, 2, 0)
        pillow = Image.fromarray(array.contiguous().numpy())
        pillow = pillow_operation(pillow, name, magnitude, centre=centre)
        result = torch.from_numpy(np.array(pillow))
        results.append(result[None] if len(image) == 1 else result.permute(2, 0, 1))
    return torch.stack(results)


def random_image(seed: int, *, size: int, channels: int, low: int, high: int) -> torch.Tensor:
    """Values from `low` to `high`, in two halves of different darkness."""
    generator = torch.Generator().manual_seed(seed)
    image = torch.randint(low, high + 1, (1, channels, size, size), generator=generator)
    image[..., : size // 2] = image[..., : size // 2] // 2
    return image.to(torch.uint8)


@st.composite
def change(draw: st.DrawFn) -> Change:
    name = draw(st.sampled_from([name for name in OPERATIONS if name != "Cutout"]))
    if name == "Posterize":
        return name, draw(st.integers(1, 8))
    low, high = MAGNITUDES.get(name, (0, 0))
    return name, draw(st.floats(low, high) | st.integers(int(np.ceil(low)), int(high)))


@st.composite
def one_image(draw: st.DrawFn) -> torch.Tensor:
    low, high = sorted(draw(st.tuples(st.integers(0, 255), st.integers(0, 255))))
    size = draw(st.integers(1, 20) | st.just(32))
    channels = draw(st.sampled_from([1, 3]))
    return random_image(draw(st.integers(0, 999)), size=size, channels=channels, low=low, high=high)


@pytest.mark.parametrize("way", WAYS)
@given(one=change(), image=one_image())
def test_any_change_is_pillows(way, one, image):
    if one[0].startswith("Translate"):  # Very near to a half, Pillow's sum along a row drifts.
        shift = one[1] * image.shape[-1] + 0.5
        assume(shift == round(shift) or abs(shift - round(shift)) > 1e-9)
    before = image.clone()
    assert torch.equal(change_images(way, image, [one]), by_pillow(image, [one]))
    assert torch.equal(image, before)


def all_changes(policy: Policy) -> list[Change]:
    """Every step of a policy with both signs, apart from Cutout."""
    steps = [step for subpolicy in policy.subpolicies for step in subpolicy]
    signs = [(step, sign) for step in steps for sign in (1, -1) if step.operation != "Cutout"]
    return [
        (step.operation, sign * step.magnitude)
        for step, sign in signs
        if sign == 1 or step.operation in MIRRORED
    ]


@pytest.mark.sample(3)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", BUILT_IN_POLICIES)
def test_every_step_of_the_built_in_policies_is_pillows(way, channels, name):
    changes = all_changes(built_in_policy(name))
    images = [
        random_image(seed, size=32, channels=channels, low=seed % 90, high=255 - seed % 70)
        for seed in range(len(changes))
    ]
    stacked = torch.cat(images)
    assert torch.equal(change_images(way, stacked, changes), by_pillow(stacked, changes))


@pytest.mark.sample(3)
@pytest.mark.real_data
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["cifar10", "svhn"])
def test_every_step_of_the_published_tables_is_pillows(way, name):
    path = SHARED / f"fast_autoaugment_{name}.json"
    if not path.exists():
        pytest.skip("../shared/data is not there")
    changes = all_changes(table_policy(name, read_policy_table(path)))
    assert len(changes) > 900
    images = torch.cat(
        [
            random_image(seed, size=32, channels=3, low=seed % 90, high=255 - seed % 70)
            for seed in range(len(changes))
        ]
    )
    assert torch.equal(change_images(way, images, changes), by_pillow(images, changes))


def test_values_beyond_255_of_an_equalized_image_are_clipped():
    # 508 pixels below the brightest value: the step is 1 and the last level would be 508 // 1.
    image = torch.zeros(1, 1, 24, 24, dtype=torch.uint8)
    image.flatten()[:508] = torch.arange(508) % 200
    image.flatten()[508:] = 255
    for way in WAYS:
        result = change_images(way, image, [("Equalize", 0)])
        assert result.max() == 255
        assert torch.equal(result, by_pillow(image, [("Equalize", 0)]))


@pytest.mark.parametrize("way", WAYS)
@given(image=one_image(), share=st.floats(0, 1), data=st.data())
def test_cutout_is_pillows_rectangle(way, image, share, data):
    size = image.shape[-1]
    x, y = (data.draw(st.floats(0, size, exclude_max=True, width=32)) for _ in range(2))
    rows = rows_on(one_each([("Cutout", share)]), size, CPU)
    row = rows.choices[:, 0, 0].to(torch.int64)
    half = float(rows.half_sides[row])
    # At an integer, float32 and Pillow's float64 may round to different pixels.
    assume(all(abs(v - half - round(v - half)) > 1e-5 for v in (x, y)))
    first = (torch.tensor([x, y]) - rows.half_sides[row]).clamp(min=0).to(torch.int32)
    last = (first + rows.extents[row]).clamp(max=size)
    draws = Draws(rows=row[None], boxes=torch.cat([first, last])[None, :, None])
    result = WAYS[way](image, rows, draws)
    assert torch.equal(result, by_pillow(image, [("Cutout", share)], centre=(x, y)))


def test_cutouts_grey_is_the_grey_of_its_colour():
    assert Image.new("RGB", (1, 1), CUTOUT_COLOUR).convert("L").getpixel((0, 0)) == CUTOUT_GREY
