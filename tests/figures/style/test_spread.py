"""Means and ranges over seeds, the note about them, and figures as pairs of files."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from figures.style.labels import contrast_to_white, readable
from figures.style.look import (
    NETWORK_STYLES,
    add_note,
    figure_style,
    layer_styles,
    new_figure,
    save_figure_pair,
    wrapped,
)
from figures.style.spread import SEEDS_NOTE, plot_spreads, seeds_note, spread

FRACTIONS = st.lists(st.floats(0, 1), min_size=1, max_size=9)


@given(FRACTIONS)
def test_the_mean_lies_within_the_range(values):
    found = spread(values)
    assert found.low == min(values)
    assert found.high == max(values)
    assert found.low <= found.mean <= found.high
    assert found.mean == pytest.approx(sum(values) / len(values))


def test_no_seed_is_no_value():
    with pytest.raises(ValueError, match="at least one value"):
        spread([])


def test_bars_are_drawn_only_over_a_range():
    axes = Figure().subplots()
    plot_spreads(axes, [1, 2], [spread([0.5]), spread([0.2, 0.6])], scale=100, color="k")
    assert list(axes.lines[0].get_ydata()) == pytest.approx([50, 40])
    (bar,) = axes.collections
    assert bar.get_segments()[0].tolist() == [[2, 20], [2, pytest.approx(60)]]


def test_seeds_are_explained_only_where_there_are_several():
    assert seeds_note([1, 3]) == SEEDS_NOTE
    assert not seeds_note([1])
    assert not seeds_note([])


def test_a_note_keeps_every_word_and_stays_inside_the_figure():
    text = "laptop scale: " + "some long words of small print, 95% of them kept, " * 8 + "the end."
    with figure_style():
        figure = new_figure(3.3, 2)
        figure.subplots()
        add_note(figure, text, "", "And this.")
        figure.draw_without_rendering()
        (note,) = [each for each in figure.texts if each.get_text()]
        extent = note.get_window_extent()
    assert note.get_text().split() == f"{text} And this.".split()
    assert extent.x1 <= figure.bbox.x1 * 1.05  # text on the screen's coarse grid is wider
    assert not new_figure().get_supxlabel()
    assert wrapped(figure, "one\ntwo") == "one\ntwo"


def test_without_sentences_there_is_no_note():
    figure = new_figure()
    add_note(figure, "", "")
    assert not figure.texts


def test_a_figure_is_two_files(tmp_path):
    with figure_style():
        figure = new_figure(2, 1)
    paths = save_figure_pair(figure, tmp_path / "figure2.v1")
    assert paths == [tmp_path / "figure2.v1.png", tmp_path / "figure2.v1.pdf"]
    assert paths[0].read_bytes().startswith(b"\x89PNG")
    assert paths[1].read_bytes().startswith(b"%PDF")
    assert sorted(tmp_path.iterdir()) == sorted(paths)


@pytest.mark.parametrize("num_layers", [1, 2, 3, 10, 21])
def test_layers_differ_and_grow_lighter(num_layers):
    styles = layer_styles([f"layer{index}" for index in range(num_layers)])
    contrasts = [contrast_to_white(style.color) for style in styles.values()]
    assert contrasts == sorted(contrasts, reverse=True)
    assert len({(style.color, style.marker, style.filled) for style in styles.values()}) == (
        num_layers
    )


@pytest.mark.parametrize("network", NETWORK_STYLES)
def test_names_can_be_read_on_white(network):
    color = NETWORK_STYLES[network].color
    assert contrast_to_white(readable(color)) >= 4.5
    if contrast_to_white(color) >= 4.5:
        assert readable(color) == color
