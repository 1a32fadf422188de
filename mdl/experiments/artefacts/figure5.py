"""Figure 5: ResNet18 by kernel size, β-lasso against SGD."""

from collections.abc import Sequence
from dataclasses import replace

from matplotlib.figure import Figure

from figures.kernel_size import (
    METHOD_TITLES,
    KernelPanel,
    KernelPoint,
    MethodLine,
    draw_kernel_sizes,
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
from mdl.experiments.reproduce.run_plan import KERNEL_METHODS, KernelStep, RunPlan, kernel_steps
from mdl.experiments.reproduce.scales import Scale
from mdl.experiments.reproduce.tables import Cell, Column, Table, seed_mean
from mdl.experiments.store.result_store import Results
from mdl.terminal.wording import epochs_text


class Figure5(Artefact):
    """Test accuracy of ResNet18 by kernel size and training method, short training."""

    name = "figure5"
    about = "Test accuracy of resnet18 by kernel size, β-lasso against SGD (Figure 5)."

    def collect(self, scale: Scale, runs: RunPlan) -> None:
        """Ask for every kernel size by both methods."""
        for one in scale.by_data_set():
            kernel_steps(one, runs)

    def tables(self, scale: Scale, found: Results) -> Sequence[Table]:
        """The numbers behind the picture, a table a data set."""
        return [_table(one, found, name=stem) for stem, one in stems(self.name, scale)]

    def figures(self, scale: Scale, found: Results, store: Store) -> dict[str, Figure]:
        """One picture, a panel a data set that has results."""
        runs = RunPlan(found)
        panels = []
        for one in scale.by_data_set():
            steps = kernel_steps(one, runs)
            results = [result for step in steps for result in step.results]
            if results:
                panels.append(_panel(steps, data_name(one, results)))
        if not panels:
            return {}
        note = figure_note(_on_fewer_images(scale), runs, ("resnet18",))
        return {self.name: draw_kernel_sizes(panels, note=note)}


def _on_fewer_images(scale: Scale) -> Scale:
    """The scale with the number of training images that these runs have, for the notes."""
    number = scale.kernel_num_train or scale.data.num_train
    return replace(scale, data=replace(scale.data, num_train=number))


def _panel(steps: Sequence[KernelStep], title: str) -> KernelPanel:
    return KernelPanel(
        title=title,
        lines=tuple(
            MethodLine(
                method=method,
                points=tuple(
                    KernelPoint(
                        kernel_size=step.kernel_size,
                        test=tuple(result.test.accuracy for result in step.results),
                    )
                    for step in steps
                    if step.method == method and step.results
                ),
            )
            for method in KERNEL_METHODS
        ),
    )


def _table(scale: Scale, found: Results, *, name: str) -> Table:
    runs = RunPlan(found)
    steps = kernel_steps(scale, runs)
    data = data_name(scale, [result for step in steps for result in step.results])
    rows: list[dict[str, Cell]] = []
    for step in steps:
        nonzeros = [float(sum(each.num_nonzeros.values())) for each in step.results]
        rows.append(
            {
                "training": METHOD_TITLES[step.method],
                "kernel": step.kernel_size,
                "weights": sum(step.results[0].num_weights.values()) if step.results else None,
                "nonzeros": seed_mean(nonzeros),
                "train": seed_mean([result.train.accuracy for result in step.results]),
                "test": seed_mean([result.test.accuracy for result in step.results]),
            }
        )
    notes = (
        f"Data: {data}. Accuracy of resnet18 in percent after {epochs_text(scale.short_epochs)}; "
        "the training images without augmentation"
        + ("." if scale.tunes_all else ", settings not chosen by validation."),
        scale_note(_on_fewer_images(scale), ("resnet18",)),
        tuned_note(scale, "kernel size"),
        seed_note(scale.ladder_seeds, is_whole=not runs.missing),
        missing_note(runs),
    )
    return Table(
        name=name,
        title=f"ResNet18 by kernel size on {data}, scale {scale.name}",
        columns=(
            Column(key="training", title="training"),
            Column(key="kernel", title="kernel", kind="count"),
            Column(key="weights", title="weights", kind="count"),
            Column(key="nonzeros", title="nonzeros", kind="count"),
            Column(key="train", title="training (%)", kind="percent"),
            Column(key="test", title="test (%)", kind="percent"),
        ),
        rows=tuple(rows),
        notes=notes,
        details={"scale": scale.name, "data": data, "num_missing": len(runs.missing)},
    )
