"""Curves by epoch: loss and accuracy, nonzeros by layer beside the twins (Figure 3), time."""

from collections.abc import Callable, Sequence
from operator import attrgetter

from analysis.quantize.nonzeros import twin_weight_counts
from mdl.experiments.store.run_result import EpochPoint
from mdl.report.line_chart import (
    AMOUNT,
    COUNT,
    SHARE,
    Chart,
    Level,
    Points,
    Series,
    chart_numbers,
    draw_chart,
)
from mdl.report.markup import Markup, details, element, legend, line_sample, table
from mdl.report.run_files import ReportedRun

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
_TWINS = {"conv": "conv twin", "local": "local twin"}


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
    kept = tuple(each for each in series if each.points)
    return _chart_grid([Chart(title="Seconds of an epoch", quantity=AMOUNT, series=kept)], runs)


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
    drawn = {each.style for chart in charts for each in chart.series}
    names = [run.name if style in drawn else "" for style, run in enumerate(runs)]
    return element(
        "div",
        legend(names) if len(runs) > 1 else None,
        element(
            "div",
            (draw_chart(chart) for chart in charts),
            class_="charts four" if len(charts) == 4 else "charts",
        ),
        chart_numbers(charts),
    )


def draw_layers(runs: Sequence[ReportedRun]) -> Markup:
    """A chart a layer, then the counts of the saved networks."""
    names = dict.fromkeys(name for run in runs for name in run.layer_names)
    charts = [chart for name in names if (chart := _layer_chart(name, runs)) is not None]
    has_levels = any(chart.levels for chart in charts)
    notes = [line_sample(kind, f"weights of the {twin}") for kind, twin in _TWINS.items()]
    drawn = {each.style for chart in charts for each in chart.series}
    drawn |= {each.style for chart in charts for each in chart.levels if each.style is not None}
    labels = [run.name if style in drawn else "" for style, run in enumerate(runs)]
    labels = labels if len(runs) > 1 else []
    return element(
        "div",
        legend(labels, notes=notes if has_levels else ()) if labels or has_levels else None,
        element("div", (draw_chart(chart) for chart in charts), class_="charts"),
        chart_numbers(charts) if charts else None,
        _counts_table(names, runs),
    )


def _layer_chart(name: str, runs: Sequence[ReportedRun]) -> Chart | None:
    series = _by_run(name, runs, lambda point: point.num_nonzeros.get(name))
    if not series:
        return None
    return Chart(title=name, quantity=COUNT, series=series, levels=_levels(name, runs))


def _levels(name: str, runs: Sequence[ReportedRun]) -> tuple[Level, ...]:
    """The twins' weights: one line each where all runs agree, else one in each run's colour."""
    saved = [run.checkpoint for run in runs]
    by_run = [{} if each is None else twin_weight_counts(each.network) for each in saved]
    levels = []
    for kind, title in _TWINS.items():
        values = {
            style: twins[kind][name]
            for style, twins in enumerate(by_run)
            if name in twins.get(kind, {})
        }
        if len(set(values.values())) == 1:
            common = next(iter(values.values()))
            levels.append(Level(kind=kind, value=common, label=f"{title} {common:,}"))
        else:
            levels += [
                Level(kind=kind, value=value, label="", style=style)
                for style, value in values.items()
            ]
    if len(levels) == len(_TWINS) and levels[0].label and levels[0].value == levels[1].value:
        both = levels[0].value
        return (Level(kind="conv", value=both, label=f"conv and local twin {both:,.0f}"),)
    return tuple(levels)


def _counts_table(
    names: Sequence[str] | dict[str, None], runs: Sequence[ReportedRun]
) -> Markup | None:
    saved = [run for run in runs if run.checkpoint is not None]
    if not saved:
        return None
    columns = ["layer"]
    for run in saved:
        of = f"{run.name}: " if len(saved) > 1 else ""
        columns += [f"{of}weights", "nonzeros", "density", *_TWINS.values()]
    rows = [(name, *(cell for run in saved for cell in _cells(run, name))) for name in names]
    rows.append(("sum", *(cell for run in saved for cell in _cells(run, None))))
    return details(
        "Weights and nonzeros of the saved networks", table(columns, rows, title="Weights by layer")
    )


def _cells(run: ReportedRun, name: str | None) -> tuple[str, ...]:
    """Of one layer, or the sums over all of them."""
    saved = run.checkpoint
    if saved is None or (name is not None and name not in saved.num_nonzeros):
        return ("",) * (3 + len(_TWINS))

    def pick(counts: dict[str, int]) -> int:
        return sum(counts.values()) if name is None else counts[name]

    weights = pick({layer.name: layer.num_weights for layer in saved.network.layers})
    nonzeros = pick(saved.num_nonzeros)
    twins = twin_weight_counts(saved.network)
    beside = (f"{pick(twins[kind]):,}" if kind in twins else "" for kind in _TWINS)
    return f"{weights:,}", f"{nonzeros:,}", f"{nonzeros / weights:.2%}", *beside
