"""The picture of a ledger: what is drawn adds up to the bits there are."""

import pytest
from matplotlib.patches import Rectangle

from analysis.codes.ledger import Entry
from figures.ledger import PART_COLORS, draw_ledger, group_entries, new_ledger_figure
from figures.style.look import figure_style, save_figure

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
