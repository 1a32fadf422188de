"""Figure 3: marks are the nonzeros, lines the sizes of the twins, zero has a place."""

import pytest

from figures.nonzeros import LayerPanel, TrainedNonzeros, draw_nonzeros
from figures.style.look import figure_style, save_figure_pair

CONV1 = LayerPanel(
    layer="conv1",
    num_weights=900_000,
    references={"s-conv": 2_916, "s-local": 74_000},
    trained=(
        TrainedNonzeros(label="CIFAR-10", num_nonzeros=(9_000, 11_000)),
        TrainedNonzeros(label="SVHN", num_nonzeros=(20_000,)),
    ),
)
FC1 = LayerPanel(
    layer="fc1",
    num_weights=5_000,
    references={"s-conv": 5_000, "s-local": 5_000},
    trained=(
        TrainedNonzeros(label="CIFAR-10", num_nonzeros=(0,)),
        TrainedNonzeros(label="SVHN", num_nonzeros=(5_000,)),
    ),
)


def draw(*panels):
    with figure_style():
        return draw_nonzeros(panels)


def lines(axes):
    return {line.get_label(): line for line in axes.lines}


def test_marks_and_lines_are_the_data(tmp_path):
    figure = draw(CONV1, FC1)
    left, right = figure.axes
    assert list(lines(left)["CIFAR-10"].get_ydata()) == [10_000]
    assert list(lines(left)["SVHN"].get_xdata()) == [1]
    assert list(lines(left)["SVHN"].get_ydata()) == [20_000]
    assert set(lines(left)["s-conv"].get_ydata()) == {2_916}
    assert set(lines(left)["s-local"].get_ydata()) == {74_000}
    assert lines(left)["s-conv"].get_linestyle() == "--"
    assert left.get_yscale() == "log"
    assert left.get_ylim() == right.get_ylim()
    assert [text.get_text() for text in left.get_xticklabels()] == ["CIFAR-10", "SVHN"]
    for path in save_figure_pair(figure, tmp_path / "figure3"):
        assert path.stat().st_size > 5_000


def test_counts_are_written_and_lines_of_one_size_share_a_name():
    left, right = draw(CONV1, FC1).axes
    written = {text.get_text() for text in left.texts}
    assert written >= {"10.0 k\n1.1%", "20.0 k\n2.2%", "s-conv", "s-local", "s-fc, all weights"}
    assert {text.get_text() for text in right.texts} >= {
        "0\n0%",
        "5.0 k\n100%",
        "s-conv = s-local = s-fc",
    }


def test_no_nonzeros_stand_at_zero_below_everything():
    left, right = draw(CONV1, FC1).axes
    (height,) = lines(right)["CIFAR-10"].get_ydata()
    assert 0 < height < 1_000
    assert left.get_yticks(minor=True).tolist() == [height]
    assert [text.get_text() for text in left.get_yticklabels(minor=True)] == ["0"]


def test_an_empty_layer_alone_can_be_drawn(tmp_path):
    alone = LayerPanel(
        layer="fc2",
        num_weights=1,
        references={},
        trained=(TrainedNonzeros(label="a", num_nonzeros=(0, 0)),),
    )
    save_figure_pair(draw(alone), tmp_path / "zero")


def test_nothing_to_draw():
    empty = LayerPanel(layer="fc1", num_weights=5, references={}, trained=())
    for panels in ([], [CONV1, empty]):
        with pytest.raises(ValueError, match="at least one network"):
            draw_nonzeros(panels)
