"""Figures 2, 5 and 6: accuracy by number of weights, and of ResNet18 by kernel size."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import TypeVar

from matplotlib.figure import Figure

from figures.accuracy import (
    METHOD_TITLES,
    Family,
    KernelPanel,
    KernelPoint,
    MethodLine,
    SizePanel,
    SizePoint,
    draw_accuracy,
    draw_kernel_sizes,
    draw_train_and_test,
    fitting_point,
)
from figures.style.look import literal
from mdl.experiments.reproduce.artefact import DataSetArtefact, OneDataSet
from mdl.experiments.reproduce.footnotes import figure_note, scale_note, tuned_note
from mdl.experiments.reproduce.run_plan import (
    KERNEL_METHODS,
    KernelStep,
    RunPlan,
    SizeStep,
    kernel_steps,
    size_steps,
)
from mdl.experiments.reproduce.scale import Scale
from mdl.experiments.reproduce.tables import Cell, Column, Table, seed_mean
from mdl.experiments.store.result_store import Results, ResultStore
from mdl.terminal.console import epochs_text

Step = TypeVar("Step", SizeStep, KernelStep)


class _PanelFigure(DataSetArtefact[list[Step]]):
    """One picture, a panel a data set that has results."""

    @abstractmethod
    def draw_panels(
        self, scale: Scale, ones: Sequence[OneDataSet[list[Step]]], runs: Sequence[RunPlan]
    ) -> Figure:
        """The picture.

        Args:
            scale: With all data sets.
            ones: Data sets with results, at least one.
            runs: Of all data sets, for the note.
        """

    def figures(self, scale: Scale, found: Results, store: ResultStore) -> dict[str, Figure]:
        """One picture, a panel a data set that has results."""
        ones = self.by_data_set(scale, found)
        shown = [one for one in ones if any(step.results for step in one.shown)]
        runs = [one.runs for one in ones]
        return {self.name: self.draw_panels(scale, shown, runs)} if shown else {}


class SizeFigure(_PanelFigure[SizeStep]):
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

    def gather(self, scale: Scale, runs: RunPlan) -> list[SizeStep]:
        """Every size of every family by SGD."""
        return size_steps(scale, runs)

    def table(self, one: OneDataSet[list[SizeStep]]) -> Table:
        """A row a size."""
        scale, panel = one.scale, _size_panel(one)
        fits = [fitting_point(family, panel.fit_accuracy) for family in panel.families]
        return one.table(
            "Accuracy by size",
            (
                Column(key="network", title="network"),
                Column(key="width", title="α or h", kind="count"),
                Column(key="weights", title="weights", kind="count"),
                Column(key="train", title="training (%)", kind="percent"),
                Column(key="test", title="test (%)", kind="percent"),
            ),
            [
                {
                    "network": size.network,
                    "width": size.width,
                    "weights": size.num_weights,
                    "train": seed_mean(result.train.accuracy for result in size.results),
                    "test": seed_mean(result.test.accuracy for result in size.results),
                }
                for size in one.shown
            ],
            notes=(
                f"Data: {one.data}. Accuracy in percent after {epochs_text(scale.ladder_epochs)} "
                "by SGD; the training images without augmentation.",
                scale_note(scale, ()),
                tuned_note(scale, "size"),
                one.seed_note(scale.ladder_seeds),
            ),
            fit_accuracy=panel.fit_accuracy,
            fits=[
                {
                    "network": point.network,
                    "num_weights": point.num_weights,
                    "best_test": point.best_test,
                    "reached": point.reached,
                }
                for point in fits
                if point is not None
            ],
        )

    def draw_panels(
        self, scale: Scale, ones: Sequence[OneDataSet[list[SizeStep]]], runs: Sequence[RunPlan]
    ) -> Figure:
        """Figure 2 or 6."""
        draw = draw_accuracy if self._is_figure_2 else draw_train_and_test
        return draw(list(map(_size_panel, ones)), note=figure_note(scale, *runs, networks=()))


def _size_panel(one: OneDataSet[list[SizeStep]]) -> SizePanel:
    return SizePanel(
        title=literal(one.data),
        families=tuple(_family(network, one.shown) for network in one.scale.ladders),
        fit_accuracy=one.scale.train_target,
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


class Figure5(_PanelFigure[KernelStep]):
    """Test accuracy of ResNet18 by kernel size and training method, short training."""

    name = "figure5"
    about = "Test accuracy of resnet18 by kernel size, β-lasso against SGD (Figure 5)."

    def gather(self, scale: Scale, runs: RunPlan) -> list[KernelStep]:
        """Every kernel size by both methods."""
        return kernel_steps(scale, runs)

    def table(self, one: OneDataSet[list[KernelStep]]) -> Table:
        """A row a method and kernel size."""
        scale = one.scale
        return one.table(
            "ResNet18 by kernel size",
            (
                Column(key="training", title="training"),
                Column(key="kernel", title="kernel", kind="count"),
                Column(key="weights", title="weights", kind="count"),
                Column(key="nonzeros", title="nonzeros", kind="count"),
                Column(key="train", title="training (%)", kind="percent"),
                Column(key="test", title="test (%)", kind="percent"),
            ),
            map(_kernel_cells, one.shown),
            notes=(
                f"Data: {one.data}. Accuracy of resnet18 in percent after "
                f"{epochs_text(scale.ladder_epochs)}; the training images without augmentation.",
                scale_note(scale, ("resnet18",)),
                tuned_note(scale, "kernel size", "resnet18"),
                one.seed_note(scale.ladder_seeds),
            ),
        )

    def draw_panels(
        self, scale: Scale, ones: Sequence[OneDataSet[list[KernelStep]]], runs: Sequence[RunPlan]
    ) -> Figure:
        """Figure 5."""
        note = figure_note(scale, *runs, networks=("resnet18",))
        return draw_kernel_sizes(list(map(_kernel_panel, ones)), note=note)


def _kernel_cells(step: KernelStep) -> dict[str, Cell]:
    return {
        "training": METHOD_TITLES[step.method],
        "kernel": step.kernel_size,
        "weights": step.results[0].total_weights if step.results else None,
        "nonzeros": seed_mean(result.total_nonzeros for result in step.results),
        "train": seed_mean(result.train.accuracy for result in step.results),
        "test": seed_mean(result.test.accuracy for result in step.results),
    }


def _kernel_panel(one: OneDataSet[list[KernelStep]]) -> KernelPanel:
    return KernelPanel(
        title=literal(one.data),
        lines=tuple(
            MethodLine(
                method=method,
                points=tuple(
                    KernelPoint(
                        kernel_size=step.kernel_size,
                        test=tuple(result.test.accuracy for result in step.results),
                    )
                    for step in one.shown
                    if step.method == method and step.results
                ),
            )
            for method in KERNEL_METHODS
        ),
    )
