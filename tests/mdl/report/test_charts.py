"""What charts, tables and settings say."""

import json
from dataclasses import replace

from mdl.experiments.store.run_result import EpochPoint
from mdl.report.curves import seconds_by_epoch
from mdl.report.line_chart import (
    COUNT,
    MAX_POINTS,
    MAX_ROWS,
    SHARE,
    Chart,
    Level,
    Series,
    chart_numbers,
    draw_chart,
    thin,
)
from mdl.report.overview import setting_rows
from tests.mdl.report.test_markup import Reader

POINT = EpochPoint(
    epoch=1,
    seconds=2.0,
    train_loss=1.0,
    train_accuracy=0.5,
    validation_accuracy=None,
    test_accuracy=None,
    num_nonzeros={},
    screened={},
)


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    return reader


def make_chart(num_epochs: int) -> Chart:
    points = tuple((epoch, 1 / epoch) for epoch in range(1, num_epochs + 1))
    return Chart(
        title="Accuracy", quantity=SHARE, series=(Series(label="<run>", style=0, points=points),)
    )


def test_a_chart_says_in_words_where_its_lines_begin_and_end() -> None:
    tags = dict(read(draw_chart(make_chart(4))).tags)
    assert dict(tags["svg"])["role"] == "img"
    assert (
        dict(tags["svg"])["aria-label"]
        == "Accuracy by epoch. <run>: 100.00% at epoch 1, 25.00% at 4."
    )


def test_the_script_gets_every_value_ready_made() -> None:
    chart = make_chart(3)
    found = dict(read(draw_chart(chart)).tags)["figure"]
    data = json.loads(dict(found)["data-chart"] or "")
    assert data["epoch"] == [1, 2, 3]
    assert data["lines"][0]["text"] == ["100.00%", "50.00%", "33.33%"]
    heights = [float(y) for y in data["lines"][0]["y"]]
    assert heights == sorted(heights)  # downward


def test_long_runs_are_thinned() -> None:
    found = dict(read(draw_chart(make_chart(5000))).tags)["figure"]
    epochs = json.loads(dict(found)["data-chart"] or "")["epoch"]
    assert len(epochs) == MAX_POINTS
    assert (epochs[0], epochs[-1]) == (1, 5000)
    assert chart_numbers([make_chart(5000)]).count("<tr>") == MAX_ROWS + 1
    assert f"{MAX_ROWS} of 5,000 epochs" in chart_numbers([make_chart(5000)])
    assert thin((1, 2, 3), 3) == (1, 2, 3)


def test_levels_are_drawn_and_named() -> None:
    chart = Chart(
        title="fc1",
        quantity=COUNT,
        series=(Series(label="fc1", style=0, points=((1, 50.0), (2, 0.0))),),
        levels=(Level(kind="conv", value=9, label="conv twin 9"),),
    )
    page = draw_chart(chart)
    assert 'class="level conv"' in page
    assert "fc1: 50 at epoch 1, 0 at 2; conv twin 9." in page


def test_settings_of_runs_are_lined_up_and_those_nobody_has_are_left_out() -> None:
    rows = setting_rows(
        [
            {"lr": 0.1, "beta": None, "data": {"seed": 1}, "<b>": {"x": [1]}},
            {"lr": 0.1, "beta": None, "data": {"seed": 2}, "flip": True},
        ]
    )
    assert rows == [
        ("η, learning rate", "0.1", "0.1"),
        ("<b>", '{"x": [1]}', "–"),
        ("data seed", "1", "2"),
        ("flip", "–", "yes"),
    ]


def test_seconds_are_of_single_epochs() -> None:
    points = [replace(POINT, epoch=epoch, seconds=time) for epoch, time in ((1, 2), (2, 5), (4, 9))]
    assert seconds_by_epoch(points) == ((1, 2.0), (2, 3.0))
