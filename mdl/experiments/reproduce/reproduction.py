"""Carries out `mdl reproduce`: checks the images, trains in stages, draws, and tells of it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from mdl.experiments.engines.engine import Engine
from mdl.experiments.engines.trial_progress import TrialProgress
from mdl.experiments.reproduce.artefact import Artefact, Drawing
from mdl.experiments.reproduce.scale import Scale
from mdl.experiments.reproduce.tables import fill_page, print_table
from mdl.experiments.store.result_store import Results, ResultStore, images_of
from mdl.experiments.store.run_result import run_key
from mdl.experiments.store.time_estimate import training_flop
from mdl.terminal import console
from mdl.terminal.errors import message_of
from training.data.image_set import check_same_images
from training.data.loading import check_within_reach, load_dataset
from training.errors import DataError
from training.spec.config import TrainConfig
from training.system.files import read_text, write_text_atomically
from training.system.signals import StopRequest


def check_images(configs: Iterable[TrainConfig], found: Results) -> None:
    """Load the images of every data set once, and compare them with those of the results.

    Args:
        configs: What is about to be trained.
        found: Results of the same tables and figures, asked for before.

    Raises:
        DataError: Images that cannot be read, or others than those of the results.
    """
    by_images = {images_of(config.data): config.data for config in configs}
    for data in by_images.values():
        dataset = load_dataset(data)
        known = found.sample_of(data)
        if known is not None:
            check_same_images(
                dataset,
                name=known.data_name,
                fingerprint=known.fingerprint,
                owner=f"the stored result {known.key}",
                way_out="pass --store with another folder, or --data with those images",
            )


def lost_images(scale: Scale) -> list[str]:
    """A sentence for each data set whose images cannot be had here and now; nothing is read."""
    notes = []
    for one in scale.by_data_set():
        if one.data.is_generated:
            continue
        try:
            check_within_reach(one.data)
        except DataError as error:
            notes.append(message_of(error))
    return notes


def without_results(scale: Scale, store: ResultStore) -> list[str]:
    """A sentence for each data set on which the store has no result at all.

    Raises:
        StoreError: A file of the store is damaged.
    """
    there = sorted({PurePath(result.config.data.source).name for result in store.all()})
    return [
        f"{store.root} has no result on {one.data.source}, only on {', '.join(there)}"
        if there
        else f"{store.root} has no result yet"
        for one in scale.by_data_set()
        if PurePath(one.data.source).name not in there
    ]


@dataclass(frozen=True, kw_only=True)
class Reproduction:
    """How the training for some artefacts ended.

    Attributes:
        failed: Key of a run that failed to why, in one line.
        signal_number: The signal that stopped it before all was done; None for none.
    """

    failed: dict[str, str]
    signal_number: int | None


def order_runs(plans: Mapping[str, Sequence[TrainConfig]]) -> list[TrainConfig]:
    """The runs of several artefacts, each once, those that decide most first.

    Trials come first, since further runs hang on what validation chooses among them; then the first
    seeds of everything before second ones; then the runs that more artefacts need; then the
    cheaper ones.

    Args:
        plans: Runs by artefact.
    """
    uses: dict[TrainConfig, int] = {}
    for configs in plans.values():
        for config in dict.fromkeys(configs):
            uses[config] = uses.get(config, 0) + 1

    def place(config: TrainConfig) -> tuple[bool, int, int, int]:
        return not _is_trial(config), config.seed, -uses[config], training_flop(config)

    return sorted(uses, key=place)


def train_missing(
    artefacts: Sequence[Artefact],
    scale: Scale,
    store: ResultStore,
    engine: Engine,
    *,
    progress: TrialProgress,
    stop: StopRequest,
) -> Reproduction:
    """Train what the artefacts need and the store lacks, stage by stage, until nothing is missing.

    A stage whose trials are not all there runs those alone, so that the runs that hang on the
    choice start as early as possible. A run that fails is not tried again in this call.

    Raises:
        ValueError: Results that cannot share a table.
        OSError: The store cannot be written to.
    """
    failed: dict[str, str] = {}
    while True:
        found = Results(store)
        plans = {each.name: each.plan(scale, found) for each in artefacts}
        missing = [
            config
            for config in order_runs(plans)
            if run_key(config) not in failed and found.get(config) is None
        ]
        if not missing:
            return Reproduction(failed=failed, signal_number=None)
        batch = [config for config in missing if _is_trial(config)] or missing
        outcome = engine.run(batch, store, progress=progress, stop=stop)
        failed |= outcome.failed
        if outcome.stopped:
            return Reproduction(failed=failed, signal_number=stop.signal_number)


def _is_trial(config: TrainConfig) -> bool:
    return config.data.validation > 0


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


def draw_page(page: Path, artefacts: Sequence[Artefact], scale: Scale, store: ResultStore) -> None:
    """Draw the tables of a Markdown page anew; see `tables.fill_page`.

    The place of a table is scale/data/name: laptop/cifar10/table2.

    Raises:
        ValueError: Results that cannot share a table, or a page whose blocks are not right.
        OSError: The page cannot be read or written.
    """
    found = Results(store)
    tables = {
        f"{one.name}/{PurePath(one.data.source).name}/{table.name}": table
        for one in scale.by_data_set()
        for each in artefacts
        for table in each.tables(one, found)
    }
    before = read_text(page, what="a page of Markdown", error=ValueError)
    try:
        text = fill_page(before, tables)
    except ValueError as error:
        raise ValueError(f"{page}: {error}") from error
    write_text_atomically(page, text)


def print_answers(drawn: Drawn, folder: Path) -> None:
    """Print where the files are, then a line for every artefact with its number of missing runs.

    Of one alone, its files too.
    """
    output = console.stdout()
    num_files = sum(len(drawing.files) for drawing in drawn.drawings.values())
    output.print(f"{num_files} files in {folder}. --full prints the tables.", markup=False)
    answers = {
        name: next((table.answer for table in drawing.tables if table.answer), "")
        for name, drawing in drawn.drawings.items()
    }
    for name in sorted(answers, key=lambda name: not answers[name]):
        files, missing = drawn.drawings[name].files, drawn.num_missing[name]
        picture = next((path.name for path in files if path.suffix == ".png"), "drawn")
        text = answers[name] or (picture if files else "nothing to draw yet")
        lacking = f"; {missing} missing" if missing else ""
        output.print(f"{name:<12}{text}{lacking}", markup=False)
        if len(drawn.drawings) == 1:
            for path in files:
                output.print(f"  {path}", markup=False)


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
