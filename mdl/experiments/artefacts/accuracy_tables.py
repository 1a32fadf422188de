"""Tables 1 and 2: test accuracy by network, and of s-fc by training method, beside the paper's."""

from collections.abc import Sequence
from dataclasses import dataclass

from analysis.scaling.formulas import TABLE_1_SIZES
from mdl.experiments.artefacts.method_runs import TrainingMethod, method_runs, network_runs
from mdl.experiments.claims.experiment import Group
from mdl.experiments.claims.statistics import contrast
from mdl.experiments.reproduce.artefact import DataSetArtefact, OneDataSet
from mdl.experiments.reproduce.footnotes import scale_note, settings_text, tuned_note
from mdl.experiments.reproduce.paper_numbers import (
    DATA_SETS,
    LONG_EPOCHS,
    SHORT_EPOCHS,
    SOURCE_1,
    SOURCE_2,
    TABLE_1,
    TABLE_2,
    PublishedRow,
    paper_data_set,
)
from mdl.experiments.reproduce.run_plan import RunPlan
from mdl.experiments.reproduce.scale import CHOSEN_NETWORK, Scale
from mdl.experiments.reproduce.tables import (
    Cell,
    Column,
    Table,
    difference,
    filled,
    fraction,
    row_text,
    seed_mean,
)
from mdl.experiments.store.run_result import RunResult
from mdl.terminal.console import epochs_text

_ORDERED = ("s-conv", "s-local", "s-fc")
"""What the paper is about: the three with one connectivity and less and less of it given."""
_NOT_IN_PAPER = "The paper has no such data set, so there is nothing to compare with."


@dataclass(frozen=True, kw_only=True)
class _Network:
    """A row of Table 1."""

    network: str
    short: list[RunResult]
    long: list[RunResult]

    @property
    def num_weights(self) -> int | None:
        results = [*self.short, *self.long]
        return results[0].total_weights if results else None


class Table1(DataSetArtefact[list[_Network]]):
    """Test accuracy of the seven networks, all by SGD as in the paper."""

    name = "table1"
    about = "Test accuracy of d-, s- and 3-fc networks by SGD, short and long training (Table 1)."

    def gather(self, scale: Scale, runs: RunPlan) -> list[_Network]:
        """Each network, short and long, with every seed."""
        rows = []
        for network in TABLE_1:
            settings = runs.chosen(scale, network, "sgd")
            rows.append(
                _Network(
                    network=network,
                    short=runs.over_seeds(
                        settings, epochs=scale.short_epochs, seeds=scale.short_seeds
                    ),
                    long=runs.over_seeds(
                        settings, epochs=scale.long_epochs, seeds=scale.long_seeds
                    ),
                )
            )
        return rows

    def table(self, one: OneDataSet[list[_Network]]) -> Table:
        """A row a network."""
        scale, paper = one.scale, paper_data_set(one.data)
        rows = [_network_cells(row, one.shown, paper) for row in one.shown]
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
        notes = (
            f"Data: {one.data}. Test accuracy in percent after {scale.short_epochs} and "
            f"{scale.long_epochs} epochs, all by SGD.",
            scale_note(scale, ("d-fc", "s-fc", "3-fc")),
            tuned_note(scale, "number of epochs"),
            one.seed_note(scale.short_seeds, scale.long_seeds),
            "Paper: Table 1; differences in points. The sizes printed for d-local (3.42 M) and "
            "d-fc (256 M beside 1.45 M) are slips: mdl scaling shows why."
            if paper
            else _NOT_IN_PAPER,
        )
        return one.table(
            "Table 1",
            columns if paper else filled(columns, rows),
            rows,
            notes=notes,
            answer=", ".join(
                row_text("{network} {long}%", columns, row)
                for row in rows
                if row["network"] in _ORDERED and row["long"] is not None
            ),
            paper_source=SOURCE_1 if paper else None,
        )


def _network_cells(row: _Network, rows: Sequence[_Network], paper: str | None) -> dict[str, Cell]:
    short = seed_mean(result.test.accuracy for result in row.short)
    long = seed_mean(result.test.accuracy for result in row.long)
    cells: dict[str, Cell] = {
        "network": row.network,
        "weights": row.num_weights,
        "fc_embedding": _embedding(row.network, rows),
        "short": short,
        "long": long,
    }
    if paper is None:
        return cells
    printed, size = TABLE_1[row.network][paper], TABLE_1_SIZES[row.network]
    return cells | {
        "paper_weights": size.original,
        "paper_fc_embedding": size.fc_embedding,
        "short_paper": fraction(printed.short),
        "short_difference": difference(short, printed.short),
        "long_paper": fraction(printed.long),
        "long_difference": difference(long, printed.long),
    }


def _embedding(network: str, rows: Sequence[_Network]) -> int | None:
    """Weights of the fully-connected network that contains it: of the same α."""
    twin = network if network == "3-fc" else f"{network[0]}-fc"
    return next(row.num_weights for row in rows if row.network == twin)


@dataclass(frozen=True, kw_only=True)
class _Method:
    """A row of Table 2."""

    published: PublishedRow
    results: list[RunResult]


class Table2(DataSetArtefact[list[_Method]]):
    """Test accuracy of s-fc by SGD and by β-lasso with β = 0, 1 and 50, long training."""

    name = "table2"
    about = "Test accuracy of s-fc by training method, long training (Table 2)."

    def gather(self, scale: Scale, runs: RunPlan) -> list[_Method]:
        """The trials of every method, then long runs with the chosen settings."""
        return [
            _Method(published=row, results=_method_results(row, scale, runs)) for row in TABLE_2
        ]

    def table(self, one: OneDataSet[list[_Method]]) -> Table:
        """A row a method, with rows that the paper cites where it has the data set."""
        scale, paper = one.scale, paper_data_set(one.data)
        (by_sgd,) = (row.results for row in one.shown if _is_by_sgd(row.published))
        rows = [
            _method_cells(row, paper, by_sgd)
            for row in one.shown
            if row.published.method or paper in row.published.accuracy
        ]
        columns = (
            Column(key="network", title="model"),
            Column(key="training", title="training"),
            Column(key="settings", title="our settings"),
            Column(key="test", title=f"{scale.long_epochs} ep. (%)", kind="percent"),
            Column(key="gain", title="over SGD", kind="as printed"),
            Column(key="paper", title=f"paper {LONG_EPOCHS} ep.", kind="percent"),
            Column(key="paper_proceedings", title="proceedings", kind="percent"),
            Column(key="difference", title="difference", kind="points"),
            Column(key="nonzeros", title="nonzero weights", kind="count"),
        )
        num_held_out = scale.trials(CHOSEN_NETWORK, "sgd")[0].data.validation
        others = len(scale.trials("3-fc", "sgd"))
        notes = (
            f"Data: {one.data}. Test accuracy in percent after {epochs_text(scale.long_epochs)}.",
            f"Settings of {'every network' if others > 1 else CHOSEN_NETWORK} chosen after "
            f"{epochs_text(scale.trial_epochs)} by accuracy on {num_held_out:,} images held out, "
            f"then trained on {'all' if scale.data.num_train is None else 'as many'}; the test "
            "images had no part in it.",
            scale_note(scale, ("s-fc", "3-fc")),
            one.seed_note(scale.long_seeds),
            "Over SGD: in points, with its interval at 95% over seeds and test images.",
            "Paper: Table 2; differences in points. Cited rows are other authors' as Table 2 has "
            f"them. {_headlines()}"
            if paper
            else _NOT_IN_PAPER,
        )
        return one.table(
            "Table 2",
            columns if paper else filled(columns, rows),
            rows,
            notes=notes,
            answer=row_text(
                "{training}: {test}%"
                + (" (paper {paper}, proceedings {paper_proceedings})" if paper else ""),
                columns,
                rows[-1],
            ),
            paper_source=SOURCE_2 if paper else None,
        )


def _method_results(row: PublishedRow, scale: Scale, runs: RunPlan) -> list[RunResult]:
    if row.method is None:
        return []
    if row.network != CHOSEN_NETWORK:
        return network_runs(scale, runs, row.network)
    training = TrainingMethod(label=row.training, method=row.method, beta=row.beta)
    return method_runs(scale, runs, training)


def _is_by_sgd(row: PublishedRow) -> bool:
    return row.network == CHOSEN_NETWORK and row.method == "sgd"


def _method_cells(row: _Method, paper: str | None, by_sgd: list[RunResult]) -> dict[str, Cell]:
    published = row.published
    test = seed_mean(result.test.accuracy for result in row.results)
    network = f"{published.network} ({published.cited})" if published.cited else published.network
    cells: dict[str, Cell] = {
        "network": network,
        "training": published.training,
        "settings": settings_text(row.results[0].config) if row.results else None,
        "test": test,
        "nonzeros": seed_mean(result.total_nonzeros for result in row.results),
    }
    if published.method == "beta-lasso" and row.results and by_sgd:
        ours, theirs = (Group(label="", runs=tuple(runs)).test for runs in (row.results, by_sgd))
        cells["gain"] = contrast([(1, ours), (-1, theirs)]).in_points()
    if paper is None:
        return cells
    percent = published.accuracy.get(paper)
    return cells | {
        "paper": fraction(percent),
        "paper_proceedings": fraction(published.proceedings.get(paper)),
        "difference": difference(test, percent),
    }


def _headlines() -> str:
    """Both sets of the paper's headline numbers.

    >>> _headlines().partition(": ")[2]
    '85.19 / 59.56 / 94.07 on arXiv, 84.50 / 57.76 / 93.84 in the NeurIPS proceedings.'
    """
    best = TABLE_2[-1]
    printed, proceedings = (
        " / ".join(f"{numbers[name]:.2f}" for name in DATA_SETS)
        for numbers in (best.accuracy, best.proceedings)
    )
    return (
        f"{best.network} by {best.training} on {', '.join(DATA_SETS)}: {printed} on arXiv, "
        f"{proceedings} in the NeurIPS proceedings."
    )
