"""Figures 2 and 6: accuracy of four families of networks against their number of weights."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from figures.accuracy import (
    Family,
    SizePanel,
    SizePoint,
    draw_accuracy,
    draw_train_and_test,
    fitting_point,
)
from mdl.experiments.reproduce.artefact import Artefact, Store, stems
from mdl.experiments.reproduce.footnotes import (
    data_name,
    figure_note,
    missing_note,
    scale_note,
    seed_note,
    tuned_note,
)
from mdl.experiments.reproduce.run_plan import RunPlan, SizeStep, size_steps
from mdl.experiments.reproduce.scales import Scale
from mdl.experiments.reproduce.tables import Cell, Column, Table, seed_mean
from mdl.experiments.store.result_store import Results
from mdl.terminal.wording import epochs_text


class SizeFigure(Artefact):
    """Accuracy by size. Figure 2 shows test accuracy and the sizes that fit, Figure 6 both.

    Args:
        number: 2 or 6.
    """

    def __init__(self, number: int) -> None:
        self.name = f"figure{number}"
        self._is_figure_2 = number == 2
        shown = (
            "Test accuracy against weights, and the sizes that fit"
            if self._is_figure_2
            else "Training and test accuracy against weights"
        )
        self.about = f"{shown}: resnet18, d-conv, s-conv, 3-fc (Figure {number})."

    def collect(self, scale: Scale, runs: RunPlan) -> None:
        """Ask for every size of every family, short training by SGD."""
        for one in scale.by_data_set():
            size_steps(one, runs)

    def tables(self, scale: Scale, found: Results) -> Sequence[Table]:
        """The numbers behind the picture, a table a data set."""
        return [_table(one, found, name=stem) for stem, one in stems(self.name, scale)]

    def figures(self, scale: Scale, found: Results, store: Store) -> dict[str, Figure]:
        """One picture, a panel a data set that has results."""
        runs = RunPlan(found)
        panels = []
        for one in scale.by_data_set():
            sizes = size_steps(one, runs)
            results = [result for size in sizes for result in size.results]
            if results:
                panels.append(_panel(one, sizes, data_name(one, results)))
        if not panels:
            return {}
        draw = draw_accuracy if self._is_figure_2 else draw_train_and_test
        return {self.name: draw(panels, note=figure_note(scale, runs, ()))}


def _panel(scale: Scale, sizes: Sequence[SizeStep], title: str) -> SizePanel:
    return SizePanel(
        title=title,
        families=tuple(_family(network, sizes) for network in scale.ladders),
        fit_accuracy=scale.train_target,
    )


def _family(network: str, sizes: Sequence[SizeStep]) -> Family:
    return Family(
        network=network,
        points=tuple(
            SizePoint(
                num_weights=size.num_weights or 1,
                train=tuple(result.train.accuracy for result in size.results),
                test=tuple(result.test.accuracy for result in size.results),
            )
            for size in sizes
            if size.network == network and size.results
        ),
    )


def _table(scale: Scale, found: Results, *, name: str) -> Table:
    runs = RunPlan(found)
    sizes = size_steps(scale, runs)
    data = data_name(scale, [result for size in sizes for result in size.results])
    rows: list[dict[str, Cell]] = []
    for size in sizes:
        rows.append(
            {
                "network": size.network,
                "width": size.width,
                "weights": size.num_weights,
                "train": seed_mean([result.train.accuracy for result in size.results]),
                "test": seed_mean([result.test.accuracy for result in size.results]),
            }
        )
    panel = _panel(scale, sizes, data)
    fits = [
        point
        for family in panel.families
        if (point := fitting_point(family, panel.fit_accuracy)) is not None
    ]
    notes = (
        f"Data: {data}. Accuracy in percent after {epochs_text(scale.short_epochs)} by SGD; the "
        "training images without augmentation.",
        scale_note(scale, ()),
        tuned_note(scale, "size"),
        seed_note(scale.ladder_seeds, is_whole=not runs.missing),
        missing_note(runs),
    )
    return Table(
        name=name,
        title=f"Accuracy by size on {data}, scale {scale.name}",
        columns=(
            Column(key="network", title="network"),
            Column(key="width", title="α or h", kind="count"),
            Column(key="weights", title="weights", kind="count"),
            Column(key="train", title="training (%)", kind="percent"),
            Column(key="test", title="test (%)", kind="percent"),
        ),
        rows=tuple(rows),
        notes=notes,
        details={
            "scale": scale.name,
            "data": data,
            "fit_accuracy": scale.train_target,
            "fits": [
                {
                    "network": point.network,
                    "num_weights": point.num_weights,
                    "best_test": point.best_test,
                    "reached": point.reached,
                }
                for point in fits
            ],
            "num_missing": len(runs.missing),
        },
    )
