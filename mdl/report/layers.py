"""Nonzeros by layer over training, beside the weights of the conv and local twins (Figure 3)."""

from collections.abc import Sequence

from analysis.quantize.nonzeros import twin_weight_counts
from mdl.report.line_chart import COUNT, Chart, Level, Series, draw_chart
from mdl.report.marks import legend, line_sample
from mdl.report.markup import Markup, element
from mdl.report.run_files import ReportedRun
from mdl.report.tables import chart_numbers, details, table

_TWINS = {"conv": "conv twin", "local": "local twin"}


def draw_layers(runs: Sequence[ReportedRun]) -> Markup:
    """A chart a layer, then the counts of the saved networks."""
    names = dict.fromkeys(name for run in runs for name in run.layer_names)
    charts = [chart for name in names if (chart := _layer_chart(name, runs)) is not None]
    has_levels = any(chart.levels for chart in charts)
    notes = [line_sample(kind, f"weights of the {twin}") for kind, twin in _TWINS.items()]
    labels = [run.name for run in runs] if len(runs) > 1 else []
    return element(
        "div",
        legend(labels, notes=notes if has_levels else ()) if labels or has_levels else None,
        element("div", (draw_chart(chart) for chart in charts), class_="charts"),
        chart_numbers(charts) if charts else None,
        _counts_table(names, runs),
    )


def _layer_chart(name: str, runs: Sequence[ReportedRun]) -> Chart | None:
    series = []
    for style, run in enumerate(runs):
        points = tuple(
            (point.epoch, float(point.num_nonzeros[name]))
            for point in run.points
            if name in point.num_nonzeros
        )
        if points:
            series.append(
                Series(label=run.name if len(runs) > 1 else name, style=style, points=points)
            )
    if not series:
        return None
    return Chart(title=name, quantity=COUNT, series=tuple(series), levels=_levels(name, runs))


def _levels(name: str, runs: Sequence[ReportedRun]) -> tuple[Level, ...]:
    """The twins' weights: one line each where all runs agree, else one in each run's colour."""
    by_run = [_twin_weights(run) for run in runs]
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


def _twin_weights(run: ReportedRun) -> dict[str, dict[str, int]]:
    return {} if run.checkpoint is None else twin_weight_counts(run.checkpoint.network)


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
    rows.append(("sum", *(cell for run in saved for cell in _sums(run))))
    return details(
        "Weights and nonzeros of the saved networks", table(columns, rows, title="Weights by layer")
    )


def _cells(run: ReportedRun, name: str) -> tuple[str, ...]:
    if run.checkpoint is None or name not in run.checkpoint.num_nonzeros:
        return ("",) * (3 + len(_TWINS))
    weights = next(
        layer.num_weights for layer in run.checkpoint.network.layers if layer.name == name
    )
    twins = _twin_weights(run)
    beside = (f"{twins[kind][name]:,}" if kind in twins else "" for kind in _TWINS)
    nonzeros = run.checkpoint.num_nonzeros[name]
    return f"{weights:,}", f"{nonzeros:,}", f"{nonzeros / weights:.2%}", *beside


def _sums(run: ReportedRun) -> tuple[str, ...]:
    if run.checkpoint is None:
        return ("",) * (3 + len(_TWINS))
    weights = run.checkpoint.network.num_weights
    nonzeros = sum(run.checkpoint.num_nonzeros.values())
    twins = _twin_weights(run)
    beside = (f"{sum(twins[kind].values()):,}" if kind in twins else "" for kind in _TWINS)
    return f"{weights:,}", f"{nonzeros:,}", f"{nonzeros / weights:.2%}", *beside
