"""Figures 4 and 7 to 9: first-layer filters, chosen at random among those with 20 nonzeros."""

from dataclasses import dataclass

from matplotlib.figure import Figure

from figures.filter_panels import FilterGrid, draw_filter_grids
from mdl.experiments.artefacts.method_runs import (
    BETA_LASSO,
    CHOSEN_NETWORK,
    SGD,
    TrainingMethod,
    method_runs,
    network_runs,
)
from mdl.experiments.reproduce.artefact import Artefact, Store
from mdl.experiments.reproduce.footnotes import data_name, figure_note
from mdl.experiments.reproduce.paper_numbers import DATA_SETS, paper_data_set
from mdl.experiments.reproduce.run_plan import RunPlan
from mdl.experiments.reproduce.scales import Scale
from mdl.experiments.store.result_store import Results
from mdl.experiments.store.run_result import RunResult

_BESIDE, _ALONE = 16, 24  # filters drawn
_COLUMNS_BESIDE, _COLUMNS_ALONE = 4, 6


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


class Figure4(Artefact):
    """Filters of s-fc by SGD, s-fc by β-lasso and s-local by SGD, a picture a data set."""

    name = "figure4"
    about = "First-layer filters of s-fc by SGD and by β-lasso, and of s-local (Figure 4)."

    def collect(self, scale: Scale, runs: RunPlan) -> None:
        """Ask for the long runs of the three."""
        for one in scale.by_data_set():
            for trained in _COMPARED:
                trained.results(one, runs)

    def figures(self, scale: Scale, found: Results, store: Store) -> dict[str, Figure]:
        """Three panels each, for the data sets of which there is a filter."""
        drawn = {}
        for index, one in enumerate(scale.by_data_set(), start=1):
            runs = RunPlan(found)
            grids = []
            names = []
            for trained in _COMPARED:
                results = trained.results(one, runs)
                names += [data_name(one, results)] if results else []
                grids.append(_grid(trained.title, results, store, num=_BESIDE))
            if any(grid.filters is not None for grid in grids):
                note = f"Data: {names[0]}. {figure_note(one, runs, (CHOSEN_NETWORK,))}"
                stem = self.name if index == 1 else f"{self.name}-{index}"
                drawn[stem] = draw_filter_grids(grids, note=note, num_columns=_COLUMNS_BESIDE)
        return drawn


class FilterFigure(Artefact):
    """Filters of one network by one method, a panel a data set.

    Args:
        number: 7, 8 or 9.
        trained: Whose filters.
    """

    def __init__(self, number: int, trained: Trained) -> None:
        self.name = f"figure{number}"
        self.about = f"First-layer filters of {trained.title} by data set (Figure {number})."
        self._trained = trained

    def collect(self, scale: Scale, runs: RunPlan) -> None:
        """Ask for the long runs on every data set."""
        for one in scale.by_data_set():
            self._trained.results(one, runs)

    def figures(self, scale: Scale, found: Results, store: Store) -> dict[str, Figure]:
        """One picture; the note names the paper's data sets that were not given."""
        runs = RunPlan(found)
        scales = scale.by_data_set()
        num, columns = (_BESIDE, _COLUMNS_BESIDE) if len(scales) > 1 else (_ALONE, _COLUMNS_ALONE)
        grids, names = [], []
        for one in scales:
            results = self._trained.results(one, runs)
            names.append(data_name(one, results))
            grids.append(_grid(names[-1], results, store, num=num))
        if all(grid.filters is None for grid in grids):
            return {}
        shown = {paper_data_set(name) for name in names}
        lacking = [name for name in DATA_SETS if name not in shown]
        not_given = f" Data sets of the paper that were not given: {', '.join(lacking)}."
        note = f"{self._trained.title}. {figure_note(scale, runs, (CHOSEN_NETWORK,))}"
        note += not_given if lacking else ""
        return {self.name: draw_filter_grids(grids, note=note, num_columns=columns)}


def _grid(title: str, results: list[RunResult], store: Store, *, num: int) -> FilterGrid:
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
            f"{100 * found.local_share:.0f} % local at the 5 % level"
        )
    return FilterGrid(title=title, caption=caption, filters=filters[:num].astype(float))
