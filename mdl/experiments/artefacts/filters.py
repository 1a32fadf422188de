"""First-layer filters as pictures (Figures 4 and 7 to 9), and how local they are by method."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from figures.filters import FilterGrid, draw_filter_grids
from figures.locality import LocalityRow, MeasuredLocality, draw_locality
from mdl.experiments.artefacts.method_runs import (
    BETA_LASSO,
    FULLY_CONNECTED,
    SGD,
    ComparedNetwork,
    TrainingMethod,
    compared_networks,
    method_runs,
    network_runs,
)
from mdl.experiments.reproduce.artefact import DataSetArtefact, OneDataSet
from mdl.experiments.reproduce.footnotes import figure_note, scale_note
from mdl.experiments.reproduce.paper_numbers import DATA_SETS, paper_data_set
from mdl.experiments.reproduce.run_plan import RunPlan
from mdl.experiments.reproduce.scale import CHOSEN_NETWORK, Scale
from mdl.experiments.reproduce.tables import Cell, Column, Table, row_text, seed_mean
from mdl.experiments.store.result_store import Results, ResultStore
from mdl.experiments.store.run_result import FilterLocality, RunResult
from mdl.terminal.console import epochs_text

_BESIDE, _ALONE = 16, 24  # filters drawn
_COLUMNS_BESIDE, _COLUMNS_ALONE = 4, 6
_LOCALITY_BY_SGD = ("s-local", "d-fc", "3-fc")


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A network and how it is trained.

    Attributes:
        network: "s-fc" or "s-local".
        training: How s-fc is trained; None for SGD with the settings of Table 1.
    """

    network: str
    training: TrainingMethod | None = None

    @property
    def title(self) -> str:
        """Network and method."""
        return f"{self.network}, {'SGD' if self.training is None else self.training.label}"

    def results(self, scale: Scale, runs: RunPlan) -> list[RunResult]:
        """Need its long runs."""
        if self.training is None:
            return network_runs(scale, runs, self.network)
        return method_runs(scale, runs, self.training)


S_FC_SGD = Trained(network="s-fc", training=SGD)
S_FC_BETA_LASSO = Trained(network="s-fc", training=BETA_LASSO)
S_LOCAL_SGD = Trained(network="s-local")
_COMPARED = (S_FC_SGD, S_FC_BETA_LASSO, S_LOCAL_SGD)


class Figure4(DataSetArtefact[list[list[RunResult]]]):
    """Filters of s-fc by SGD, s-fc by β-lasso and s-local by SGD, a picture a data set."""

    name = "figure4"
    about = "First-layer filters of s-fc by SGD and by β-lasso, and of s-local (Figure 4)."

    def gather(self, scale: Scale, runs: RunPlan) -> list[list[RunResult]]:
        """The long runs of the three."""
        return [trained.results(scale, runs) for trained in _COMPARED]

    def figure(self, one: OneDataSet[list[list[RunResult]]], store: ResultStore) -> Figure | None:
        """Three panels, where there is a filter."""
        grids = [
            _grid(trained.title, results, store, num=_BESIDE)
            for trained, results in zip(_COMPARED, one.shown, strict=True)
        ]
        if all(grid.filters is None for grid in grids):
            return None
        reduced = figure_note(one.scale, one.runs, networks=(CHOSEN_NETWORK,))
        note = f"Data: {one.data}. {reduced}"
        return draw_filter_grids(grids, note=note, num_columns=_COLUMNS_BESIDE)


class FilterFigure(DataSetArtefact[list[RunResult]]):
    """Filters of one network by one method, a panel a data set.

    Args:
        number: 7, 8 or 9.
        trained: Whose filters.
    """

    def __init__(self, number: int, trained: Trained) -> None:
        self.name = f"figure{number}"
        self.about = f"First-layer filters of {trained.title} by data set (Figure {number})."
        self._trained = trained

    def gather(self, scale: Scale, runs: RunPlan) -> list[RunResult]:
        """The long runs."""
        return self._trained.results(scale, runs)

    def figures(self, scale: Scale, found: Results, store: ResultStore) -> dict[str, Figure]:
        """One picture; the note names the paper's data sets that were not given."""
        ones = self.by_data_set(scale, found)
        num, columns = (_BESIDE, _COLUMNS_BESIDE) if len(ones) > 1 else (_ALONE, _COLUMNS_ALONE)
        grids = [_grid(one.data, one.shown, store, num=num) for one in ones]
        if all(grid.filters is None for grid in grids):
            return {}
        given = {paper_data_set(one.data) for one in ones}
        lacking = [name for name in DATA_SETS if name not in given]
        reduced = figure_note(scale, *(one.runs for one in ones), networks=(CHOSEN_NETWORK,))
        note = f"{self._trained.title}. {reduced}"
        if lacking:
            note += f" Data sets of the paper that were not given: {', '.join(lacking)}."
        return {self.name: draw_filter_grids(grids, note=note, num_columns=columns)}


def _grid(title: str, results: list[RunResult], store: ResultStore, *, num: int) -> FilterGrid:
    """The filters of the first run; a panel that says so where there are none."""
    filters = store.filters(results[0].config) if results else None
    if filters is None:
        missing = "no filter with 20 nonzeros" if results else "not run"
        return FilterGrid(title=title, caption="", filters=None, missing=missing)
    caption = ""
    found = results[0].locality
    if found is not None:
        caption = (
            f"half-mass radius {found.radius:.1f} px,\nby chance {found.chance_radius:.1f} px\n"
            f"{100 * found.local_share:.0f}% local at the 5% level"
        )
    return FilterGrid(title=title, caption=caption, filters=filters[:num].astype(float))


class Locality(DataSetArtefact[list[ComparedNetwork]]):
    """Half-mass radius of filters of s-fc by method, and of s-local, d-fc and 3-fc."""

    name = "locality"
    about = "Learned locality: radius of first-layer filters against chance, by training method."

    def gather(self, scale: Scale, runs: RunPlan) -> list[ComparedNetwork]:
        """Long runs of Tables 1 and 2."""
        return compared_networks(scale, runs, by_sgd=_LOCALITY_BY_SGD)

    def table(self, one: OneDataSet[list[ComparedNetwork]]) -> Table:
        """A row a network and method."""
        measured = [(each.label, _measured(each)) for each in one.shown]
        columns = (
            Column(key="network", title="network"),
            Column(key="radius", title="radius (px)", kind="number"),
            Column(key="chance", title="by chance (px)", kind="number"),
            Column(key="ratio", title="ratio", kind="number"),
            Column(key="local", title="local (%)", kind="percent"),
        )
        rows: list[dict[str, Cell]] = [
            {
                "network": label,
                "radius": seed_mean(each.radius for each in found),
                "chance": seed_mean(each.chance_radius for each in found),
                "ratio": seed_mean(each.ratio for each in found),
                "local": seed_mean(each.local_share for each in found),
            }
            for label, found in measured
        ]
        main = next(row for row in rows if BETA_LASSO.label in str(row["network"]))
        return one.table(
            "Locality of first-layer filters",
            columns,
            rows,
            notes=(
                f"Data: {one.data}, after {epochs_text(one.scale.long_epochs)}. Half-mass radius "
                "in pixels, median over filters; by chance: the same filters with their pixels "
                "shuffled. Of random supports 5% count as local.",
                scale_note(one.scale, FULLY_CONNECTED),
                one.seed_note(one.scale.long_seeds),
            ),
            answer=row_text("{network}: {radius} px, by chance {chance} px", columns, main),
        )

    def figure(self, one: OneDataSet[list[ComparedNetwork]], store: ResultStore) -> Figure | None:
        """A row a network and method, where there are filters."""
        rows = [_row(each) for each in one.shown]
        if not any(row.runs for row in rows):
            return None
        reduced = figure_note(one.scale, one.runs, networks=FULLY_CONNECTED)
        return draw_locality(rows, note=f"Data: {one.data}. {reduced}")


def _measured(one: ComparedNetwork) -> Sequence[FilterLocality]:
    return [result.locality for result in one.results if result.locality is not None]


def _row(one: ComparedNetwork) -> LocalityRow:
    return LocalityRow(
        label=one.label,
        network=one.network,
        runs=tuple(MeasuredLocality(**vars(found)) for found in _measured(one)),
    )
