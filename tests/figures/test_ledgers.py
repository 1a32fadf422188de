"""Ledgers side by side: every bit is in one share of a part and one of a layer."""

import pytest

from figures.ledgers import NetworkLedger, draw_ledgers
from figures.style.files import save_figure_pair
from figures.style.look import figure_style

SMALL = NetworkLedger(
    label="d-conv",
    rows={
        "head and end": {"head and end": 10.0},
        "conv1": {"support": 30.0, "values": 20.0},
        "fc1": {"values": 15.0, "marks": 5.0},
        "conv2": {"values": 20.0},
    },
)
LARGE = NetworkLedger(label="s-fc", rows={"conv1": {"support": 3e6}, "fc1": {"values": 1e6}})


def draw(ledgers, **settings):
    with figure_style():
        return draw_ledgers(ledgers, **settings)


def test_totals_and_shares_are_the_data(tmp_path):
    figure = draw([SMALL, LARGE], note="small")
    total, parts, layers = figure.axes
    assert list(total.lines[0].get_xdata()) == [100, 4e6]
    assert [text.get_text() for text in total.texts] == ["100.0", "4.0 M"]
    for axes in (parts, layers):
        by_row = {}
        for bar in axes.patches:
            by_row.setdefault(round(bar.get_y() + bar.get_height() / 2), []).append(bar)
        for bars in by_row.values():
            assert sum(bar.get_width() for bar in bars) == pytest.approx(1)
            ends = [bar.get_x() + bar.get_width() for bar in bars]
            starts = [bar.get_x() for bar in bars]
            assert starts == pytest.approx([0, *ends[:-1]])
    widths = sorted(bar.get_width() for bar in parts.patches)
    assert widths == pytest.approx(sorted([0.1, 0.3, 0.55, 0.05, 0.75, 0.25]))
    for path in save_figure_pair(figure, tmp_path / "ledgers"):
        assert path.stat().st_size > 5_000


def test_layers_are_in_the_order_of_the_network_and_all_are_named():
    _, parts, layers = draw([LARGE, SMALL]).axes

    def named(axes):
        return [text.get_text() for text in axes.get_legend().get_texts()]

    assert named(layers) == ["conv1", "conv2", "fc1", "head and end"]
    assert set(named(parts)) == {"support", "values", "head and end", "marks"}


def test_the_names_of_a_deep_network_stay_on_the_page():
    layers = [*(f"conv{index}" for index in range(1, 9)), "fc1", "fc2"]
    bits = {"support": 3.0, "values": 10.0, "scales, shifts, bias": 1.0}
    rows = dict.fromkeys(layers, bits) | {"head and end": {"head and end": 1.0}}
    with figure_style():
        figure = draw_ledgers([NetworkLedger(label="s-fc, β-lasso, β = 50", rows=rows)])
        figure.draw_without_rendering()
        for axes in figure.axes[1:]:
            assert axes.get_legend().get_window_extent().x1 <= figure.bbox.x1


def test_large_shares_have_their_percentage():
    layers = draw([LARGE]).axes[2]
    assert [text.get_text() for text in layers.texts] == ["75", "25"]


def test_bad_input():
    for ledgers in ([], [LARGE, NetworkLedger(label="empty", rows={})]):
        with pytest.raises(ValueError, match="each with bits"):
            draw_ledgers(ledgers)
