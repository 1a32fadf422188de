"""Names at lines and points: none covers another, and each is near what it names."""

from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.text import Text

from figures.style.labels import EndLabel, PointLabel, label_ends, place_labels, push_apart
from figures.style.look import figure_style, new_figure
from tests.examples import examples

PLACES = st.lists(st.floats(-100, 100), min_size=1, max_size=12).map(sorted)


def overlap(one, other):
    return not (
        one.x1 <= other.x0 or other.x1 <= one.x0 or one.y1 <= other.y0 or other.y1 <= one.y0
    )


@given(PLACES, st.floats(0, 5))
def test_places_are_apart_in_order_and_within(positions, gap):
    placed = push_apart(positions, gap, low=-120, high=120)
    assert all(b - a >= gap - 1e-9 for a, b in pairwise(placed))
    assert min(placed) >= -120 - 1e-9
    assert max(placed) <= 120 + 1e-9


@given(PLACES)
def test_places_that_are_apart_stay(positions):
    gap = min((b - a for a, b in pairwise(positions)), default=1.0)
    assert push_apart(positions, gap, low=-100, high=100) == pytest.approx(positions, abs=1e-9)


def test_places_are_the_nearest_by_least_squares():
    positions = [0.0, 0.5, 0.7, 5.0]
    placed = np.array(push_apart(positions, 1.0, low=-10, high=10))
    rng = np.random.default_rng(0)
    others = np.sort(placed + rng.normal(0, 0.3, (20_000, 4)), axis=1)
    others = others[(np.diff(others, axis=1) >= 1.0).all(axis=1)]
    assert len(others) > 100
    cost = ((placed - positions) ** 2).sum()
    assert ((others - positions) ** 2).sum(axis=1).min() >= cost - 1e-9


def test_too_many_names_start_at_the_bottom():
    assert push_apart([5, 5, 5], 4, low=0, high=6) == [0, 4, 8]


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_names_at_the_ends_do_not_overlap(scale):
    with figure_style():
        figure = new_figure(3.3, 2.5)
        axes = figure.subplots()
        ends = [100, 101, 101, 400, 900, 905]
        for end in ends:
            axes.plot([0, 1], [500, end])
        axes.set_yscale(scale)
        labels = [EndLabel(text=f"line {i}", x=1, y=end, color="k") for i, end in enumerate(ends)]
        label_ends(axes, labels)
        figure.draw_without_rendering()
        texts = list(axes.texts)
        boxes = [Text.get_window_extent(text) for text in texts]  # without the thin lines
        assert not any(overlap(a, b) for a, b in combinations(boxes, 2))
    frame = axes.get_window_extent()
    assert all(box.x0 > frame.x1 for box in boxes)
    by_name = {text.get_text(): text.get_position()[1] for text in texts}
    heights = [by_name[f"line {index}"] for index in range(len(ends))]
    assert heights == sorted(heights)


@examples(0.2)
@given(st.lists(st.tuples(st.floats(0, 10), st.floats(0, 10)), min_size=1, max_size=8))
def test_names_at_points_do_not_overlap_and_stay_inside(points):
    with figure_style():
        figure = new_figure(5, 4)
        axes = figure.subplots()
        axes.set_xlim(-2, 12)
        axes.set_ylim(-2, 12)
        for index, point in enumerate(points):
            axes.plot(*point, "o", label=f"name {index}")
        labels = [
            PointLabel(text=f"name {index}", anchors=[point], color="k")
            for index, point in enumerate(points)
        ]
        written = place_labels(axes, labels)
        figure.draw_without_rendering()
        boxes = [text.get_window_extent() for text in written]
    assert [text.get_text() for text in written] == [label.text for label in labels]
    assert [text.xy for text in written] == points
    assert not any(overlap(a, b) for a, b in combinations(boxes, 2))
    frame = axes.get_window_extent()
    assert all(frame.x0 <= box.x0 and box.x1 <= frame.x1 for box in boxes)
    assert all(frame.y0 <= box.y0 and box.y1 <= frame.y1 for box in boxes)


def test_a_name_avoids_what_is_drawn():
    with figure_style():
        figure = new_figure(3, 2)
        axes = figure.subplots()
        axes.plot([0.5, 1], [0.5, 0.5])  # right of the point, where names stand by choice
        axes.plot(0.5, 0.5, "o", label="a name")
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1)
        (text,) = place_labels(axes, [PointLabel(text="a name", anchors=[(0.5, 0.5)], color="k")])
        figure.draw_without_rendering()
        box = text.get_window_extent()
    y = axes.transData.transform((0.5, 0.5))[1]
    assert box.y0 > y or box.y1 < y


def test_thin_lines_do_not_cross_the_names_of_points_that_lie_close():
    """As in the lower right corner of accuracy against bits."""
    points = [(9.5, 1.0), (9.6, 1.02), (9.55, 1.01), (9.5, 1.2), (9.52, 1.05)]
    with figure_style():
        figure = new_figure(5, 4)
        axes = figure.subplots()
        axes.set_xlim(0, 10)
        axes.set_ylim(0, 10)
        for point in points:
            axes.plot(*point, "s")
        labels = [
            PointLabel(text=f"a network, method {index}", anchors=[point], color="k")
            for index, point in enumerate(points)
        ]
        written = place_labels(axes, labels)
        figure.draw_without_rendering()
        boxes = [Text.get_window_extent(text) for text in written]
        leaders = [text for text in axes.texts if text not in written]
        assert len(leaders) >= 2
        for leader in leaders:
            path = leader.arrow_patch.get_path().vertices
            ends = leader.arrow_patch.get_transform().transform(path)
            along = ends[0] + np.linspace(0, 1, 200)[:, None] * (ends[-1] - ends[0])
            assert not any(
                box.shrunk(0.98, 0.9).contains(*pixel) for box in boxes for pixel in along
            )


def test_no_names_are_no_work():
    figure = new_figure()
    axes = figure.subplots()
    assert place_labels(axes, []) == []
    label_ends(axes, [])
    assert not axes.texts
