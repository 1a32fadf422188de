"""Figure 3: nonzeros by layer of s-fc by β-lasso, beside the sizes of s-conv and s-local."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from figures.nonzeros import LayerPanel, TrainedNonzeros, draw_nonzeros
from mdl.experiments.artefacts.method_runs import (
    BETA_LASSO,
    CHOSEN_NETWORK,
    method_runs,
    network_of,
)
from mdl.experiments.reproduce.artefact import Artefact, Store
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
from mdl.experiments.store.run_result import RunResult
from mdl.terminal.wording import epochs_text

TWINS = ("conv", "local")


@dataclass(frozen=True, kw_only=True)
class _Trained:
    data: str
    results: list[RunResult]

    def twin_sizes(self, layer: str) -> dict[str, int]:
        """Weights of a layer in s-conv and s-local, at the same α."""
        spec = network_of(self.results[0])
        twins = [spec.twin(kind) for kind in TWINS]
        return {
            twin.name: next(each.num_weights for each in twin.layers if each.name == layer)
            for twin in twins
        }


class Figure3(Artefact):
    """Nonzeros of every layer of s-fc trained by β-lasso with β = 50, long training."""

    name = "figure3"
    about = "Nonzeros by layer of s-fc by β-lasso beside s-conv and s-local (Figure 3)."

    def collect(self, scale: Scale, runs: RunPlan) -> None:
        """Ask for the trials, then for the long runs with the chosen settings."""
        _gather(scale, runs)

    def tables(self, scale: Scale, found: Results) -> Sequence[Table]:
        """The numbers behind the picture."""
        runs = RunPlan(found)
        trained = _gather(scale, runs)
        rows: list[dict[str, Cell]] = []
        for one in trained:
            for layer, num_weights in one.results[0].num_weights.items():
                counts = [float(result.num_nonzeros[layer]) for result in one.results]
                twins = one.twin_sizes(layer)
                rows.append(
                    {
                        "data": one.data,
                        "layer": layer,
                        "nonzeros": seed_mean(counts),
                        "s_fc": num_weights,
                        "s_conv": twins["s-conv"],
                        "s_local": twins["s-local"],
                    }
                )
        notes = (
            f"s-fc by β-lasso, β = 50, after {epochs_text(scale.long_epochs)}.",
            scale_note(scale, (CHOSEN_NETWORK,)),
            seed_note(scale.long_seeds, is_whole=not runs.missing),
            missing_note(runs),
        )
        return [
            Table(
                name=self.name,
                title=f"Nonzero weights of s-fc by layer, scale {scale.name}",
                columns=(
                    Column(key="data", title="data"),
                    Column(key="layer", title="layer"),
                    Column(key="nonzeros", title="nonzeros", kind="count"),
                    Column(key="s_conv", title="s-conv has", kind="count"),
                    Column(key="s_local", title="s-local has", kind="count"),
                    Column(key="s_fc", title="s-fc has", kind="count"),
                ),
                rows=tuple(rows),
                notes=notes,
                details={"scale": scale.name, "num_missing": len(runs.missing)},
            )
        ]

    def figures(self, scale: Scale, found: Results, store: Store) -> dict[str, Figure]:
        """A picture for the data sets with layers of the same sizes: one, or one more each."""
        runs = RunPlan(found)
        groups: dict[tuple[int, ...], list[_Trained]] = {}
        for one in _gather(scale, runs):
            sizes = tuple(one.results[0].num_weights.values())
            groups.setdefault(sizes, []).append(one)
        note = figure_note(scale, runs, (CHOSEN_NETWORK,))
        return {
            self.name if index == 1 else f"{self.name}-{index}": draw_nonzeros(
                _panels(group), note=note
            )
            for index, group in enumerate(groups.values(), start=1)
        }


def _gather(scale: Scale, runs: RunPlan) -> list[_Trained]:
    """The data sets that have results."""
    trained = []
    for one in scale.by_data_set():
        results = method_runs(one, runs, BETA_LASSO)
        if results:
            trained.append(_Trained(data=data_name(one, results), results=results))
    return trained


def _panels(group: Sequence[_Trained]) -> list[LayerPanel]:
    first = group[0]
    return [
        LayerPanel(
            layer=layer,
            num_weights=num_weights,
            references=first.twin_sizes(layer),
            trained=tuple(
                TrainedNonzeros(
                    label=one.data,
                    num_nonzeros=tuple(result.num_nonzeros[layer] for result in one.results),
                )
                for one in group
            ),
        )
        for layer, num_weights in first.results[0].num_weights.items()
    ]
