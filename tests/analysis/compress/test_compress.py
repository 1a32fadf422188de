"""Compression from end to end on a few small images: what it reports is what the bits are."""

import io
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch

from analysis.bounds.bounds import binomial_tail
from analysis.certify.errors import count_certified_errors
from analysis.codes.checkpoint_message import message_network
from analysis.codes.network_code import decode_network
from analysis.compress.compress import compress_from_scratch, compress_state
from analysis.compress.compression import Compression, CompressionSettings, CurvePoint, Progress
from analysis.compress.qat_training import QATEpoch, QATSettings
from analysis.compress.recipes import RECIPES, find_recipe
from analysis.compress.run_file import RunFile, StoppedError
from analysis.compress.start import THRESHOLDS
from analysis.quantize.formats import find_format
from training.data.image_set import ImageSet
from training.data.input_map import InputMap
from training.data.loading import load_dataset
from training.errors import CheckpointError, ConfigError
from training.networks.models import build_network
from training.spec.architectures import NetworkSpec
from training.spec.config import DataConfig
from training.spec.normalization import Normalization, fixed_normalization

FORMAT = find_format(8)
FIXED = InputMap(fixed_normalization(3))
PERMUTATION_SEED = 7


class Recorder(Progress):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.points: list[CurvePoint] = []
        self.epochs: list[int] = []
        self.counted: tuple[int, int] = (0, 0)
        self.trials: list[tuple[int, int]] = []

    def on_point(self, point: CurvePoint) -> None:
        self.points.append(point)

    def on_epoch(self, metrics: QATEpoch, num_epochs: int) -> None:
        assert num_epochs >= metrics.epoch
        self.epochs.append(metrics.epoch)

    def on_trial(self, done: int, total: int) -> None:
        self.trials.append((done, total))

    def on_count(self, done: int, total: int) -> None:
        self.counted = (done, total)


@pytest.fixture(scope="module")
def images() -> ImageSet:
    return load_dataset(DataConfig(image_size=8, num_train=200, num_test=10)).train


def make_spec(name: str) -> NetworkSpec:
    return NetworkSpec(name=name, image_size=8, num_classes=10, base_channels=1)


def make_settings(**changes) -> CompressionSettings:
    training = QATSettings(epochs=3, batch_size=20, lr=0.05, seed=changes.pop("seed", 0))
    return CompressionSettings(training=training, **{"levels": (1,), "num_trials": 15} | changes)


def make_state(spec: NetworkSpec) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    state = {}
    for name, tensor in build_network(spec, folded=True).state_dict().items():
        values = torch.randn(tensor.shape, generator=generator) / 4
        state[name] = values.abs() + 0.5 if name.endswith("scale") else values
    return state


def check_result(
    result: Compression, images: ImageSet, spec: NetworkSpec, inputs: InputMap = FIXED
) -> None:
    """Decode the bits by themselves, count by the stated evaluation, and bound anew."""
    decoded = decode_network(result.codeword.data)
    assert decoded.message.spec == spec
    assert decoded.message.inputs == inputs
    assert decoded.num_bits == result.codeword.num_bits <= 8 * len(result.codeword.data)
    for tensor in decoded.message.state.values():
        assert torch.equal(FORMAT.round(tensor), tensor)
    errors = count_certified_errors(message_network(decoded.message), images, inputs)
    bound = binomial_tail(errors.num_errors, len(images), decoded.num_bits, result.delta)
    last = result.curve[-1]
    assert (last.stage, last.description_bits, last.num_errors, last.bound) == (
        "certified",
        decoded.num_bits,
        errors.num_errors,
        bound,
    )
    report = result.to_dict()
    assert report["bound"] == result.bound == bound
    assert report["num_samples"] == len(images)
    assert sum(entry["bits"] for entry in report["ledger"]) == pytest.approx(decoded.num_bits)
    assert all(
        point.bound == binomial_tail(point.num_errors, 200, point.description_bits, result.delta)
        for point in result.curve
    )


@pytest.mark.sample(3)
@pytest.mark.parametrize("name", ["s-fc", "s-conv", "tiny-conv"])
def test_from_scratch(images, name):
    spec, recorder = make_spec(name), Recorder()
    result = compress_from_scratch(
        spec, images, FIXED, number_format=FORMAT, settings=make_settings(), progress=recorder
    )
    check_result(result, images, spec)
    assert [point.stage for point in result.curve] == [
        "start",
        "training",
        "training",
        "training",
        "refined",
        "certified",
    ]
    assert recorder.points == result.curve
    assert recorder.epochs == [1, 2, 3]
    assert recorder.counted == (200, 200)
    assert recorder.trials
    assert all(done <= total == 15 for done, total in recorder.trials)
    assert result.starts == []
    weights = result.codeword.message.state["conv1.weight"]
    assert len(weights.abs().unique()) <= 2  # 0 and one size


@pytest.mark.sample(3)
@pytest.mark.parametrize("name", ["s-fc", "s-conv", "tiny-conv"])
@pytest.mark.slow
def test_from_a_network(images, name):
    spec = make_spec(name)
    settings = make_settings(levels=(1, 2), num_trials=0, delta=0.01)
    result = compress_state(
        spec, make_state(spec), images, FIXED, number_format=FORMAT, settings=settings
    )
    check_result(result, images, spec)
    assert result.delta == 0.01
    tried = [(each["max_level"], each["threshold"]) for each in result.starts]
    assert tried == list(product((1, 2), THRESHOLDS))
    best = min(result.starts, key=lambda each: each["score"])
    assert (result.curve[0].stage, result.curve[0].num_errors) == ("start", best["num_errors"])
    assert "refined" not in {point.stage for point in result.curve}


def test_pixels_in_another_order(images):
    permuted = replace(FIXED, permutation_seed=PERMUTATION_SEED)
    spec = make_spec("s-fc")
    result = compress_state(
        spec,
        make_state(spec),
        images,
        permuted,
        number_format=FORMAT,
        settings=make_settings(num_trials=0),
    )
    check_result(result, images, spec, permuted)


@pytest.mark.slow
def test_same_seed_same_bits(images):
    spec = make_spec("tiny-conv")
    one, again, other = (
        compress_from_scratch(
            spec,
            images,
            FIXED,
            number_format=FORMAT,
            settings=make_settings(seed=seed, num_trials=5),
        )
        for seed in (0, 0, 1)
    )
    assert one.codeword.data == again.codeword.data
    assert one.curve == again.curve
    assert one.codeword.data != other.codeword.data


class StopAfter:
    """Asks to stop when it has been asked often enough."""

    def __init__(self, number: int) -> None:
        self.left = number

    @property
    def requested(self) -> bool:
        self.left -= 1
        return self.left < 0


@pytest.mark.parametrize("every", [1, 7, 20])
@pytest.mark.parametrize("kind", ["from scratch", "normalized", "from a network"])
def test_a_compression_that_is_stopped_again_and_again_gives_the_same_bits(
    images, tmp_path, every, kind
):
    """After every single piece of work, and after some: training, measuring, trials, counting."""
    settings = make_settings(num_trials=4, normalized=kind == "normalized")
    spec = make_spec("s-conv")

    def run(file: RunFile | None) -> Compression:
        given = {"number_format": FORMAT, "settings": settings, "file": file}
        if kind == "from a network":
            return compress_state(spec, make_state(spec), images, FIXED, **given)
        return compress_from_scratch(spec, images, FIXED, **given)

    whole, result, num_stops = run(None), None, 0
    while result is None:
        # One more each time, since work that is not kept is begun anew.
        file = RunFile(tmp_path / "state", {"seed": 0}, stop=StopAfter(every + num_stops))
        try:
            result = run(file)
        except StoppedError:
            num_stops += 1
    assert num_stops > 0
    assert result.codeword.data == whole.codeword.data
    assert result.curve == whole.curve
    assert (result.errors, result.starts) == (whole.errors, whole.starts)
    file.remove()
    assert not list(tmp_path.iterdir())


def test_a_file_of_other_settings_or_none_of_ours_is_refused(tmp_path):
    path = tmp_path / "out" / "state"
    path.parent.mkdir()
    RunFile(path, {"seed": 0, "levels": (1, 2)}).save({"step": 3, "values": torch.arange(3.0)})
    found = RunFile(path, {"seed": 0, "levels": (1, 2)}).read()
    assert found["step"] == 3 and found["values"].tolist() == [0, 1, 2]
    with pytest.raises(ConfigError, match="with seed 0 and not 1; give the command that began it"):
        RunFile(path, {"seed": 1, "levels": (1, 2)}).read()
    archives = []
    for plain in ("[]", '{"settings": [1]}', '{"settings": 3}', "3"):
        buffer = io.BytesIO()
        np.savez(buffer, plain=np.frombuffer(plain.encode(), dtype=np.uint8))
        archives.append(buffer.getvalue())
    for damaged in (b"", b"no archive", path.read_bytes()[:-40], *archives):
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError, match="not the state of a compression, or damaged"):
            RunFile(path, {"seed": 0}).read()


@pytest.mark.parametrize(
    "state",
    [
        {"curve": [1]},
        {"best_score": "low"},
        {"training/step": 1},
        {"training/step": "one", "training/values": torch.zeros(2)},
    ],
)
def test_a_state_that_cannot_be_taken_up_is_refused(images, tmp_path, state):
    spec, settings = make_spec("tiny-conv"), make_settings(num_trials=0)
    file = RunFile(tmp_path / "state", {})
    file.save(state)
    with pytest.raises(CheckpointError, match="not the state of a compression, or damaged"):
        compress_from_scratch(
            spec, images, FIXED, number_format=FORMAT, settings=settings, file=file
        )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"penalty_factor": float("nan")}, "penalty must be > 0, not nan"),
        ({"penalty_factor": -1.0}, "penalty must be > 0"),
        ({"num_trials": -5}, "trials must be >= 0, not -5"),
        ({"levels": (1, 17)}, "levels must lie in 1..16"),
        ({"levels": ()}, "levels must lie in 1..16"),
        ({"delta": 1.0}, "delta must lie in"),
    ],
)
def test_settings_outside_their_range_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        make_settings(**changes)


def test_a_full_disk_does_not_end_the_work(tmp_path):
    told = []
    file = RunFile(tmp_path / "gone" / "state", {}, tell=told.append)
    file.pause(lambda: {"step": 1})
    assert len(told) == 1 and "not saved, and the work continues" in told[0]


@pytest.mark.slow
def test_what_is_kept_is_the_best_on_the_way(images):
    """Nothing shown on the curve before beats what is certified, but for errors in float32."""
    spec = make_spec("s-conv")
    result = compress_from_scratch(
        spec, images, FIXED, number_format=FORMAT, settings=make_settings(num_trials=40)
    )
    best = min(point.bound for point in result.curve)
    assert result.bound <= best + 2 / 200


def test_large_networks_are_not_refined(images, monkeypatch):
    monkeypatch.setattr("analysis.compress.compress._MAX_REFINED", 10)
    result = compress_from_scratch(
        make_spec("s-conv"), images, FIXED, number_format=FORMAT, settings=make_settings()
    )
    assert "refined" not in {point.stage for point in result.curve}


def test_recipes():
    assert all(find_recipe(name).name == name for name in RECIPES)
    with pytest.raises(ValueError, match="one of mnist-tight, cifar10-tight, not 'cifar-tight'"):
        find_recipe("cifar-tight")


def test_errors_are_those_of_the_constants_in_the_bits(images, monkeypatch):
    """Constants from data are float32 in the bits, and the decoded network has no others."""
    own = Normalization(mean=(0.1, 0.2, 1 / 3), std=(0.3, 0.4, 0.7), source="data")
    counted = []

    def count(network, images, inputs, **options):
        counted.append(inputs)
        return count_certified_errors(network, images, inputs, **options)

    monkeypatch.setattr("analysis.compress.compress.count_certified_errors", count)
    settings = make_settings(num_trials=0)
    result = compress_from_scratch(
        make_spec("s-conv"), images, InputMap(own), number_format=FORMAT, settings=settings
    )
    assert counted == [decode_network(result.codeword.data).message.inputs]
    assert counted[0].normalization != own
