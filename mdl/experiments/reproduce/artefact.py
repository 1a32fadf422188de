"""A table or figure: the runs that it needs, and how it is drawn from their results."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from analysis.codes.ledger import Entry
from figures.style.files import save_figure_pair
from figures.style.look import figure_style
from mdl.experiments.reproduce.run_plan import RunPlan
from mdl.experiments.reproduce.scales import Scale
from mdl.experiments.reproduce.tables import Table, write_table
from mdl.experiments.store.result_store import FindsResults, Results
from mdl.experiments.store.run_result import RunResult
from training.run.run_folder import RunFolder
from training.spec.config import TrainConfig


class Store(FindsResults, Protocol):
    """What drawing takes from a result store."""

    def run_folder(self, config: TrainConfig) -> RunFolder:
        """The run folder of a configuration; it need not be there."""

    def ledger(self, config: TrainConfig) -> list[Entry] | None:
        """Where the bits of a run's description go; None where that was not kept."""

    def put_ledger(self, config: TrainConfig, entries: Sequence[Entry]) -> None:
        """Keep where they go."""

    def filters(self, config: TrainConfig) -> NDArray[np.float16] | None:
        """Filters of the first layer, (n, channels, s, s); None where none were kept."""


def stems(name: str, scale: Scale) -> list[tuple[str, Scale]]:
    """A stem of files for each data set of a scale: the name, then name-2, name-3, ..."""
    return [
        (name if index == 1 else f"{name}-{index}", one)
        for index, one in enumerate(scale.by_data_set(), start=1)
    ]


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """What an artefact has drawn.

    Attributes:
        tables: What its tables hold.
        files: The files written; none where there is nothing to show yet.
    """

    tables: tuple[Table, ...]
    files: tuple[Path, ...]


class NothingFound:
    """A store without results."""

    def find(self, config: TrainConfig) -> RunResult | None:
        """None."""


class Artefact(ABC):
    """One table or figure, or several that belong together.

    A subclass says in `collect` which runs it needs, by asking a `RunPlan` for their results;
    `tables` and `figures` ask in the same way for what they show.

    Attributes:
        name: What `mdl reproduce` takes, and the stem of the files.
        about: One sentence for people.
    """

    name: str
    about: str

    @abstractmethod
    def collect(self, scale: Scale, runs: RunPlan) -> None:
        """Ask `runs` for every result that drawing takes."""

    def tables(self, scale: Scale, found: Results) -> Sequence[Table]:
        """The tables, also with results missing."""
        return ()

    def figures(self, scale: Scale, found: Results, store: Store) -> dict[str, Figure]:
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
        runs = RunPlan(found or Results(NothingFound()), assumes=True)
        self.collect(scale, runs)
        return runs.configs

    def draw(self, scale: Scale, found: Results, store: Store, out: Path) -> Drawing:
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
