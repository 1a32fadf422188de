"""How the layers of a network are told apart: from dark (first) to light (last), and by marker."""

from collections.abc import Sequence

import matplotlib
from matplotlib.colors import to_hex

from figures.style.look import NetworkStyle

_MARKERS = "osD^vPX<>"
_LIGHTEST = 0.72  # of viridis: lighter ones fade on white


def layer_styles(names: Sequence[str]) -> dict[str, NetworkStyle]:
    """A style for each layer, in the order of the layers.

    Lightness grows evenly from layer to layer, so that their order is seen in grey too.

    >>> [style.marker for style in layer_styles(["conv1", "fc1", "fc2"]).values()]
    ['o', 's', 'D']
    """
    names = list(dict.fromkeys(names))
    colors = matplotlib.colormaps["viridis"]
    step = _LIGHTEST / max(1, len(names) - 1)
    return {
        name: NetworkStyle(
            color=to_hex(colors(index * step)),
            marker=_MARKERS[index % len(_MARKERS)],
            filled=index // len(_MARKERS) % 2 == 0,
        )
        for index, name in enumerate(names)
    }
