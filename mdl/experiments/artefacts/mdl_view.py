"""Test accuracy against description length in bits: the view of minimum description length."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from figures.description import DescribedNetwork, draw_description
from mdl.experiments.artefacts.method_runs import (
    FULLY_CONNECTED,
    ComparedNetwork,
    compared_networks,
    network_of,
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
from mdl.experiments.store.run_result import Description, RunResult
from mdl.terminal.wording import epochs_text


class MdlView(Artefact):
    """Bits of the shortest description, test accuracy, and the accuracy that the bits prove."""

    name = "mdl-view"
    about = "Test accuracy against description length in bits, by network and method."

    def collect(self, scale: Scale, runs: RunPlan) -> None:
        """Ask for the long runs of Tables 1 and 2."""
        for one in scale.by_data_set():
            compared_networks(one, runs)

    def tables(self, scale: Scale, found: Results) -> Sequence[Table]:
        """The numbers behind the picture, shortest description first, a table a data set."""
        return [_table(one, found, name=stem) for stem, one in stems(self.name, scale)]

    def figures(self, scale: Scale, found: Results, store: Store) -> dict[str, Figure]:
        """A picture a data set that has described networks."""
        drawn = {}
        for stem, one in stems(self.name, scale):
            runs = RunPlan(found)
            networks = compared_networks(one, runs)
            described = [each for each in networks if _described(each)]
            if described:
                first = described[0].results[0]
                drawn[stem] = draw_description(
                    [_mark(each) for each in described],
                    num_classes=network_of(first).num_classes,
                    note=f"Data: {first.data_name}. {figure_note(one, runs, FULLY_CONNECTED)}",
                )
        return drawn


def _described(one: ComparedNetwork) -> list[tuple[RunResult, Description]]:
    """The runs whose description was measured: very large networks have none."""
    return [
        (result, result.description) for result in one.results if result.description is not None
    ]


def _mark(one: ComparedNetwork) -> DescribedNetwork:
    pairs = _described(one)
    return DescribedNetwork(
        network=one.network,
        label=one.label,
        num_bits=tuple(float(description.num_bits) for _, description in pairs),
        test=tuple(result.test.accuracy for result, _ in pairs),
        bounds=tuple(description.bound for _, description in pairs),
        method=one.method,
    )


def _table(scale: Scale, found: Results, *, name: str) -> Table:
    runs = RunPlan(found)
    networks = compared_networks(scale, runs)
    data = data_name(scale, [result for each in networks for result in each.results])
    measured = [(each, _described(each)) for each in networks]
    measured.sort(key=lambda pair: _mean_bits(pair[1]))
    rows: list[dict[str, Cell]] = []
    for each, pairs in measured:
        rows.append(
            {
                "network": each.label,
                "code": ", ".join(dict.fromkeys(found.code for _, found in pairs)) or None,
                "bits": seed_mean([float(found.num_bits) for _, found in pairs]),
                "test": seed_mean([result.test.accuracy for result in each.results]),
                "bound": seed_mean([found.bound for _, found in pairs]),
            }
        )
    notes = (
        f"Data: {data}, after {epochs_text(scale.long_epochs)}. Bits: the shortest of our codes at "
        "16 bits a number, as the decoder consumed them. Bound: on the true error, at 95 %.",
        scale_note(scale, FULLY_CONNECTED),
        seed_note(scale.long_seeds, is_whole=not runs.missing),
        missing_note(runs),
    )
    return Table(
        name=name,
        title=f"Description length and accuracy on {data}, scale {scale.name}",
        columns=(
            Column(key="network", title="network"),
            Column(key="code", title="code"),
            Column(key="bits", title="bits", kind="bits"),
            Column(key="test", title="test (%)", kind="percent"),
            Column(key="bound", title="bound (%)", kind="bound"),
        ),
        rows=tuple(rows),
        notes=notes,
        details={"scale": scale.name, "data": data, "num_missing": len(runs.missing)},
    )


def _mean_bits(pairs: Sequence[tuple[RunResult, Description]]) -> float:
    if not pairs:
        return float("inf")
    return sum(found.num_bits for _, found in pairs) / len(pairs)
