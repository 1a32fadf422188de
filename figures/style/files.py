"""Every figure as two files: PNG for the screen, PDF for print."""

from pathlib import Path

from matplotlib.figure import Figure

from figures.style.look import FIGURE_SUFFIXES, save_figure


def save_figure_pair(figure: Figure, stem: Path) -> list[Path]:
    """Write a figure as `stem`.png and `stem`.pdf, each whole or not at all.

    Args:
        figure: The figure.
        stem: The files' path without a suffix. A dot in its name stays.

    Returns:
        The two files.

    Raises:
        OSError: The folder is missing or not writable.
    """
    paths = [stem.with_name(stem.name + suffix) for suffix in FIGURE_SUFFIXES]
    for path in paths:
        save_figure(figure, path)
    return paths
