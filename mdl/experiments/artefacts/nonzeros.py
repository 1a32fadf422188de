"""Nonzeros by layer of s-fc by β-lasso: Figure 3, and while it is trained."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from figures.nonzeros import (
    LayerCurve,
    LayerPanel,
    NonzerosHistory,
    TrainedNonzeros,
    draw_nonzeros,
    draw_nonzeros_history,
)
from figures.style.look import literal
from mdl.experiments.artefacts.method_runs import (
    BETA_LASSO,
    METHODS,
    TrainingMethod,
    method_runs,
    network_of,
)
from mdl.experiments.reproduce.artefact import Artefact, DataSetArtefact, OneDataSet
from mdl.experiments.reproduce.footnotes import figure_note, missing_note, scale_note, seed_note
from mdl.experiments.reproduce.run_plan import RunPlan
from mdl.experiments.reproduce.scale import CHOSEN_NETWORK, Scale
from mdl.experiments.reproduce.tables import Cell, Column, Table, seed_mean
from mdl.experiments.store.result_store import Results, ResultStore
from mdl.experiments.store.run_result import RunResult
from mdl.terminal.console import epochs_text

_TWINS = ("conv", "local")
_SHOWN = tuple(each for each in METHODS if each.beta is not None and each.beta > 0)
"""Methods that set weights to zero."""


def _twin_sizes(result: RunResult, layer: str) -> dict[str, int]:
    """Weights of a layer in s-conv and s-local, at the same α."""
    spec = network_of(result)
    return {
        twin.name: next(each.num_weights for each in twin.layers if each.name == layer)
        for twin in map(spec.twin, _TWINS)
    }


@dataclass(frozen=True, kw_only=True)
class _Trained:
    data: str
    results: list[RunResult]

    @property
    def num_weights(self) -> dict[str, int]:
        return self.results[0].num_weights


class Figure3(Artefact):
    """Nonzeros of every layer of s-fc trained by β-lasso with β = 50, long training."""

    name = "figure3"
    about = "Nonzeros by layer of s-fc by β-lasso beside s-conv and s-local (Figure 3)."

    def collect(self, scale: Scale, runs: RunPlan) -> None:
        """Ask for the trials, then for the long runs with the chosen settings."""
        _gather(scale, runs)

    def tables(self, scale: Scale, found: Results) -> Sequence[Table]:
        """The numbers behind the picture, of all data sets."""
        runs = RunPlan(found)
        rows: list[dict[str, Cell]] = []
        for one in _gather(scale, runs):
            for layer, num_weights in one.num_weights.items():
                twins = _twin_sizes(one.results[0], layer)
                rows.append(
                    {
                        "data": one.data,
                        "layer": layer,
                        "nonzeros": seed_mean(each.num_nonzeros[layer] for each in one.results),
                        "s_fc": num_weights,
                        "s_conv": twins["s-conv"],
                        "s_local": twins["s-local"],
                    }
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
                notes=(
                    f"s-fc by β-lasso, β = 50, after {epochs_text(scale.long_epochs)}.",
                    scale_note(scale, (CHOSEN_NETWORK,)),
                    seed_note(scale.long_seeds, is_whole=not runs.missing),
                    missing_note(runs),
                ),
                details={"scale": scale.name, "num_missing": len(runs.missing)},
            )
        ]

    def figures(self, scale: Scale, found: Results, store: ResultStore) -> dict[str, Figure]:
        """A picture for the data sets with layers of the same sizes: one, or one more each."""
        runs = RunPlan(found)
        groups: dict[tuple[int, ...], list[_Trained]] = {}
        for one in _gather(scale, runs):
            groups.setdefault(tuple(one.num_weights.values()), []).append(one)
        note = figure_note(scale, runs, networks=(CHOSEN_NETWORK,))
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
            trained.append(_Trained(data=results[0].data_name, results=results))
    return trained


def _panels(group: Sequence[_Trained]) -> list[LayerPanel]:
    first = group[0]
    return [
        LayerPanel(
            layer=layer,
            num_weights=num_weights,
            references=_twin_sizes(first.results[0], layer),
            trained=tuple(
                TrainedNonzeros(
                    label=literal(one.data),
                    num_nonzeros=tuple(result.num_nonzeros[layer] for result in one.results),
                )
                for one in group
            ),
        )
        for layer, num_weights in first.num_weights.items()
    ]


class TrainingCurves(DataSetArtefact[list[NonzerosHistory]]):
    """Nonzeros by layer over the epochs of s-fc by β-lasso with β = 1 and 50, first seed."""

    name = "training"
    about = "Nonzeros by layer over the training of s-fc by β-lasso with β = 1 and 50."

    def gather(self, scale: Scale, runs: RunPlan) -> list[NonzerosHistory]:
        """The first long run of each method."""
        trained = [(training, method_runs(scale, runs, training)) for training in _SHOWN]
        return [_history(training, results[0]) for training, results in trained if results]

    def figure(self, one: OneDataSet[list[NonzerosHistory]], store: ResultStore) -> Figure | None:
        """A panel a method that has a result."""
        if not one.shown:
            return None
        note = (
            f"Data: {literal(one.data)}. First seed. Dashed: sizes of conv1 in s-conv and s-local. "
            f"{figure_note(one.scale, one.runs, networks=(CHOSEN_NETWORK,))}"
        )
        return draw_nonzeros_history(one.shown, note=note)


def _history(training: TrainingMethod, result: RunResult) -> NonzerosHistory:
    first = next(iter(result.num_weights))
    references = _twin_sizes(result, first) if training is BETA_LASSO else {}
    epochs = tuple(point.epoch for point in result.history)
    return NonzerosHistory(
        title=f"{CHOSEN_NETWORK}, {training.label}",
        curves=tuple(
            LayerCurve(
                layer=layer,
                epochs=epochs,
                num_nonzeros=tuple(point.num_nonzeros.get(layer) for point in result.history),
                references=references if layer == first else {},
            )
            for layer in result.num_weights
        ),
    )
