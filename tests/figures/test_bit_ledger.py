"""Ledgers side by side: every bit is in one share of a part and one of a layer."""

import pytest
from matplotlib.patches import Rectangle

from analysis.codes.ledger import Entry
from figures.bit_ledger import (
    PART_COLORS,
    NetworkLedger,
    draw_ledger,
    draw_ledgers,
    group_entries,
    new_ledger_figure,
)
from figures.style.look import figure_style, save_figure, save_figure_pair

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


ENTRIES = (
    Entry("head", "network, inputs, e4m3fn, code", 50.0),
    Entry("conv1.weight", "support, contexts: lines", 100.0),
    Entry("conv1.weight", "codebook, new", 20.0),
    Entry("conv1.weight", "values, by codebook", 60.5),
    Entry("conv1_norm.scale", "one value", 9.6),
    Entry("conv1_norm.shift", "values, in the order of units", 30.0),
    Entry("fc.weight", "support: no zeros", 1.6),
    Entry("fc.bias", "kind", 1.6),
    Entry("end", "the codeword's end", 1.2),
)


def test_rows_hold_every_bit_once():
    rows = group_entries(ENTRIES)
    assert list(rows) == ["head and end", "conv1", "fc"]
    assert rows["conv1"] == pytest.approx(
        {"support": 100.0, "codebook": 20.0, "values": 60.5, "scales, shifts, bias": 39.6}
    )
    total = sum(sum(parts.values()) for parts in rows.values())
    assert total == pytest.approx(sum(entry.bits for entry in ENTRIES))
    assert all(part in PART_COLORS for parts in rows.values() for part in parts)


def test_bars_are_as_long_as_their_parts(tmp_path):
    rows = group_entries(ENTRIES)
    with figure_style():
        figure = new_ledger_figure(len(rows))
        axes = figure.subplots()
        draw_ledger(axes, rows, title="a network")
        bars = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
        assert sum(bar.get_width() for bar in bars) == pytest.approx(
            sum(entry.bits for entry in ENTRIES)
        )
        save_figure(figure, tmp_path / "ledger.png")
    assert (tmp_path / "ledger.png").stat().st_size > 1000
