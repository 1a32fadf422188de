"""Table 1: seven networks with one size of fully-connected embedding, short and long training."""

from collections.abc import Sequence
from dataclasses import dataclass

from analysis.scaling.printed_formulas import TABLE_1_SIZES
from mdl.experiments.reproduce.artefact import Artefact, stems
from mdl.experiments.reproduce.footnotes import (
    data_name,
    missing_note,
    scale_note,
    seed_note,
    tuned_note,
)
from mdl.experiments.reproduce.paper_numbers import (
    LONG_EPOCHS,
    SHORT_EPOCHS,
    TABLE_1,
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


@dataclass(frozen=True, kw_only=True)
class _Row:
    network: str
    short: list[RunResult]
    long: list[RunResult]

    @property
    def results(self) -> list[RunResult]:
        return [*self.short, *self.long]

    @property
    def num_weights(self) -> int | None:
        return sum(self.results[0].num_weights.values()) if self.results else None


class Table1(Artefact):
    """Test accuracy of the seven networks, all by SGD as in the paper."""

    name = "table1"
    about = "Test accuracy of d-, s- and 3-fc networks by SGD, short and long training (Table 1)."

    def collect(self, scale: Scale, runs: RunPlan) -> None:
        """Ask for each network, short and long, with every seed."""
        for one in scale.by_data_set():
            _gather(one, runs)

    def tables(self, scale: Scale, found: Results) -> Sequence[Table]:
        """A table a data set."""
        return [_table(one, found, name=stem) for stem, one in stems(self.name, scale)]


def _gather(scale: Scale, runs: RunPlan) -> list[_Row]:
    rows = []
    for network in TABLE_1:
        settings = runs.settings(scale, network, "sgd")
        rows.append(
            _Row(
                network=network,
                short=runs.over_seeds(settings, epochs=scale.short_epochs, seeds=scale.short_seeds),
                long=runs.over_seeds(settings, epochs=scale.long_epochs, seeds=scale.long_seeds),
            )
        )
    return rows


def _table(scale: Scale, found: Results, *, name: str) -> Table:
    runs = RunPlan(found)
    rows = _gather(scale, runs)
    data = data_name(scale, [result for row in rows for result in row.results])
    column = paper_data_set(data)
    cells = [_cells(row, rows, column) for row in rows]
    columns = (
        Column(key="network", title="model"),
        Column(key="weights", title="weights (M)", kind="millions"),
        Column(key="paper_weights", title="paper", kind="as printed"),
        Column(key="fc_embedding", title="fc-emb. (M)", kind="millions"),
        Column(key="paper_fc_embedding", title="paper", kind="as printed"),
        Column(key="short", title=f"{scale.short_epochs} ep. (%)", kind="percent"),
        Column(key="short_paper", title=f"paper {SHORT_EPOCHS} ep.", kind="percent"),
        Column(key="short_difference", title="difference", kind="points"),
        Column(key="long", title=f"{scale.long_epochs} ep. (%)", kind="percent"),
        Column(key="long_paper", title=f"paper {LONG_EPOCHS} ep.", kind="percent"),
        Column(key="long_difference", title="difference", kind="points"),
    )
    notes = [
        f"Data: {data}. Test accuracy in percent after {scale.short_epochs} and "
        f"{scale.long_epochs} epochs, all by SGD"
        + ("." if scale.tunes_all else " with the same settings (none chosen)."),
        scale_note(scale, ("d-fc", "s-fc", "3-fc")),
        tuned_note(scale, "number of epochs"),
        seed_note(scale.short_seeds, scale.long_seeds, is_whole=not runs.missing),
        "Paper: Table 1; differences in points. The sizes printed for d-local (3.42 M) and d-fc "
        "(256 M beside 1.45 M) are slips: mdl scaling shows why."
        if column
        else "The paper has no such data set, so there is nothing to compare with.",
        missing_note(runs),
    ]
    keep = columns if column else filled(columns, cells)
    return Table(
        name=name,
        title=f"Table 1 on {data}, scale {scale.name}",
        columns=keep,
        rows=tuple(cells),
        notes=notes,
        details={
            "scale": scale.name,
            "data": data,
            "paper_source": "Table 1" if column else None,
            "num_missing": len(runs.missing),
        },
    )


def _cells(row: _Row, rows: Sequence[_Row], column: str | None) -> dict[str, Cell]:
    short = seed_mean([result.test.accuracy for result in row.short])
    long = seed_mean([result.test.accuracy for result in row.long])
    cells: dict[str, Cell] = {
        "network": row.network,
        "weights": row.num_weights,
        "fc_embedding": _embedding(row.network, rows),
        "short": short,
        "long": long,
    }
    if column is None:
        return cells
    paper, size = TABLE_1[row.network][column], TABLE_1_SIZES[row.network]
    return cells | {
        "paper_weights": size.original,
        "paper_fc_embedding": size.fc_embedding,
        "short_paper": fraction(paper.short),
        "short_difference": difference(short, paper.short),
        "long_paper": fraction(paper.long),
        "long_difference": difference(long, paper.long),
    }


def _embedding(network: str, rows: Sequence[_Row]) -> int | None:
    """Weights of the fully-connected network that contains it: of the same α."""
    twin = network if network == "3-fc" else f"{network[0]}-fc"
    return next(row.num_weights for row in rows if row.network == twin)
