"""The gain map: β-lasso over SGD on s-fc, and how much of the gap to s-local it closes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from matplotlib.figure import Figure

from figures.gain_map import FactorPanel, GainPoint, ShortenedRun, draw_gain_map, draw_shortened
from mdl.experiments.claims.experiment import Group
from mdl.experiments.claims.statistics import Estimate, contrast
from mdl.experiments.reproduce.artefact import DataSetArtefact, OneDataSet
from mdl.experiments.reproduce.footnotes import missing_note, settings_text
from mdl.experiments.reproduce.run_plan import RunPlan
from mdl.experiments.reproduce.scale import Scale
from mdl.experiments.reproduce.tables import Cell, Column, Table, seed_mean
from mdl.experiments.store.result_store import Results, ResultStore
from mdl.experiments.store.run_result import RunResult
from mdl.experiments.sweep.regimes import Regime
from training.spec.config import TrainConfig

_ALPHA = 0.05
_FACTORS = {
    "num_images": "training images",
    "epochs": "epochs",
    "image_size": "image side (px)",
    "width": "width α",
    "has_policy": "policy",
}


@dataclass(frozen=True, kw_only=True)
class _Cell:
    """One regime.

    Attributes:
        regime: Which.
        trials: Runs of s-fc by β-lasso, one a setting.
        beta_lasso: That of them which validation chose, and those of other seeds with its settings;
            none while a trial is missing.
        sgd: Likewise of s-fc by SGD.
        local: Likewise of s-local by SGD.
    """

    regime: Regime
    trials: list[RunResult]
    beta_lasso: Group
    sgd: Group
    local: Group

    @property
    def gain(self) -> Estimate | None:
        """β-lasso's test accuracy over SGD's, image by image; None while one is missing."""
        return _difference(self.beta_lasso, self.sgd)

    @property
    def closed(self) -> float | None:
        """Share of the gap from SGD to s-local that β-lasso closes; None where there is no gap."""
        gain, gap = self.gain, _difference(self.local, self.sgd)
        if gain is None or gap is None or gap.interval(_ALPHA)[0] <= 0:
            return None
        return gain.value / gap.value


class GainMap(DataSetArtefact[list[_Cell]]):
    """Where β-lasso pays: by training images, epochs, image side, width and policy."""

    name = "gain-map"
    about = "β-lasso over SGD on s-fc by images, epochs, image side, width and policy."

    def gather(self, scale: Scale, runs: RunPlan) -> list[_Cell]:
        """The settings of each method that validation chooses; where it pays most, more seeds."""
        cells = []
        for regime in scale.gain.cells:
            tried = _tried(scale, regime)
            groups = {name: Group(label=name, runs=_one(runs.best(tried[name]))) for name in tried}
            cells.append(_Cell(regime=regime, trials=runs.need(tried["beta_lasso"]), **groups))
        seeds = scale.gain.seeds
        if any(cell.gain is None for cell in cells):
            for configs in _tried(scale, scale.gain.usual).values():
                runs.assume(replace(configs[0], seed=seed) for seed in seeds[1:])
            return cells
        largest = max(cells, key=_gain_value)
        return [_over_seeds(cell, seeds, runs) if cell is largest else cell for cell in cells]

    def table(self, one: OneDataSet[list[_Cell]]) -> Table:
        """A row a regime."""
        design = one.scale.gain
        columns = (
            Column(key="regime", title="regime"),
            Column(key="setting", title="β-lasso chosen"),
            Column(key="weights", title="weights", kind="count"),
            Column(key="sgd", title="SGD (%)", kind="percent"),
            Column(key="sgd_train", title="training (%)", kind="percent"),
            Column(key="beta_lasso", title="β-lasso (%)", kind="percent"),
            Column(key="local", title="s-local (%)", kind="percent"),
            Column(key="gain", title="gain", kind="as printed"),
            Column(key="closed", title="gap closed (%)", kind="percent"),
            Column(key="kept", title="weights kept (%)", kind="percent"),
        )
        rows = [_cells(cell) for cell in one.shown]
        best = max(
            (cell for cell in one.shown if cell.gain is not None), key=_gain_value, default=None
        )
        return one.table(
            "Gain of β-lasso over SGD",
            columns,
            rows,
            notes=(
                f"Data: {one.data}. s-fc by β-lasso, β = 50, η = {design.lasso_lr:g}, and by SGD, "
                f"and s-local by SGD; settings chosen in every regime by {design.num_held_out:,} "
                f"images held out. Gain: in points, with its interval at 95%, compared on the same "
                f"test images. {_seeds_text(one.shown)} Batch "
                f"{design.batch_size}, flip and crop; a policy comes with cutout. Arithmetic: "
                f"{one.scale.gain_precision}.",
            ),
            answer=""
            if best is None or best.gain is None
            else f"largest gain {best.gain.in_points(_ALPHA)} at {_name(best.regime)}",
        )

    def figures(self, scale: Scale, found: Results, store: ResultStore) -> dict[str, Figure]:
        """The map, and its gains against the lengths of the descriptions."""
        drawn = super().figures(scale, found, store)
        for one in self.by_data_set(scale, found):
            runs = [run for cell in one.shown for run in _shortened(cell)]
            if runs:
                note = (
                    f"Data: {one.data}, scale {scale.name}. The first seed. "
                    f"{missing_note(one.runs)}"
                )
                drawn[f"{one.stem}-bits"] = draw_shortened(runs, note=note.strip())
        return drawn

    def figure(self, one: OneDataSet[list[_Cell]], store: ResultStore) -> Figure | None:
        """A panel a factor of which two values are there."""
        panels = [_panel(one.scale.gain.usual, name, one.shown) for name in _FACTORS]
        shown = [panel for panel in panels if len(panel.points) > 1]
        if not shown:
            return None
        usual = _name(one.scale.gain.usual)
        note = (
            f"Data: {one.data}, scale {one.scale.name}. Else {usual}. Settings chosen by "
            f"validation. {_seeds_text(one.shown)} {missing_note(one.runs)}"
        )
        return draw_gain_map(shown, note=note.strip())


def _tried(scale: Scale, regime: Regime) -> dict[str, list[TrainConfig]]:
    """The runs among which validation chooses, by field of a cell."""
    design, images = scale.gain, (regime, scale.data, scale.gain_precision)
    return {
        "beta_lasso": design.beta_lasso(*images),
        "sgd": design.by_sgd("s-fc", *images),
        "local": design.by_sgd("s-local", *images),
    }


def _one(run: RunResult | None) -> tuple[RunResult, ...]:
    return () if run is None else (run,)


def _over_seeds(cell: _Cell, seeds: Sequence[int], runs: RunPlan) -> _Cell:
    """The same with a run of each seed, in the settings that validation chose, once all exist."""
    groups = {}
    for name in ("beta_lasso", "sgd", "local"):
        group: Group = getattr(cell, name)
        wanted = [replace(run.config, seed=seed) for run in group.runs for seed in seeds]
        groups[name] = replace(group, runs=tuple(runs.need(wanted)))
    if any(len(group.runs) < len(seeds) for group in groups.values()):
        return cell
    return _Cell(regime=cell.regime, trials=cell.trials, **groups)


def _difference(first: Group, second: Group) -> Estimate | None:
    if not first.runs or not second.runs:
        return None
    return contrast([(1, first.test), (-1, second.test)])


def _gain_value(cell: _Cell) -> float:
    return -math.inf if cell.gain is None else cell.gain.value


def _seeds_text(cells: Sequence[_Cell]) -> str:
    most = max((len(cell.sgd.runs) for cell in cells), default=1)
    others = f", and {most} where the gain was largest, in its settings" if most > 1 else ""
    return f"One seed, so its own spread is not in the intervals{others}."


def _name(regime: Regime) -> str:
    """In words.

    >>> _name(Regime(num_images=5000, epochs=200, image_size=16, width=24))
    '5,000 images, 200 epochs, 16 px, α = 24'
    """
    policy = ", policy" if regime.has_policy else ""
    return (
        f"{regime.num_images:,} images, {regime.epochs} epochs, {regime.image_size} px, "
        f"α = {regime.width}{policy}"
    )


def _cells(cell: _Cell) -> dict[str, Cell]:
    chosen, sgd, local = cell.beta_lasso.runs, cell.sgd.runs, cell.local.runs
    return {
        "regime": _name(cell.regime),
        "weights": sgd[0].total_weights if sgd else None,
        "setting": settings_text(chosen[0].config) if chosen else None,
        "sgd": seed_mean(run.test.accuracy for run in sgd),
        "sgd_train": seed_mean(run.train.accuracy for run in sgd),
        "beta_lasso": seed_mean(run.test.accuracy for run in chosen),
        "local": seed_mean(run.test.accuracy for run in local),
        "gain": None if cell.gain is None else cell.gain.in_points(_ALPHA),
        "closed": cell.closed,
        "kept": seed_mean(run.total_nonzeros / run.total_weights for run in chosen),
    }


def _panel(usual: Regime, factor: str, cells: Sequence[_Cell]) -> FactorPanel:
    """The cells that differ from the usual regime in one factor alone."""
    along = [cell for cell in cells if set(cell.regime.differences(usual)) <= {factor}]
    along.sort(key=lambda cell: getattr(cell.regime, factor))
    points = [_point(usual, factor, cell) for cell in along]
    return FactorPanel(
        factor=_FACTORS[factor], points=tuple(point for point in points if point is not None)
    )


def _point(usual: Regime, factor: str, cell: _Cell) -> GainPoint | None:
    if cell.gain is None or not cell.local.runs:
        return None
    value = getattr(cell.regime, factor)
    low, high = cell.gain.interval(_ALPHA)
    return GainPoint(
        value={True: "with", False: "none"}[value] if factor == "has_policy" else f"{value:,}",
        sgd=cell.sgd.test.mean,
        beta_lasso=cell.beta_lasso.test.mean,
        local=cell.local.test.mean,
        error=(high - low) / 2,
        is_usual=cell.regime == usual,
    )


def _shortened(cell: _Cell) -> list[ShortenedRun]:
    """Every setting of β-lasso beside the chosen one of SGD."""
    sgd = next(iter(cell.sgd.runs), None)
    if sgd is None or sgd.description is None:
        return []
    return [
        ShortenedRun(
            regime=_name(cell.regime),
            bits=run.description.num_bits / sgd.description.num_bits,
            gain=run.test.accuracy - sgd.test.accuracy,
            overfit=sgd.train.accuracy - sgd.test.accuracy,
        )
        for run in cell.trials
        if run.description is not None
    ]
