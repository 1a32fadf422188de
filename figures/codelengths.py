"""Codelength against test error: does what learns faster err less on other images?"""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from figures.style.look import METHOD_STYLES, NETWORK_STYLES, add_note, literal, new_figure

_WIDTH, _HEIGHT = 3.0, 3.2  # inches, of a panel
_COLUMNS_A_PANEL = 2  # of the legend


@dataclass(frozen=True, kw_only=True)
class CodelengthPoint:
    """A network that was trained block by block.

    Attributes:
        label: As the legend has it.
        network: Its name.
        method: "sgd" or "beta-lasso".
        bits_per_label: Mean length of a label.
        test_error: After training on all labels, a fraction.
    """

    label: str
    network: str
    method: str
    bits_per_label: float
    test_error: float


@dataclass(frozen=True, kw_only=True)
class CodelengthPanel:
    """The networks on one data set.

    Attributes:
        title: What is coded.
        points: At least one.
    """

    title: str
    points: tuple[CodelengthPoint, ...]


def draw_codelengths(panels: Sequence[CodelengthPanel]) -> Figure:
    """A panel a data set, a point a network; both axes begin at 0.

    Args:
        panels: At least one.

    Raises:
        ValueError: No panel.
    """
    if not panels:
        raise ValueError("panels must hold at least one data set")
    figure = new_figure(_WIDTH * len(panels), _HEIGHT)
    handles: dict[str, Artist] = {}
    for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        for point in panel.points:
            style = (
                METHOD_STYLES["sgd"]
                if (point.network, point.method) == ("s-fc", "sgd")
                else NETWORK_STYLES.get(point.network, METHOD_STYLES["sgd"])
            )
            (handle,) = axes.plot(
                [point.bits_per_label], [point.test_error], **style.line(linestyle="")
            )
            handles.setdefault(literal(point.label), handle)
        axes.set_xlim(0, 1.15 * max(point.bits_per_label for point in panel.points))
        axes.set_ylim(0, 1.15 * max(point.test_error for point in panel.points))
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
        axes.set_xlabel("bits per label, prequential")
        axes.set_title(literal(panel.title), loc="left")
    figure.axes[0].set_ylabel("test error")
    columns = min(len(handles), _COLUMNS_A_PANEL * len(panels))
    figure.legend(list(handles.values()), list(handles), loc="outside upper center", ncols=columns)
    add_note(figure, "One seed; test error of the network that was trained on all labels.")
    return figure
