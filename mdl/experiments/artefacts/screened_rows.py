"""Screened rows of s-fc by β-lasso against λ, α and the learning rate, in short runs."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from figures.sparse_training import (
    LayerShares,
    SettingPanel,
    SharePoint,
    draw_screened_by_setting,
    setting_text,
)
from mdl.experiments.reproduce.artefact import DataSetArtefact, OneDataSet
from mdl.experiments.reproduce.footnotes import missing_note, reductions, seed_note
from mdl.experiments.reproduce.run_plan import RunPlan
from mdl.experiments.reproduce.scale import Scale
from mdl.experiments.reproduce.tables import Cell, Column, Table
from mdl.experiments.store.result_store import ResultStore
from mdl.experiments.store.run_result import RunResult
from mdl.experiments.sweep.grids import factors
from mdl.terminal.console import epochs_text

NETWORK = "s-fc"


@dataclass(frozen=True, kw_only=True)
class _Step:
    """One value of one factor."""

    factor: str
    value: float
    result: RunResult | None

    def shares(self, layer: str) -> list[float]:
        """Screened share of a layer in the epochs in which it was measured."""
        history = () if self.result is None else self.result.history
        return [point.screened[layer] for point in history if layer in point.screened]

    @property
    def layers(self) -> list[str]:
        """Layers that may be sparse, which are the large ones."""
        weights = {} if self.result is None else self.result.num_weights
        return [layer for layer in weights if self.shares(layer)]


class ScreenedRows(DataSetArtefact[list[_Step]]):
    """Share of rows in which no zero weight can come back, by λ, width and learning rate."""

    name = "screening"
    about = "Screened rows of s-fc by β-lasso against λ, α and the learning rate, short runs."

    def gather(self, scale: Scale, runs: RunPlan) -> list[_Step]:
        """A run a value, one factor at a time."""
        choice = scale.screening
        steps = []
        for factor in factors(choice, width=scale.widths[NETWORK]):
            for value, fields in factor.steps:
                config = scale.config(NETWORK, method="beta-lasso", epochs=choice.epochs, **fields)
                results = runs.need([config])
                result = results[0] if results else None
                steps.append(_Step(factor=factor.name, value=value, result=result))
        return steps

    def table(self, one: OneDataSet[list[_Step]]) -> Table:
        """A row a value and layer."""
        return one.table(
            "Screened rows of s-fc",
            (
                Column(key="setting", title="setting"),
                Column(key="value", title="value"),
                Column(key="layer", title="layer"),
                Column(key="weights", title="weights", kind="count"),
                Column(key="density", title="nonzero at the end (%)", kind="percent"),
                Column(key="first", title="screened, first epoch (%)", kind="percent"),
                Column(key="mean", title="mean (%)", kind="percent"),
                Column(key="last", title="last epoch (%)", kind="percent"),
                Column(key="test", title="test (%)", kind="percent"),
            ),
            [row for step in one.shown for row in _rows(step)],
            notes=(
                f"Data: {one.data}. Rows of s-fc by β-lasso, β = 50, in which no zero weight could "
                f"come back, in percent. {_about_shares(one.scale)}",
                _sizes(one.scale, (NETWORK,)),
                seed_note((0,)),
            ),
        )

    def figure(self, one: OneDataSet[list[_Step]], store: ResultStore) -> Figure | None:
        """A panel a factor of which a share was measured."""
        by_factor: dict[str, list[_Step]] = {}
        for step in one.shown:
            by_factor.setdefault(step.factor, []).append(step)
        panels = [_panel(one.scale, name, group) for name, group in by_factor.items()]
        shown = [panel for panel in panels if panel.layers]
        if not shown:
            return None
        note = (
            f"Data: {one.data}. {_about_shares(one.scale)} {_sizes(one.scale)} "
            f"{missing_note(one.runs)}"
        )
        return draw_screened_by_setting(shown, note=note)


def _sizes(scale: Scale, networks: Sequence[str] = ()) -> str:
    """What the scale reduces. The paper has no such runs, so their epochs are none of it."""
    reduced = [each for each in reductions(scale, networks) if not each.startswith("Epochs:")]
    return " ".join([f"Scale: {scale.name}.", *reduced, f"Arithmetic: {scale.precision}."])


def _panel(scale: Scale, name: str, steps: Sequence[_Step]) -> SettingPanel:
    usual = {
        "λ": f"λ = {setting_text(scale.screening.usual_l1)}",
        "α": f"α = {scale.widths[NETWORK]}",
        "learning rate": f"lr {setting_text(scale.screening.usual_rate)}",
    }
    layers = list(dict.fromkeys(layer for step in steps for layer in step.layers))
    return SettingPanel(
        setting=name,
        fixed=", ".join(text for other, text in usual.items() if other != name),
        layers=tuple(
            LayerShares(
                layer=layer,
                points=tuple(
                    SharePoint(value=step.value, share=_mean(step.shares(layer))) for step in steps
                ),
            )
            for layer in layers
        ),
    )


def _about_shares(scale: Scale) -> str:
    return (
        f"Mean over {epochs_text(scale.screening.epochs)}; in an epoch in which a layer was dense, "
        "of its first step. Layers of fewer than 2^20 weights are not looked at. λ is the same in "
        "all layers."
    )


def _rows(step: _Step) -> list[dict[str, Cell]]:
    """A row a layer; one of dashes where there is no run, or no layer large enough."""
    start: dict[str, Cell] = {"setting": step.factor, "value": setting_text(step.value)}
    if step.result is None or not step.layers:
        return [start]
    rows = []
    for layer in step.layers:
        shares, weights = step.shares(layer), step.result.num_weights[layer]
        rows.append(
            start
            | {
                "layer": layer,
                "weights": weights,
                "density": step.result.num_nonzeros[layer] / weights,
                "first": shares[0],
                "mean": _mean(shares),
                "last": shares[-1],
                "test": step.result.test.accuracy,
            }
        )
    return rows


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
