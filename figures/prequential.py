"""The prequential curve: bits per label of each block by the number of images seen before it."""

from dataclasses import dataclass

from matplotlib.figure import Figure

from figures.style.look import METHOD_STYLES, NETWORK_STYLES, add_note, literal, new_figure

_WIDTH, _HEIGHT = 4.6, 3.0  # inches
_PLAIN = METHOD_STYLES["sgd"]


@dataclass(frozen=True, kw_only=True)
class PrequentialCurve:
    """Blocks of labels in the order in which they were coded.

    Attributes:
        network: Name of the network that learns.
        title: What is coded, such as "glyphs, 20,000 labels".
        ends: Images seen after each block, ascending, > 0.
        bits_per_label: Of each block, >= 0.
        uniform: Bits per label of the uniform code.
    """

    network: str
    title: str
    ends: tuple[int, ...]
    bits_per_label: tuple[float, ...]
    uniform: float


def draw_prequential(curve: PrequentialCurve, *, note: str = "") -> Figure:
    """A flat line for each block from its first image to its last, and one for the uniform code.

    Args:
        curve: At least one block.
        note: Below the figure.

    Raises:
        ValueError: No block, or another number of lengths than of blocks.
    """
    if not curve.ends or len(curve.ends) != len(curve.bits_per_label):
        raise ValueError("ends must hold at least one block, and bits_per_label one for each")
    figure = new_figure(_WIDTH, _HEIGHT)
    axes = figure.subplots()
    starts = (1, *curve.ends[:-1])
    style = NETWORK_STYLES.get(curve.network, _PLAIN)
    places = [each for pair in zip(starts, curve.ends, strict=True) for each in pair]
    heights = [each for each in curve.bits_per_label for _ in range(2)]
    axes.plot(places, heights, label=literal(curve.network), **style.line(marker=""))
    axes.axhline(curve.uniform, label="uniform code", **_PLAIN.line(marker="", linestyle="--"))
    axes.set_xscale("log")
    axes.set_ylim(0, 1.1 * max(curve.uniform, *curve.bits_per_label))
    axes.set_xlabel("images seen")
    axes.set_ylabel("bits per label of the block")
    axes.set_title(literal(curve.title), loc="left")
    axes.legend(loc="lower left")
    add_note(figure, note, "The codelength is the sum over blocks: labels times bits per label.")
    return figure
