"""Filled outlines against Pillow's own rendering of the same fonts, and against their areas."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from training.data.generators import glyph_masks
from training.data.generators.glyph_masks import CANVAS_SIDE, FONTS, digit_masks
from training.errors import DataError


def font_file(name: str) -> Path:
    import matplotlib

    return Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{name}.ttf"


def render_by_pillow(font: str, digit: int, side: int) -> np.ndarray:
    """The digit's ink, large, cut to its bounding box and put on the canvas of a mask."""
    face = ImageFont.truetype(font_file(font), 400)
    page = Image.new("L", (1000, 1000))
    ImageDraw.Draw(page).text((300, 200), str(digit), fill=255, font=face)
    left, top, right, bottom = page.getbbox()
    height = bottom - top
    middle = (left + right) / 2, (top + bottom) / 2
    half = CANVAS_SIDE * height / 2
    box = (middle[0] - half, middle[1] - half, middle[0] + half, middle[1] + half)
    return np.asarray(page.resize((side, side), Image.Resampling.BOX, box=box)) / 255


@pytest.mark.sample(3)
@pytest.mark.parametrize("font", FONTS)
def test_masks_agree_with_pillow(font):
    masks = digit_masks(40)[FONTS.index(font)]
    for digit, mask in enumerate(masks):
        expected = render_by_pillow(font, digit, 40)
        assert np.abs(mask - expected).mean() < 0.01
        assert abs(mask.sum() / expected.sum() - 1) < 0.03


def test_finer_masks_average_to_coarser_ones():
    coarse, fine = digit_masks(16), digit_masks(64)
    averaged = fine.reshape(*fine.shape[:2], 16, 4, 16, 4).mean(axis=(3, 5))
    assert np.abs(averaged - coarse).max() < 0.3  # coverage of a pixel comes from few samples
    assert np.abs(averaged - coarse).mean() < 0.01


@pytest.mark.slow
def test_masks_have_an_empty_border_and_cannot_be_changed():
    for side in (16, 32, 96):
        masks = digit_masks(side)
        assert masks.shape == (len(FONTS), 10, side, side)
        assert masks.dtype == np.float32
        assert masks.min() == 0
        assert masks.max() <= 1
        for border in (masks[..., 0, :], masks[..., -1, :], masks[..., 0], masks[..., -1]):
            assert border.max() == 0
        assert not masks.flags.writeable


def test_a_square_with_a_hole_is_filled_by_the_nonzero_rule():
    outer = [(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)]
    inner = [(-0.25, -0.25), (-0.25, 0.25), (0.25, 0.25), (0.25, -0.25)]

    def edges(*contours):
        lines = []
        for points in contours:
            lines += [(*a, *b) for a, b in zip(points, points[1:] + points[:1], strict=True)]
        return np.array(lines, dtype=float)

    with_hole = glyph_masks._coverage(edges(outer, inner), 40)
    covered_twice = glyph_masks._coverage(edges(outer, inner[::-1]), 40)
    area = CANVAS_SIDE**2
    assert with_hole.mean() * area == pytest.approx(0.75, abs=0.001)
    assert covered_twice.mean() * area == pytest.approx(1, abs=0.001)
    assert with_hole[20, 20] == 0


def test_a_missing_font_is_one_clear_error(monkeypatch):
    monkeypatch.setattr(glyph_masks, "FONTS", ("NoSuchFont",))
    with pytest.raises(DataError, match=r"NoSuchFont\.ttf, which is not there; reinstall"):
        digit_masks(17)
