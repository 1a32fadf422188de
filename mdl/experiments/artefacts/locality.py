"""Learned locality: the radius of first-layer filters against chance, by training method."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from figures.locality_chart import LocalityRow, MeasuredLocality, draw_locality
from mdl.experiments.artefacts.method_runs import (
    FULLY_CONNECTED,
    ComparedNetwork,
    compared_networks,
)
from mdl.experiments.reproduce.artefact import Artefact, Store, stems
from mdl.experiments.reproduce.footnotes import (
    data_name,
    figure_note,
    missing_note,
    scale_note,
    seed_note,
)
from mdl.experiments.reproduce.run_plan import RunPlan
from mdl.experiments.reproduce.scales import Scale
from mdl.experiments.reproduce.tables import Cell, Column, Table, seed_mean
from mdl.experiments.store.result_store import Results
from mdl.experiments.store.run_result import FilterLocality
from mdl.terminal.wording import epochs_text

_BY_SGD = ("s-local", "d-fc", "3-fc")


class Locality(Artefact):
    """Half-mass radius of filters of s-fc by method, and of s-local, d-fc and 3-fc."""

    name = "locality"
    about = "Learned locality: radius of first-layer filters against chance, by training method."

    def collect(self, scale: Scale, runs: RunPlan) -> None:
        """Ask for long runs of Tables 1 and 2."""
        for one in scale.by_data_set():
            compared_networks(one, runs, by_sgd=_BY_SGD)

    def tables(self, scale: Scale, found: Results) -> Sequence[Table]:
        """The numbers behind the picture, a table a data set."""
        return [_table(one, found, name=stem) for stem, one in stems(self.name, scale)]

    def figures(self, scale: Scale, found: Results, store: Store) -> dict[str, Figure]:
        """A picture a data set that has filters."""
        drawn = {}
        for stem, one in stems(self.name, scale):
            runs = RunPlan(found)
            networks = compared_networks(one, runs, by_sgd=_BY_SGD)
            rows = [_row(each) for each in networks]
            if any(row.runs for row in rows):
                results = [result for each in networks for result in each.results]
                note = f"Data: {data_name(one, results)}. {figure_note(one, runs, FULLY_CONNECTED)}"
                drawn[stem] = draw_locality(rows, note=note)
        return drawn


def _measured(one: ComparedNetwork) -> list[FilterLocality]:
    return [result.locality for result in one.results if result.locality is not None]


def _row(one: ComparedNetwork) -> LocalityRow:
    return LocalityRow(
        label=one.label,
        network=one.network,
        runs=tuple(
            MeasuredLocality(
                radius=found.radius,
                chance_radius=found.chance_radius,
                ratio=found.ratio,
                ratio_interval=found.ratio_interval,
                local_share=found.local_share,
                num_filters=found.num_filters,
            )
            for found in _measured(one)
        ),
    )


def _table(scale: Scale, found: Results, *, name: str) -> Table:
    runs = RunPlan(found)
    networks = compared_networks(scale, runs, by_sgd=_BY_SGD)
    data = data_name(scale, [result for each in networks for result in each.results])
    rows: list[dict[str, Cell]] = []
    for each in networks:
        measured = _measured(each)
        rows.append(
            {
                "network": each.label,
                "radius": seed_mean([one.radius for one in measured]),
                "chance": seed_mean([one.chance_radius for one in measured]),
                "ratio": seed_mean([one.ratio for one in measured]),
                "local": seed_mean([one.local_share for one in measured]),
            }
        )
    notes = (
        f"Data: {data}, after {epochs_text(scale.long_epochs)}. Half-mass radius in pixels, median "
        "over filters; by chance: the same filters with their pixels shuffled. Of random supports "
        "5 % count as local.",
        scale_note(scale, FULLY_CONNECTED),
        seed_note(scale.long_seeds, is_whole=not runs.missing),
        missing_note(runs),
    )
    return Table(
        name=name,
        title=f"Locality of first-layer filters on {data}, scale {scale.name}",
        columns=(
            Column(key="network", title="network"),
            Column(key="radius", title="radius (px)", kind="number"),
            Column(key="chance", title="by chance (px)", kind="number"),
            Column(key="ratio", title="ratio", kind="number"),
            Column(key="local", title="local (%)", kind="percent"),
        ),
        rows=tuple(rows),
        notes=notes,
        details={"scale": scale.name, "data": data, "num_missing": len(runs.missing)},
    )
