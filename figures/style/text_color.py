"""The colour of a name: that of its line, darkened until small print can be read on white."""

from matplotlib.colors import to_hex, to_rgb

_LEAST_CONTRAST = 4.5  # to white, as WCAG 2 asks of small text


def readable(color: str) -> str:
    """The colour itself if it is dark enough on white, else a darker one of the same hue.

    >>> readable("#000000"), contrast_to_white(readable("#56b4e9")) >= 4.5
    ('#000000', True)
    """
    red, green, blue = to_rgb(color)
    share = 1.0
    while contrast_to_white((red * share, green * share, blue * share)) < _LEAST_CONTRAST:
        share -= 0.02
    return str(to_hex((red * share, green * share, blue * share)))


def contrast_to_white(color: str | tuple[float, float, float]) -> float:
    """WCAG 2's contrast of a colour to white, from 1 (white) to 21 (black).

    >>> contrast_to_white("#ffffff"), contrast_to_white("#000000")
    (1.0, 21.0)
    """
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in to_rgb(color)
    ]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return 1.05 / (luminance + 0.05)
