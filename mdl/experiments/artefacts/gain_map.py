"""The gain map: β-lasso over SGD on s-fc, and how much of the gap to s-local it closes."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from figures.gain_map import FactorPanel, GainPoint, ShortenedRun, draw_gain_map, draw_shortened
from mdl.experiments.claims.experiment import Group
from mdl.experiments.claims.statistics import Estimate, contrast
from mdl.experiments.reproduce.artefact import DataSetArtefact, OneDataSet
from mdl.experiments.reproduce.footnotes import missing_note, settings_text
from mdl.experiments.reproduce.run_plan import RunPlan
from mdl.experiments.reproduce.scale import Scale
from mdl.experiments.reproduce.tables import Cell, Column, Table
from mdl.experiments.store.result_store import Results, ResultStore
from mdl.experiments.store.run_result import RunResult
from mdl.experiments.sweep.regimes import Regime

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
        beta_lasso: That of them which validation chose; None while one is missing.
        sgd: Likewise of s-fc by SGD.
        local: Likewise of s-local by SGD.
    """

    regime: Regime
    trials: list[RunResult]
    beta_lasso: RunResult | None
    sgd: RunResult | None
    local: RunResult | None

    @property
    def gain(self) -> Estimate | None:
        """β-lasso's test accuracy over SGD's, compared image by image."""
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
        """The settings of each method that validation chooses, in every regime."""
        design, data, precision = scale.gain, scale.data, scale.gain_precision
        cells = []
        for regime in design.cells:
            lasso = design.beta_lasso(regime, data, precision)
            cells.append(
                _Cell(
                    regime=regime,
                    trials=runs.need(lasso),
                    beta_lasso=runs.best(lasso),
                    sgd=runs.best(design.by_sgd("s-fc", regime, data, precision)),
                    local=runs.best(design.by_sgd("s-local", regime, data, precision)),
                )
            )
        return cells

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
            (cell for cell in one.shown if cell.gain is not None),
            key=lambda cell: cell.gain.value if cell.gain else 0.0,
            default=None,
        )
        return one.table(
            "Gain of β-lasso over SGD",
            columns,
            rows,
            notes=(
                f"Data: {one.data}. s-fc by β-lasso, β = 50, η = {design.lasso_lr:g}, and by SGD, "
                f"and s-local by SGD; settings chosen in every regime by {design.num_held_out:,} "
                f"images held out. Gain: in points, with its interval at 95%, compared on the same "
                "test images; one seed, so its own spread is not in it. Batch "
                f"{design.batch_size}, flip and crop; a policy comes with cutout. Arithmetic: "
                f"{one.scale.gain_precision}.",
            ),
            answer=""
            if best is None
            else f"largest gain {_gain_text(best)} at {_name(best.regime)}",
        )

    def figures(self, scale: Scale, found: Results, store: ResultStore) -> dict[str, Figure]:
        """The map, and its gains against the lengths of the descriptions."""
        drawn = super().figures(scale, found, store)
        for one in self.by_data_set(scale, found):
            runs = [run for cell in one.shown for run in _shortened(cell)]
            if runs:
                note = f"Data: {one.data}, scale {scale.name}. One seed. {missing_note(one.runs)}"
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
            f"validation; one seed. {missing_note(one.runs)}"
        )
        return draw_gain_map(shown, note=note.strip())


def _difference(first: RunResult | None, second: RunResult | None) -> Estimate | None:
    if first is None or second is None:
        return None
    one, other = (Group(label="", runs=(run,)).test for run in (first, second))
    return contrast([(1, one), (-1, other)])


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


def _gain_text(cell: _Cell) -> str:
    gain = cell.gain
    if gain is None:
        return ""
    low, high = gain.interval(_ALPHA)
    return f"{100 * gain.value:+.2f} ({100 * low:+.2f} to {100 * high:+.2f})".replace("-", "−")


def _cells(cell: _Cell) -> dict[str, Cell]:
    chosen, sgd, local = cell.beta_lasso, cell.sgd, cell.local
    return {
        "regime": _name(cell.regime),
        "weights": None if sgd is None else sgd.total_weights,
        "setting": None if chosen is None else settings_text(chosen.config),
        "sgd": None if sgd is None else sgd.test.accuracy,
        "sgd_train": None if sgd is None else sgd.train.accuracy,
        "beta_lasso": None if chosen is None else chosen.test.accuracy,
        "local": None if local is None else local.test.accuracy,
        "gain": _gain_text(cell) or None,
        "closed": cell.closed,
        "kept": None if chosen is None else chosen.total_nonzeros / chosen.total_weights,
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
    if cell.beta_lasso is None or cell.sgd is None or cell.local is None or cell.gain is None:
        return None
    value = getattr(cell.regime, factor)
    low, high = cell.gain.interval(_ALPHA)
    return GainPoint(
        value={True: "with", False: "none"}[value] if factor == "has_policy" else f"{value:,}",
        sgd=cell.sgd.test.accuracy,
        beta_lasso=cell.beta_lasso.test.accuracy,
        local=cell.local.test.accuracy,
        error=(high - low) / 2,
        is_usual=cell.regime == usual,
    )


def _shortened(cell: _Cell) -> list[ShortenedRun]:
    """Every setting of β-lasso beside the chosen one of SGD."""
    sgd = cell.sgd
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
