"""Table 2: s-fc by training method, beside the rivals that the paper cites."""

from collections.abc import Sequence
from dataclasses import dataclass

from mdl.experiments.artefacts.method_runs import (
    CHOSEN_NETWORK,
    TrainingMethod,
    method_runs,
    network_runs,
)
from mdl.experiments.reproduce.artefact import Artefact, stems
from mdl.experiments.reproduce.footnotes import (
    data_name,
    missing_note,
    scale_note,
    seed_note,
    settings_text,
)
from mdl.experiments.reproduce.paper_numbers import (
    LONG_EPOCHS,
    TABLE_2,
    PublishedRow,
    paper_data_set,
)
from mdl.experiments.reproduce.run_plan import RunPlan
from mdl.experiments.reproduce.scales import Scale
from mdl.experiments.reproduce.tables import (
    Cell,
    Column,
    Table,
    difference,
    filled,
    fraction,
    seed_mean,
)
from mdl.experiments.store.result_store import Results
from mdl.experiments.store.run_result import RunResult
from mdl.terminal.wording import epochs_text


@dataclass(frozen=True, kw_only=True)
class _Row:
    published: PublishedRow
    results: list[RunResult]


class Table2(Artefact):
    """Test accuracy of s-fc by SGD and by β-lasso with β = 0, 1 and 50, long training."""

    name = "table2"
    about = "Test accuracy of s-fc by training method, long training (Table 2)."

    def collect(self, scale: Scale, runs: RunPlan) -> None:
        """Ask for the trials of every method, then for long runs with the chosen settings."""
        for one in scale.by_data_set():
            _gather(one, runs)

    def tables(self, scale: Scale, found: Results) -> Sequence[Table]:
        """A table a data set."""
        return [_table(one, found, name=stem) for stem, one in stems(self.name, scale)]


def _gather(scale: Scale, runs: RunPlan) -> list[_Row]:
    rows = []
    for published in TABLE_2:
        results: list[RunResult] = []
        if published.method is not None and published.network == CHOSEN_NETWORK:
            training = TrainingMethod(
                label=published.training, method=published.method, beta=published.beta
            )
            results = method_runs(scale, runs, training)
        elif published.method is not None:
            results = network_runs(scale, runs, published.network)
        rows.append(_Row(published=published, results=results))
    return rows


def _table(scale: Scale, found: Results, *, name: str) -> Table:
    runs = RunPlan(found)
    rows = _gather(scale, runs)
    data = data_name(scale, [result for row in rows for result in row.results])
    column = paper_data_set(data)
    shown = [row for row in rows if row.published.method or column in row.published.accuracy]
    cells = [_cells(row, column) for row in shown]
    columns = (
        Column(key="network", title="model"),
        Column(key="training", title="training"),
        Column(key="settings", title="our settings"),
        Column(key="test", title=f"{scale.long_epochs} ep. (%)", kind="percent"),
        Column(key="paper", title=f"paper {LONG_EPOCHS} ep.", kind="percent"),
        Column(key="difference", title="difference", kind="points"),
        Column(key="nonzeros", title="nonzero weights", kind="count"),
    )
    num_held_out = scale.trials(CHOSEN_NETWORK, "sgd")[0].data.validation
    chosen = (
        f"Settings of {'every network' if scale.tunes_all else CHOSEN_NETWORK} chosen after "
        f"{epochs_text(scale.short_epochs)} by accuracy on {num_held_out:,} images held out, then "
        "trained on all; the test images had no part in it."
    )
    notes = [
        f"Data: {data}. Test accuracy in percent after {epochs_text(scale.long_epochs)}.",
        chosen,
        scale_note(scale, ("s-fc", "3-fc")),
        seed_note(scale.long_seeds, is_whole=not runs.missing),
        "Paper: Table 2; differences in points. Cited rows are other authors' as Table 2 has them."
        if column
        else "The paper has no such data set, so there is nothing to compare with.",
        missing_note(runs),
    ]
    return Table(
        name=name,
        title=f"Table 2 on {data}, scale {scale.name}",
        columns=columns if column else filled(columns, cells),
        rows=tuple(cells),
        notes=notes,
        details={
            "scale": scale.name,
            "data": data,
            "paper_source": "Table 2" if column else None,
            "num_missing": len(runs.missing),
        },
    )


def _cells(row: _Row, column: str | None) -> dict[str, Cell]:
    published = row.published
    test = seed_mean([result.test.accuracy for result in row.results])
    network = f"{published.network} ({published.cited})" if published.cited else published.network
    cells: dict[str, Cell] = {
        "network": network,
        "training": published.training,
        "settings": settings_text(row.results[0].config) if row.results else None,
        "test": test,
        "nonzeros": seed_mean([float(sum(each.num_nonzeros.values())) for each in row.results]),
    }
    if column is None:
        return cells
    paper = published.accuracy.get(column)
    return cells | {"paper": fraction(paper), "difference": difference(test, paper)}
