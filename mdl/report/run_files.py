"""What a run left behind: its folder, finished or not, or one checkpoint file alone."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mdl.experiments.store.metrics_file import parse_point, read_points
from mdl.experiments.store.run_result import EpochPoint
from training.checkpoint.checkpoint import FILE_NAME, Checkpoint, load_checkpoint
from training.run.run_folder import RunFolder
from training.system.files import read_text
from training.system.text import printable


@dataclass(frozen=True, kw_only=True, eq=False)
class ReportedRun:
    """All that the files of one run say. Strings among it are a stranger's.

    Attributes:
        path: As the user named it.
        name: Short, and unlike those of the other runs.
        checkpoint: Its last saved network; None where the run has saved none.
        config: The training configuration, as plain values; empty if unknown.
        versions: What made it.
        points: By epoch; of a checkpoint file alone its last epoch at most.
    """

    path: Path
    name: str
    checkpoint: Checkpoint | None
    config: dict[str, Any]
    versions: dict[str, Any]
    points: tuple[EpochPoint, ...]

    @property
    def is_finished(self) -> bool:
        """Whether the network is the final one, not one to be resumed."""
        return self.checkpoint is not None and self.checkpoint.training is None

    @property
    def num_epochs(self) -> int | None:
        """Epochs that the run was to have."""
        epochs = self.config.get("epochs")
        return epochs if type(epochs) is int else None

    @property
    def layer_names(self) -> tuple[str, ...]:
        """Of the network if it is known, else as the metrics name them."""
        if self.checkpoint is not None:
            return tuple(layer.name for layer in self.checkpoint.network.layers)
        return tuple(dict.fromkeys(name for point in self.points for name in point.num_nonzeros))


def read_runs(paths: Sequence[Path]) -> list[ReportedRun]:
    """Read the files of several runs.

    Raises:
        ValueError: A run is not there or given twice, or its files are not of `mdl train`.
        CheckpointError: A checkpoint cannot be used.
    """
    places = [_run_place(path) for path in paths]
    for index, place in enumerate(places):
        if place in places[:index]:
            raise ValueError(f"{paths[index]} is given twice; name each run once")
    return [
        _read_run(path, place, name)
        for path, place, name in zip(paths, places, short_names(places), strict=True)
    ]


def short_names(places: Sequence[Path]) -> list[str]:
    """Names that tell runs apart: the last part of each path, with parents where they are alike.

    >>> short_names([Path("/x/a/run"), Path("/x/b/run"), Path("/x/net.pt")])
    ['a/run', 'b/run', 'net']
    """
    plain = [place.with_suffix("") if place.suffix == ".pt" else place for place in places]
    names = []
    for one in plain:
        depth = 1
        while (
            depth < len(one.parts)
            and sum(p.parts[-depth:] == one.parts[-depth:] for p in plain) > 1
        ):
            depth += 1
        names.append(printable("/".join(one.parts[-depth:])))
    return names


def _run_place(path: Path) -> Path:
    """The run folder, or a checkpoint file outside of one."""
    place = path.resolve()
    if place.name == FILE_NAME and RunFolder(place.parent).config.exists():
        place = place.parent
    if not place.exists():
        raise ValueError(
            f"{path}: there is no such run; give a run folder of mdl train, or a checkpoint file"
        )
    folder = RunFolder(place)
    if place.is_dir() and not (folder.checkpoint.exists() or folder.config.exists()):
        raise ValueError(
            f"{path}: a folder without {FILE_NAME} and config.json; give a run folder of mdl train"
        )
    return place


def _read_run(path: Path, place: Path, name: str) -> ReportedRun:
    folder = RunFolder(place)
    is_folder = place.is_dir()
    file = folder.checkpoint if is_folder else place
    checkpoint = load_checkpoint(file) if file.exists() else None
    stored = _read_config(folder) if is_folder and folder.config.exists() else {}
    points = read_points(folder) if is_folder else ()
    if checkpoint is not None:
        points = points or _last_point(checkpoint)
        stored = {"config": checkpoint.config, "versions": checkpoint.versions} | stored
    return ReportedRun(
        path=path,
        name=name,
        checkpoint=checkpoint,
        config=_dict(stored.get("config")),
        versions=_dict(stored.get("versions")),
        points=points,
    )


def _read_config(folder: RunFolder) -> dict[str, Any]:
    text = read_text(folder.config, what="the config.json of a run", error=ValueError)
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{folder.config}: not a file of settings ({error})") from error
    if not isinstance(values, dict):
        raise ValueError(f"{folder.config}: must hold an object, not {type(values).__name__}")
    return values


def _last_point(checkpoint: Checkpoint) -> tuple[EpochPoint, ...]:
    try:
        return (parse_point(checkpoint.metrics),)
    except ValueError:
        return ()  # an embedded or compressed network has metrics of another kind


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
