"""A table or figure: the runs that it needs, and how it is drawn from their results."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from matplotlib.figure import Figure

from figures.style.look import figure_style, save_figure_pair
from mdl.experiments.reproduce.footnotes import data_name, missing_note, seed_note
from mdl.experiments.reproduce.run_plan import RunPlan
from mdl.experiments.reproduce.scale import Scale
from mdl.experiments.reproduce.tables import Cell, Column, Table, write_table
from mdl.experiments.store.result_store import Results, ResultStore
from training.spec.config import TrainConfig


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """What an artefact has drawn.

    Attributes:
        tables: What its tables hold.
        files: The files written; none where there is nothing to show yet.
    """

    tables: tuple[Table, ...]
    files: tuple[Path, ...]


class Artefact:
    """One table or figure, or several that belong together.

    A subclass says in `collect` which runs it needs, by asking a `RunPlan` for their results;
    `tables` and `figures` ask in the same way for what they show. Most are a `DataSetArtefact`.

    Attributes:
        name: What `mdl reproduce` takes, and the stem of the files.
        about: One sentence for people.
    """

    name: str
    about: str

    def collect(self, scale: Scale, runs: RunPlan) -> None:
        """Ask `runs` for every result that drawing takes; nothing where nothing is trained."""

    def tables(self, scale: Scale, found: Results) -> Sequence[Table]:
        """The tables, also with results missing."""
        return ()

    def figures(self, scale: Scale, found: Results, store: ResultStore) -> dict[str, Figure]:
        """Stem of the file to the picture; nothing while there is nothing to show.

        Called under `figures.style.look.figure_style()`.
        """
        return {}

    def plan(self, scale: Scale, found: Results) -> list[TrainConfig]:
        """All runs known to be needed, given what is found. More may be known after these."""
        runs = RunPlan(found)
        self.collect(scale, runs)
        return runs.configs

    def preview(self, scale: Scale, found: Results | None = None) -> list[TrainConfig]:
        """All runs, with placeholders for settings that are not chosen yet."""
        runs = RunPlan(found or Results(), assumes=True)
        self.collect(scale, runs)
        return runs.configs

    def draw(self, scale: Scale, found: Results, store: ResultStore, out: Path) -> Drawing:
        """Write all files into a folder that exists; cells without a result hold a dash.

        Raises:
            ValueError: Results that cannot share a table.
            OSError: The folder cannot be written to.
        """
        tables = tuple(self.tables(scale, found))
        paths = [path for table in tables for path in write_table(table, out)]
        with figure_style():
            drawn = self.figures(scale, found, store)
        for stem, figure in drawn.items():
            paths += save_figure_pair(figure, out / stem)
        return Drawing(tables=tables, files=tuple(paths))


Shown = TypeVar("Shown")
"""What an artefact shows of one data set."""


@dataclass(frozen=True, kw_only=True)
class OneDataSet(Generic[Shown]):
    """An artefact on one data set of its scale.

    Attributes:
        stem: Of its files: the artefact's name, then name-2, name-3, ...
        scale: On this data set alone.
        runs: Those it needs, found or not.
        shown: What the results are to the artefact.
    """

    stem: str
    scale: Scale
    runs: RunPlan
    shown: Shown

    @property
    def data(self) -> str:
        """Name of the data set."""
        return data_name(self.scale, self.runs)

    def table(
        self,
        title: str,
        columns: Sequence[Column],
        rows: Iterable[dict[str, Cell]],
        *,
        notes: Iterable[str],
        answer: str = "",
        **details: Any,
    ) -> Table:
        """A table that names the data set, the scale and what is missing.

        Args:
            title: What it shows, without the data set.
            columns: From left to right.
            rows: Cells by column key.
            notes: Sentences below it.
            answer: What one reads first.
            **details: More for the JSON file, primitives only.
        """
        return Table(
            name=self.stem,
            title=f"{title} on {self.data}, scale {self.scale.name}",
            columns=tuple(columns),
            rows=tuple(rows),
            notes=(*notes, missing_note(self.runs)),
            answer=answer,
            details={
                "scale": self.scale.name,
                "data": self.data,
                "num_missing": len(self.runs.missing),
            }
            | details,
        )

    def seed_note(self, *seeds: Sequence[int]) -> str:
        """How many seeds there are; see `footnotes.seed_note`."""
        return seed_note(*seeds, is_whole=not self.runs.missing)


class DataSetArtefact(Artefact, ABC, Generic[Shown]):
    """An artefact with a table, a picture or both for each data set.

    A subclass gathers what it shows of one data set, and makes the table and the picture of that.
    One whose picture holds all data sets overrides `figures`.
    """

    @abstractmethod
    def gather(self, scale: Scale, runs: RunPlan) -> Shown:
        """Ask `runs` for all results of the scale's first data set, and arrange what is there."""

    def table(self, one: OneDataSet[Shown]) -> Table | None:
        """The table of one data set, also with results missing."""
        return None

    def figure(self, one: OneDataSet[Shown], store: ResultStore) -> Figure | None:
        """The picture of one data set; None while there is nothing to show."""
        return None

    def collect(self, scale: Scale, runs: RunPlan) -> None:
        """Ask for what is shown of every data set."""
        for one in scale.by_data_set():
            self.gather(one, runs)

    def by_data_set(self, scale: Scale, found: Results) -> list[OneDataSet[Shown]]:
        """The artefact on each data set of a scale."""
        ones = []
        for index, one in enumerate(scale.by_data_set(), start=1):
            runs = RunPlan(found)
            shown = self.gather(one, runs)
            stem = self.name if index == 1 else f"{self.name}-{index}"
            ones.append(OneDataSet(stem=stem, scale=one, runs=runs, shown=shown))
        return ones

    def tables(self, scale: Scale, found: Results) -> Sequence[Table]:
        """A table a data set."""
        tables = map(self.table, self.by_data_set(scale, found))
        return [table for table in tables if table is not None]

    def figures(self, scale: Scale, found: Results, store: ResultStore) -> dict[str, Figure]:
        """A picture a data set of which there is something to show."""
        drawn = {one.stem: self.figure(one, store) for one in self.by_data_set(scale, found)}
        return {stem: figure for stem, figure in drawn.items() if figure is not None}
