"""Curves by epoch: loss and accuracy, seconds, and the screened share of sparse training."""

from collections.abc import Callable, Sequence
from operator import attrgetter

from mdl.experiments.store.run_result import EpochPoint
from mdl.report.line_chart import AMOUNT, SHARE, Chart, Points, Series, draw_chart
from mdl.report.marks import legend
from mdl.report.markup import Markup, element
from mdl.report.run_files import ReportedRun
from mdl.report.tables import chart_numbers

_SPLITS = {
    "train_accuracy": "training, with augmentation",
    "validation_accuracy": "validation",
    "test_accuracy": "test",
}
_TITLES = {
    "train_accuracy": "Training accuracy (augmented)",
    "validation_accuracy": "Validation accuracy",
    "test_accuracy": "Test accuracy",
}


def draw_curves(runs: Sequence[ReportedRun]) -> Markup:
    """Loss and accuracy. Of one run the splits share a chart; of several each split has its own."""
    loss = _by_run("Training loss", runs, lambda point: point.train_loss)
    if not loss:
        return element("p", "No epoch is done yet, or no metrics.jsonl lies beside the checkpoint.")
    if len(runs) > 1:
        return _chart_grid(
            [Chart(title="Training loss", quantity=AMOUNT, series=loss), *_accuracies(runs)], runs
        )
    accuracy = Chart(title="Accuracy", quantity=SHARE, series=_splits(runs[0]))
    first = Chart(title="Training loss", quantity=AMOUNT, series=loss)
    key = legend([each.label for each in accuracy.series])
    drawn = [draw_chart(first), draw_chart(accuracy, key=key)]
    return element("div", element("div", drawn, class_="charts"), chart_numbers([first, accuracy]))


def draw_seconds(runs: Sequence[ReportedRun]) -> Markup | None:
    """Seconds of each epoch; None where no run has two epochs."""
    series = tuple(
        Series(label=run.name, style=style, points=seconds_by_epoch(run.points))
        for style, run in enumerate(runs)
    )
    if not any(each.points for each in series):
        return None
    return _chart_grid([Chart(title="Seconds of an epoch", quantity=AMOUNT, series=series)], runs)


def draw_screened(runs: Sequence[ReportedRun]) -> Markup | None:
    """Screened share by layer; None where all layers were dense."""
    names = dict.fromkeys(name for run in runs for point in run.points for name in point.screened)
    charts = [
        Chart(
            title=f"{name}: rows screened",
            quantity=SHARE,
            series=_by_run(name, runs, _screened(name)),
        )
        for name in names
    ]
    return _chart_grid(charts, runs) if charts else None


def seconds_by_epoch(points: Sequence[EpochPoint]) -> Points:
    """Seconds from the end of each epoch to that of the next; the first counts from the start."""
    found = []
    before = 0.0
    for index, point in enumerate(points):
        # A gap in the epochs, as in a checkpoint alone, says nothing about one epoch.
        if point.epoch == (points[index - 1].epoch + 1 if index else 1):
            found.append((point.epoch, max(0.0, point.seconds - before)))
        before = point.seconds
    return tuple(found)


def _screened(layer: str) -> Callable[[EpochPoint], float | None]:
    return lambda point: point.screened.get(layer)


def _accuracies(runs: Sequence[ReportedRun]) -> list[Chart]:
    """A chart a split, all on one scale."""
    found = {title: _by_run(title, runs, attrgetter(field)) for field, title in _TITLES.items()}
    shared = [y for series in found.values() for each in series for _, y in each.points]
    ends = (min(shared), max(shared))
    return [
        Chart(title=title, quantity=SHARE, series=series, shared=ends)
        for title, series in found.items()
        if series
    ]


def _splits(run: ReportedRun) -> tuple[Series, ...]:
    found = [(label, _points(run.points, attrgetter(field))) for field, label in _SPLITS.items()]
    kept = [(label, points) for label, points in found if points]
    return tuple(
        Series(label=label, style=style, points=points)
        for style, (label, points) in enumerate(kept)
    )


def _by_run(
    title: str, runs: Sequence[ReportedRun], value: Callable[[EpochPoint], float | None]
) -> tuple[Series, ...]:
    """A line for every run that has a value."""
    return tuple(
        Series(label=run.name if len(runs) > 1 else title, style=style, points=points)
        for style, run in enumerate(runs)
        if (points := _points(run.points, value))
    )


def _points(points: Sequence[EpochPoint], value: Callable[[EpochPoint], float | None]) -> Points:
    return tuple((point.epoch, y) for point in points if (y := value(point)) is not None)


def _chart_grid(charts: Sequence[Chart], runs: Sequence[ReportedRun]) -> Markup:
    return element(
        "div",
        legend([run.name for run in runs]) if len(runs) > 1 else None,
        element(
            "div",
            (draw_chart(chart) for chart in charts),
            class_="charts four" if len(charts) == 4 else "charts",
        ),
        chart_numbers(charts),
    )
