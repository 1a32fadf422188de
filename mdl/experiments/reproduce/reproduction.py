"""Carries out `mdl reproduce`: trains what is missing, draws every artefact, and tells of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mdl.experiments.engines.engine import Engine
from mdl.experiments.engines.trial_progress import TrialProgress
from mdl.experiments.reproduce.artefact import Artefact, Drawing
from mdl.experiments.reproduce.image_check import check_images
from mdl.experiments.reproduce.scale import Scale
from mdl.experiments.reproduce.stages import Reproduction, train_missing
from mdl.experiments.reproduce.table_files import print_table
from mdl.experiments.store.result_store import ResultStore
from mdl.experiments.store.results import Results
from mdl.terminal import console
from training.system.signals import StopRequest


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """All artefacts of a call, in order.

    Attributes:
        drawings: By the artefact's name.
        num_missing: Likewise, runs that have no result, settings yet to be chosen among them.
    """

    drawings: dict[str, Drawing]
    num_missing: dict[str, int]

    def as_json(self) -> dict[str, Any]:
        """Primitives only."""
        return {
            "artefacts": {
                name: {
                    "tables": [table.as_json() for table in drawing.tables],
                    "files": [str(path) for path in drawing.files],
                    "num_missing": self.num_missing[name],
                }
                for name, drawing in self.drawings.items()
            }
        }


def train_all(
    artefacts: Sequence[Artefact], scale: Scale, store: ResultStore, engine: Engine
) -> Reproduction:
    """Train what is missing, with progress on stderr; Ctrl-C saves and stops.

    Raises:
        DataError: Images that cannot be read, or that are not those of the stored results.
        ValueError: Results that cannot share a table.
    """
    found = Results(store)
    missing = [config for each in artefacts for config in found.missing(each.plan(scale, found))]
    check_images(missing, found)
    with StopRequest() as stop, TrialProgress() as progress:
        return train_missing(artefacts, scale, store, engine, progress=progress, stop=stop)


def draw_all(artefacts: Sequence[Artefact], scale: Scale, store: ResultStore, out: Path) -> Drawn:
    """Draw every artefact into a folder, which is made if it is not there.

    Raises:
        ValueError: Results that cannot share a table.
        OSError: The folder cannot be written to.
    """
    out.mkdir(parents=True, exist_ok=True)
    found = Results(store)
    return Drawn(
        drawings={each.name: each.draw(scale, found, store, out) for each in artefacts},
        num_missing={
            each.name: len(found.missing(each.preview(scale, found))) for each in artefacts
        },
    )


def print_drawn(drawn: Drawn) -> None:
    """Print the tables, then a line for every file."""
    output = console.stdout()
    for name, drawing in drawn.drawings.items():
        for table in drawing.tables:
            print_table(table)
        if not drawing.files:
            missing = drawn.num_missing[name]
            output.print(f"{name}: nothing to draw yet; runs missing: {missing}.", markup=False)
        for path in drawing.files:
            output.print(f"{name}: {path}", markup=False)
