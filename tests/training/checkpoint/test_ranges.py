"""Fields of a checkpoint with one value changed: refused in one line that names the file."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.data.make_bad_checkpoints import changed
from training.checkpoint.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from training.checkpoint.ranges import check_training
from training.data.image_set import Dataset
from training.data.loading import load_dataset
from training.distributed.run_options import RunOptions
from training.errors import CheckpointError, UserError
from training.run.evaluate import evaluation_data
from training.run.loop import run_training
from training.run.progress import Unwatched
from training.run.run_folder import RunFolder
from training.spec.config import DataConfig, TrainConfig

DATA = DataConfig(image_size=8, num_train=64, num_test=8)
CONFIG = TrainConfig(
    network="s-conv",
    base_channels=1,
    data=DATA,
    method="sgd",
    momentum=0.9,
    epochs=2,
    batch_size=32,
    precision="fp32",
)
LARGE = (2**63, 10**400, -1, float("nan"), float("inf"), "x", True, None, [1], {"a": 1})


class StopsSoon(Unwatched):
    requested = True


def run(folder: Path, dataset: Dataset, resume_from: Checkpoint | None = None) -> Checkpoint:
    """A run that stops after its first step, with all that resuming needs."""
    return run_training(
        config=CONFIG,
        dataset=dataset,
        folder=RunFolder(folder),
        options=RunOptions(device=torch.device("cpu")),
        progress=Unwatched(),
        stop=StopsSoon(),
        resume_from=resume_from,
    ).checkpoint


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return load_dataset(DATA)


@pytest.fixture(scope="module")
def contents(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the file of a stopped run holds."""
    folder = tmp_path_factory.mktemp("run")
    run(folder, dataset)
    found: dict[str, Any] = torch.load(folder / "checkpoint.pt", weights_only=True)
    return found


@pytest.fixture
def stopped(contents: dict[str, Any], dataset: Dataset) -> tuple[dict[str, Any], Dataset]:
    """What the file of a stopped run holds, and its images."""
    return contents, dataset


def with_value(value: Any, place: tuple[Any, ...], new: Any) -> Any:
    """The value with a part of it changed."""
    if not place:
        return new
    part = with_value(value[place[0]], place[1:], new)
    if isinstance(value, dict):
        return {**value, place[0]: part}
    return type(value)([*value[: place[0]], part, *value[place[0] + 1 :]])


def refusals(contents: dict[str, Any], path: Path, place: tuple[Any, ...]) -> Iterator[str]:
    """What is said of each of the values in a place; "" of those that are taken."""
    for value in LARGE:
        path.write_bytes(changed(with_value(contents, place, value)))
        try:
            load_checkpoint(path)
        except CheckpointError as error:
            assert str(path) in str(error)
            assert "\n" not in str(error)
            assert len(str(error).removeprefix(str(path))) < 300
            yield str(error)
        else:
            yield ""


COUNTS = [
    ("network", "image_size"),
    ("network", "num_classes"),
    ("data", "num_samples"),
    ("data", "config", "validation"),
    ("data", "config", "seed"),
    ("config", "epochs"),
    ("config", "batch_size"),
    ("config", "seed"),
    ("config", "data", "seed"),
    ("config", "augmentation", "crop"),
    ("training", "step"),
    ("training", "num_right"),
    ("training", "optimizer", "param_groups", 0, "params", 0),
]
NUMBERS = [
    ("normalization", "mean", 0),
    ("normalization", "std", 0),
    ("config", "lr"),
    ("config", "beta"),
    ("training", "seconds"),
    ("training", "loss_sum"),
    ("training", "optimizer", "param_groups", 0, "lr"),
]
OTHERS = [
    ("state",),
    ("num_nonzeros", "conv1"),
    ("training", "cpu_generator"),
    ("training", "optimizer", "state"),
    ("training", "optimizer", "param_groups"),
    ("config", "augmentation", "flip"),
]


@pytest.mark.parametrize("place", COUNTS + NUMBERS, ids=lambda place: ".".join(map(str, place)))
def test_a_number_out_of_its_range_is_refused(
    place: tuple[Any, ...], contents: dict[str, Any], tmp_path: Path
) -> None:
    said = dict(zip(map(repr, LARGE), refusals(contents, tmp_path / "a.pt", place), strict=True))
    taken = {value for value, words in said.items() if not words}
    seeds = {repr(2**63)} if place[-1] in ("seed", "lr", "beta", "seconds", "loss_sum") else set()
    means = {repr(2**63), "-1"} if place[0] == "normalization" else set()
    assert taken <= seeds | means


@pytest.mark.parametrize("place", OTHERS, ids=lambda place: ".".join(map(str, place)))
def test_other_values_must_be_of_their_type(
    place: tuple[Any, ...], contents: dict[str, Any], tmp_path: Path
) -> None:
    assert {repr(True)} >= {
        repr(value)
        for value, words in zip(LARGE, refusals(contents, tmp_path / "a.pt", place), strict=True)
        if not words
    }


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (("config", "data", "num_train"), 10**12, "name different images"),
        (("config", "base_channels"), 2, "config is of another network"),
        (("data", "name"), "x" * 5000, "at most 4096 characters"),
        (("versions", "torch"), [1], "must be text or a number"),
        (("metrics",), {"epoch": None}, "an integer >= 0, not None"),
        (("metrics",), {"test_errors": 9, "num_test": 8}, "more test_errors than num_test"),
        (("metrics",), {"sparse_layers": 3}, "list of names"),
    ],
)
def test_what_contradicts_the_rest_is_refused(
    place: tuple[Any, ...], value: Any, words: str, contents: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "a.pt").write_bytes(changed(with_value(contents, place, value)))
    with pytest.raises(CheckpointError, match=words):
        load_checkpoint(tmp_path / "a.pt")


def test_no_image_is_drawn_that_the_record_does_not_have(
    contents: dict[str, Any], tmp_path: Path
) -> None:
    made = contents
    for place in (("config", "data"), ("data", "config")):
        made = with_value(made, (*place, "num_train"), 10**12)
    (tmp_path / "a.pt").write_bytes(changed(made))
    with pytest.raises(CheckpointError, match=r"training saw 64 images, .* ask for 1000000000000"):
        evaluation_data(load_checkpoint(tmp_path / "a.pt"))
    made = with_value(made, ("data", "num_samples"), 10**12)
    (tmp_path / "a.pt").write_bytes(changed(made))
    with pytest.raises(UserError, match=r"glyphs of 8x8 needs about 200,000\.0 GB of memory"):
        evaluation_data(load_checkpoint(tmp_path / "a.pt"))


def buffer(contents: dict[str, Any], value: Any) -> dict[str, Any]:
    place = ("training", "optimizer", "state", 0, "momentum_buffer")
    found: dict[str, Any] = with_value(contents, place, value)
    return found


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (("training", "step"), 5, "at step 5 of a run of 4"),
        (("training", "num_right"), 65, "65 right answers to"),
        (("training", "optimizer", "param_groups", 0, "momentum"), 0.5, "momentum of a group"),
        (("training", "optimizer", "param_groups", 0, "params"), [7], "params of a group"),
        (("training", "cpu_generator"), torch.zeros(8, dtype=torch.uint8), "RNG state"),
        (("training", "scaler"), {}, ""),
        (("metrics",), {"epoch": 2}, "has done 0 epochs, its metrics 2"),
    ],
    ids=str,
)
def test_a_state_that_is_not_the_runs_is_not_resumed(
    place: tuple[Any, ...],
    value: Any,
    words: str,
    stopped: tuple[dict[str, Any], Dataset],
    tmp_path: Path,
) -> None:
    contents, dataset = stopped
    (tmp_path / "checkpoint.pt").write_bytes(changed(with_value(contents, place, value)))
    loaded = load_checkpoint(tmp_path)
    if not words:
        run(tmp_path, dataset, loaded)
        return
    with pytest.raises(CheckpointError, match=words) as caught:
        run(tmp_path, dataset, loaded)
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("value", [torch.zeros(3), torch.zeros(()), torch.zeros(2, 0)], ids=str)
def test_a_buffer_has_the_shape_of_its_weight(
    value: torch.Tensor, contents: dict[str, Any], dataset: Dataset, tmp_path: Path
) -> None:
    (tmp_path / "checkpoint.pt").write_bytes(changed(buffer(contents, value)))
    with pytest.raises(CheckpointError, match="momentum_buffer of parameter 0 must be a tensor"):
        run(tmp_path, dataset, load_checkpoint(tmp_path))


def test_tensors_that_overlap_are_refused(contents: dict[str, Any], tmp_path: Path) -> None:
    numbers = torch.zeros(200_000)
    views = {number: {"a": numbers[number:]} for number in range(9)}
    made = with_value(contents, ("training", "optimizer", "state"), views)
    (tmp_path / "a.pt").write_bytes(changed(made))
    with pytest.raises(CheckpointError, match="overlap each other"):
        load_checkpoint(tmp_path / "a.pt")
    same = {number: {"a": numbers} for number in range(9)}
    made = with_value(contents, ("training", "optimizer", "state"), same)
    (tmp_path / "a.pt").write_bytes(changed(made))
    loaded = load_checkpoint(tmp_path / "a.pt")
    assert loaded.training is not None
    found = loaded.training["optimizer"]["state"]
    assert found[0]["a"].data_ptr() == found[8]["a"].data_ptr()


def test_all_of_a_state_must_be_there(contents: dict[str, Any]) -> None:
    training = contents["training"]
    check_training(training, is_whole=True)
    for name in training:
        rest = {each: training[each] for each in training if each != name}
        check_training(rest, is_whole=False)
        with pytest.raises(ValueError, match=f"training lacks '{name}'"):
            check_training(rest, is_whole=True)


def test_what_is_made_here_is_what_is_read(dataset: Dataset, tmp_path: Path) -> None:
    made = run(tmp_path, dataset)
    loaded = load_checkpoint(tmp_path)
    assert (loaded.data, loaded.config) == (made.data, made.config)
    save_checkpoint(replace(loaded, training=None), tmp_path / "b.pt")
    assert load_checkpoint(tmp_path / "b.pt").training is None
