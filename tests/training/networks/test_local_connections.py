"""Links of a locally connected layer against a loop over windows, and against patches."""

import itertools

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.examples import examples
from training.networks.layers import extract_patches
from training.networks.local_connections import link_places

SIZES = {
    "size": st.integers(1, 7),
    "kernel": st.sampled_from([1, 3, 5, 9]),
    "stride": st.integers(1, 3),
}


def unroll(links):
    """Every link as (place, end, source)."""
    places = np.repeat(np.arange(len(links.bounds) - 1), np.diff(links.bounds))
    return list(zip(places.tolist(), links.ends.tolist(), links.sources.tolist(), strict=True))


@examples(0.3)
@given(**SIZES)
def test_links_are_those_of_a_loop(size, kernel, stride):
    out_size = -(-size // stride)
    expected = []
    for row, column in itertools.product(range(out_size), repeat=2):
        for i, j in itertools.product(range(kernel), repeat=2):
            y, x = row * stride + i - kernel // 2, column * stride + j - kernel // 2
            if 0 <= y < size and 0 <= x < size:
                position = row * out_size + column
                expected.append((position, y * size + x, position * 1000 + i * kernel + j))
    forth, back = link_places(size, kernel, stride, 1000)
    assert sorted(unroll(forth)) == sorted(expected)
    assert sorted((end, place, source) for place, end, source in unroll(back)) == sorted(expected)
    assert forth.most == np.diff(forth.bounds).max()
    assert back.most == np.diff(back.bounds).max()


@examples(0.3)
@given(**SIZES)
def test_patches_hold_the_pixels_at_the_ends(size, kernel, stride):
    pixels = torch.arange(1.0, size**2 + 1).view(1, 1, size, size)
    patches = extract_patches(pixels, kernel, stride)[:, :, 0]
    forth, _ = link_places(size, kernel, stride, kernel**2)
    seen = torch.zeros(patches.numel())
    for _, end, source in unroll(forth):
        seen[source] = end + 1
    assert torch.equal(seen.view_as(patches), patches)
