"""Which λ validation chooses at several lengths, widths and rates: does total shrinkage stay?"""

from dataclasses import dataclass
from itertools import groupby

from matplotlib.figure import Figure

from figures.carry_over import PenaltyLine, PenaltyPanel, draw_carry_over
from mdl.experiments.reproduce.artefact import DataSetArtefact, OneDataSet
from mdl.experiments.reproduce.footnotes import missing_note
from mdl.experiments.reproduce.run_plan import RunPlan
from mdl.experiments.reproduce.scale import Scale
from mdl.experiments.reproduce.tables import Cell, Column, Table
from mdl.experiments.store.result_store import ResultStore
from mdl.experiments.store.run_result import RunResult
from mdl.experiments.sweep.selection import best_by_validation

_FACTORS = {"epochs": "epochs", "width": "width α", "rate": "learning rate η"}


@dataclass(frozen=True, kw_only=True)
class _Line:
    """The runs of one value of one factor, one a shrinkage; `is_whole` when none is missing."""

    factor: str
    value: float
    runs: list[RunResult]
    is_whole: bool

    @property
    def best(self) -> RunResult | None:
        """What validation chooses, once all runs are there."""
        return best_by_validation(self.runs) if self.is_whole else None


class CarryOver(DataSetArtefact[list[_Line]]):
    """Whether the chosen total shrinkage stays the same where λ does not."""

    name = "carry-over"
    about = "The λ and total shrinkage chosen at several lengths, widths and learning rates."

    def gather(self, scale: Scale, runs: RunPlan) -> list[_Line]:
        """All shrinkages at every value of every factor."""
        lines = []
        for factor, value, configs in scale.carry_over.lines(
            scale.gain, scale.data, scale.precision
        ):
            results = runs.need(configs)
            is_whole = len(results) == len(configs)
            lines.append(_Line(factor=factor, value=value, runs=results, is_whole=is_whole))
        return lines

    def table(self, one: OneDataSet[list[_Line]]) -> Table:
        """A row a value."""
        columns = (
            Column(key="factor", title="factor"),
            Column(key="value", title="value"),
            Column(key="shrinkage", title="best shrinkage"),
            Column(key="l1", title="its λ"),
            Column(key="validation", title="validation (%)", kind="percent"),
            Column(key="test", title="test (%)", kind="percent"),
        )
        tried = ", ".join(f"{each:g}" for each in one.scale.carry_over.shrinkages)
        return one.table(
            "Total shrinkage that validation chooses",
            columns,
            [_cells(line) for line in one.shown],
            notes=(f"Data: {one.data}. {_about(one.scale)} Tried: {tried}.",),
            answer=_answer([line.best for line in one.shown]),
        )

    def figure(self, one: OneDataSet[list[_Line]], store: ResultStore) -> Figure | None:
        """A column a factor."""
        panels = []
        for factor, lines in groupby(one.shown, key=lambda line: line.factor):
            drawn = tuple(_penalty_line(line) for line in lines if line.runs)
            if drawn:
                panels.append(PenaltyPanel(factor=_FACTORS[factor], lines=drawn))
        if not panels:
            return None
        note = f"Data: {one.data}. {_about(one.scale)} {missing_note(one.runs)}"
        return draw_carry_over(panels, note=note.strip())


def _about(scale: Scale) -> str:
    design, usual, gain = scale.carry_over, scale.carry_over.usual, scale.gain
    share = "the same" if design.fc_share == 1 else f"{design.fc_share:g} of the"
    return (
        f"s-fc by β-lasso, β = 50, {usual.num_images:,} images of {usual.image_size} px, batches "
        f"of {gain.batch_size}; where they do not vary, {usual.epochs} epochs, α = {usual.width}, "
        f"η = {design.rate:g}. The fc layers have {share} shrinkage. One seed, "
        f"{gain.num_held_out:,} images held out. Arithmetic: {scale.precision}."
    )


def _answer(chosen: list[RunResult | None]) -> str:
    """By which factors the chosen shrinkages and the chosen λ differ."""
    found = [run.config for run in chosen if run is not None]
    taus = [config.shrinkage[0] for config in found if config.shrinkage is not None]
    if not taus:
        return ""
    l1 = [config.l1_conv for config in found]
    return (
        f"best shrinkages differ by a factor of {max(taus) / min(taus):.2g}, "
        f"their λ by {max(l1) / min(l1):.2g}"
    )


def _cells(line: _Line) -> dict[str, Cell]:
    best = line.best
    cells: dict[str, Cell] = {"factor": _FACTORS[line.factor], "value": f"{line.value:g}"}
    if best is None or best.config.shrinkage is None or best.validation is None:
        return cells
    return cells | {
        "shrinkage": f"{best.config.shrinkage[0]:g}",
        "l1": f"{best.config.l1_conv:.2g}",
        "validation": best.validation.accuracy,
        "test": best.test.accuracy,
    }


def _penalty_line(line: _Line) -> PenaltyLine:
    return PenaltyLine(
        label=f"{line.value:g}",
        l1=tuple(run.config.l1_conv for run in line.runs),
        shrinkages=tuple(run.config.shrinkage[0] for run in line.runs if run.config.shrinkage),
        accuracies=tuple(run.validation.accuracy for run in line.runs if run.validation),
    )
