"""Figure 1: the artists hold the data, and the file is written without pyplot."""

import subprocess
import sys
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from analysis.scaling.growth import Block, Curve, describe_blocks
from figures.scaling import ScalingFigure, draw_architectures, draw_scaling, draw_weights
from figures.style.look import NETWORK_STYLES, figure_style, new_figure, save_figure

CURVES = (
    Curve(network="s-conv", x=(1, 2, 4), num_weights=(10, 40, 160)),
    Curve(network="d-local", x=(1, 2, 4), num_weights=(30, 90, 300), as_printed=(9.5, 30.0, 99.0)),
)


def scaling_figure(curves=CURVES):
    return ScalingFigure(
        diagrams={
            name: describe_blocks(name, image_size=32, num_classes=10)
            for name in ("d-conv", "s-conv")
        },
        by_width=curves,
        by_side=curves,
        width_note="s = 32",
        side_note="α = 15",
        limit=100.0,
        limit_note="16-bit V100",
    )


def test_lines_hold_the_curves_and_the_limit():
    ax = Figure().subplots()
    draw_weights(ax, CURVES, limit=123.0, limit_note="the limit")
    lines = {line.get_label(): line for line in ax.get_lines()}
    assert set(lines) == {"s-conv", "d-local", "d-local, as printed", "memory limit"}
    for curve in CURVES:
        assert tuple(lines[curve.network].get_xdata()) == curve.x
        assert tuple(lines[curve.network].get_ydata()) == curve.num_weights
        assert lines[curve.network].get_linestyle() == "-"
        assert lines[curve.network].get_color() == NETWORK_STYLES[curve.network].color
    assert tuple(lines["d-local, as printed"].get_ydata()) == CURVES[1].as_printed
    assert lines["d-local, as printed"].get_linestyle() == "--"
    assert lines["memory limit"].get_linestyle() == ":"
    assert set(lines["memory limit"].get_ydata()) == {123.0}
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert [text.get_text() for text in ax.texts] == ["the limit"]


def test_diagrams_name_every_layer_and_grow_with_channels_and_side():
    ax = Figure().subplots()
    diagrams = scaling_figure().diagrams
    draw_architectures(ax, diagrams)
    texts = [text.get_text() for text in ax.texts]
    for name, blocks in diagrams.items():
        assert name in texts
        for block in blocks:
            assert block.label in texts
    num_blocks = sum(map(len, diagrams.values()))
    assert len(ax.patches) == 3 * num_blocks  # front, side and top of each
    fronts = [patch.get_xy() for patch in ax.patches[::3]][1:9]  # d-conv's convolutions
    widths = [front[:, 0].max() - front[:, 0].min() for front in fronts]
    heights = [front[:, 1].max() - front[:, 1].min() for front in fronts]
    assert widths == sorted(widths, reverse=True)
    assert heights == sorted(heights)
    assert heights[-1] == pytest.approx(4 * heights[0])  # √(16α) against √α


@pytest.mark.slow
@pytest.mark.parametrize(("suffix", "magic"), [(".png", b"\x89PNG"), (".pdf", b"%PDF")])
def test_files_are_written_whole_and_alike(tmp_path, suffix, magic):
    contents = []
    for name in ("a", "b"):
        with figure_style():
            figure = draw_scaling(scaling_figure())
        save_figure(figure, tmp_path / f"{name}{suffix}")
        contents.append((tmp_path / f"{name}{suffix}").read_bytes())
    assert contents[0].startswith(magic)
    assert contents[0] == contents[1]
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"a{suffix}", f"b{suffix}"]


def test_other_formats_are_refused_before_writing(tmp_path):
    with pytest.raises(ValueError, match=r"must end in \.png or \.pdf, not 'a\.svg'"):
        save_figure(new_figure(), tmp_path / "a.svg")
    assert not list(tmp_path.iterdir())


def test_every_network_looks_different():
    looks = {(style.color, style.marker, style.filled) for style in NETWORK_STYLES.values()}
    assert len(looks) == len(NETWORK_STYLES)
    assert len({style.color for style in NETWORK_STYLES.values()}) == len(NETWORK_STYLES)


def test_style_ends_with_its_context():
    import matplotlib

    before = dict(matplotlib.rcParams)
    with figure_style():
        assert matplotlib.rcParams["savefig.dpi"] == 200
    assert dict(matplotlib.rcParams) == before


@pytest.mark.process
@pytest.mark.slow
def test_neither_pyplot_nor_torch_is_loaded():
    code = "import sys, figures.scaling; print({'matplotlib.pyplot', 'torch'} & set(sys.modules))"
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"


def test_a_block_is_plain_data():
    block = Block(label="fc (c)", kind="fc", channels=10, scales=False, side=1)
    assert block.label == "fc (c)"
