"""Which pixels and positions a locally connected layer joins, and by which weights."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Links:
    """Links between places of two sides, seen from one of them.

    Attributes:
        bounds: Shape (places + 1,); place q has the links bounds[q], ..., bounds[q + 1] - 1.
        ends: Shape (links,), the place at each link's other end.
        sources: Shape (links,), where the link's weight for the first channel of both ends lies in
            the flat weights.
        most: The most links that a place has.
    """

    bounds: Indices
    ends: Indices
    sources: Indices
    most: int


@lru_cache(maxsize=64)
def link_places(size: int, kernel_size: int, stride: int, num_weights: int) -> tuple[Links, Links]:
    """The links of output positions to input pixels, and the same of pixels to positions.

    There is a link for each entry of each position's window that sees a pixel, not padding.

    Args:
        size: Side of the input in pixels.
        kernel_size: Side of the window, odd.
        stride: Pixels from one window to the next.
        num_weights: Weights of a position, in (output, channel, row, column) order.

    Two positions with a window of three that are two pixels apart, in one dimension of two:

    >>> forth, back = link_places(3, 3, 2, 9)
    >>> forth.bounds.tolist(), forth.ends[:4].tolist(), forth.sources[:4].tolist()
    ([0, 4, 8, 12, 16], [0, 1, 3, 4], [4, 5, 7, 8])
    >>> back.ends[back.bounds[4] :][:4].tolist(), back.most
    ([0, 1, 2, 3], 4)
    """
    starts = np.arange(0, size, stride, dtype=np.int64) - (kernel_size - 1) // 2
    pixels = starts[:, None] + np.arange(kernel_size)
    place, entry = np.nonzero((pixels >= 0) & (pixels < size))
    pixel = pixels[place, entry]
    position = _pair(place, place, len(starts))
    source = position * num_weights + _pair(entry, entry, kernel_size)
    pixel = _pair(pixel, pixel, size)
    num_places = len(starts) ** 2
    return _sort(position, pixel, source, num_places), _sort(pixel, position, source, size**2)


def _pair(rows: Indices, columns: Indices, num_columns: int) -> Indices:
    """Flat index of every row with every column."""
    return (rows[:, None] * num_columns + columns).ravel()


def _sort(places: Indices, ends: Indices, sources: Indices, num_places: int) -> Links:
    order = np.lexsort((sources, places))
    bounds = np.searchsorted(places[order], np.arange(num_places + 1))
    most = int(np.diff(bounds).max())
    return Links(bounds.astype(np.int64), ends[order], sources[order], most)
