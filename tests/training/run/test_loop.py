import copy
import itertools
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from training.checkpoint.checkpoint import load_checkpoint, restore_network
from training.data.input_map import InputMap, pixel_permutation
from training.data.loading import Dataset, ImageSet
from training.distributed.run_options import RunOptions
from training.distributed.weights import build_optimizer
from training.errors import CheckpointError, TrainingError
from training.run.evaluate import count_errors
from training.run.loop import TrainResult, run_training
from training.run.progress import EpochMetrics
from training.run.run_folder import RunFolder
from training.run.state import TrainingState, cosine_lr, derive_seed
from training.spec.config import Augmentation, DataConfig, TrainConfig
from training.spec.normalization import fixed_normalization

CPU = torch.device("cpu")


def make_dataset(num_train: int = 70, num_test: int = 20, size: int = 8) -> Dataset:
    """Images whose brightness tells the class, with noise."""
    generator = torch.Generator().manual_seed(5)

    def part(number: int) -> ImageSet:
        labels = torch.randint(0, 3, (number,), generator=generator)
        noise = torch.randint(0, 120, (number, 3, size, size), generator=generator)
        return ImageSet(
            images=(noise + 60 * labels[:, None, None, None]).to(torch.uint8), labels=labels
        )

    return Dataset(
        name="brightness",
        train=part(num_train),
        test=part(num_test),
        class_names=("a", "b", "c"),
        fingerprint="0" * 64,
    )


def make_config(**settings: object) -> TrainConfig:
    defaults: dict[str, object] = {
        "network": "s-fc",
        "base_channels": 2,
        "epochs": 3,
        "batch_size": 16,
        "l1_conv": 1e-3,
        "l1_fc": 1e-4,
        "beta": 10.0,
        "precision": "fp32",
        "dropout": 0.2,
        "augmentation": Augmentation(flip=True, crop=1, cutout=2),
    }
    return TrainConfig(**(defaults | settings))  # type: ignore[arg-type]


class Watch:
    """Progress that keeps the epochs, and a stop after a given number of steps."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.epochs: list[EpochMetrics] = []
        self.notes: list[str] = []
        self.stop_after = stop_after
        self.requested = False

    def on_step(self, step: int, num_steps: int) -> None:
        self.requested = self.stop_after is not None and step >= self.stop_after

    def on_epoch(self, metrics: EpochMetrics) -> None:
        self.epochs.append(metrics)

    def on_note(self, line: str) -> None:
        self.notes.append(line)


def run(
    config: TrainConfig, folder: Path, *, stop_after: int | None = None, resume: bool = False
) -> TrainResult:
    folder.mkdir(exist_ok=True)
    watch = Watch(stop_after)
    return run_training(
        config=config,
        dataset=make_dataset(),
        folder=RunFolder(folder),
        options=RunOptions(),
        progress=watch,
        stop=watch,
        resume_from=load_checkpoint(folder) if resume else None,
    )


def without_times(lines: list[dict[str, object]]) -> list[dict[str, object]]:
    timed = {"seconds", "images_per_second", "memory_bytes", "weight_bytes"}  # or by rank
    return [{k: v for k, v in line.items() if k not in timed} for line in lines]


def test_a_run_leaves_a_checkpoint_that_predicts(tmp_path: Path) -> None:
    config = make_config(dropout=0.0, epochs=8)
    result = run(config, tmp_path)
    assert result.status == "finished"
    checkpoint = load_checkpoint(tmp_path)
    assert checkpoint.training is None
    assert checkpoint.data is not None
    assert (checkpoint.data.num_samples, checkpoint.data.num_test) == (70, 20)
    dataset = make_dataset()
    errors = count_errors(restore_network(checkpoint), dataset.train, checkpoint.inputs)
    assert errors == result.metrics["train_errors"] < 0.3 * 70
    lines = RunFolder(tmp_path).read_metrics()
    assert [line["epoch"] for line in lines] == list(range(1, 9))
    assert lines[-1]["step"] == 8 * (70 // 16)
    assert lines[-1]["num_nonzeros"] == checkpoint.num_nonzeros


@pytest.mark.sample(3)
@pytest.mark.parametrize("method", ["beta-lasso", "sgd"])
@pytest.mark.parametrize("stop_after", [1, 4, 6, 11, 12])
def test_a_stopped_run_goes_on_to_bit_identical_weights(
    method: str, stop_after: int, tmp_path: Path
) -> None:
    settings = (
        {}
        if method == "beta-lasso"
        else {"l1_conv": 0.0, "l1_fc": 0.0, "momentum": 0.9, "weight_decay": 1e-3}
    )
    config = make_config(method=method, **settings)
    whole = run(config, tmp_path / "whole")
    stopped = run(config, tmp_path / "cut", stop_after=stop_after)
    assert stopped.status == "stopped"
    assert load_checkpoint(tmp_path / "cut").training["step"] == stop_after  # type: ignore[index]
    resumed = run(config, tmp_path / "cut", resume=True)
    for name, value in whole.checkpoint.state.items():
        assert torch.equal(value, resumed.checkpoint.state[name]), name
    assert without_times(RunFolder(tmp_path / "whole").read_metrics()) == without_times(
        RunFolder(tmp_path / "cut").read_metrics()
    )


def test_a_signal_while_errors_are_counted_at_the_end_loses_nothing(tmp_path: Path) -> None:
    config = make_config()
    whole = run(config, tmp_path / "whole")

    class StopAtTheEnd(Watch):
        def on_epoch(self, metrics: EpochMetrics) -> None:
            super().on_epoch(metrics)
            self.requested = metrics.epoch == config.epochs

    folder, watch = tmp_path / "cut", StopAtTheEnd()
    folder.mkdir()
    stopped = run_training(
        config=config,
        dataset=make_dataset(),
        folder=RunFolder(folder),
        options=RunOptions(),
        progress=watch,
        stop=watch,
    )
    assert (stopped.status, len(watch.epochs)) == ("stopped", config.epochs)
    resumed = run(config, folder, resume=True)
    assert resumed.status == "finished"
    assert without_times([whole.metrics]) == without_times([resumed.metrics])
    assert len(RunFolder(folder).read_metrics()) == config.epochs


def test_a_run_twice_is_the_same_and_another_seed_is_not(tmp_path: Path) -> None:
    first = run(make_config(epochs=1), tmp_path / "a").checkpoint.state
    again = run(make_config(epochs=1), tmp_path / "b").checkpoint.state
    other = run(make_config(epochs=1, seed=1), tmp_path / "c").checkpoint.state
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["conv1.weight"], other["conv1.weight"])


def test_a_finished_run_cannot_be_resumed(tmp_path: Path) -> None:
    config = make_config(epochs=1)
    run(config, tmp_path)
    with pytest.raises(CheckpointError, match="finished"):
        run(config, tmp_path, resume=True)


def test_a_diverging_run_stops_and_keeps_the_last_good_checkpoint(tmp_path: Path) -> None:
    config = make_config(
        network="3-fc",
        base_channels=None,
        hidden_units=4,
        method="sgd",
        l1_conv=0.0,
        l1_fc=0.0,
        lr=1e12,
        epochs=3,
    )
    with pytest.raises(TrainingError, match=r"not finite by step .* last good state.*smaller lr"):
        run(config, tmp_path)
    kept = load_checkpoint(tmp_path)
    assert all(bool(torch.isfinite(value).all()) for value in kept.state.values())


@pytest.mark.parametrize("precision", ["bf16", "fp16", "fp64"])
def test_every_precision_trains(precision: str, tmp_path: Path) -> None:
    result = run(make_config(precision=precision, epochs=2), tmp_path)
    kinds = {value.dtype for name, value in result.checkpoint.state.items() if "num_" not in name}
    assert kinds == {torch.float64 if precision == "fp64" else torch.float32}
    assert math.isfinite(result.metrics["train_loss"])


def test_validation_images_are_kept_out_of_training(tmp_path: Path) -> None:
    result = run(make_config(data=DataConfig(validation=25), epochs=1), tmp_path)
    data = result.checkpoint.data
    assert data is not None
    assert (data.num_samples, data.num_validation) == (45, 25)
    assert result.metrics["num_validation"] == 25
    assert RunFolder(tmp_path).read_metrics()[0]["validation_accuracy"] is not None


def test_the_schedule_is_a_cosine_over_steps() -> None:
    assert cosine_lr(0.1, 0, 40) == 0.1
    assert cosine_lr(0.1, 20, 40) == pytest.approx(0.05)
    assert 0 < cosine_lr(0.1, 39, 40) < 2e-4
    values = [cosine_lr(1.0, step, 100) for step in range(100)]
    assert all(a > b for a, b in itertools.pairwise(values))
    scheduler_optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(scheduler_optimizer, T_max=100)
    for value in values:
        assert scheduler_optimizer.param_groups[0]["lr"] == pytest.approx(value, abs=1e-12)
        scheduler_optimizer.step()
        scheduler.step()


def test_seeds_differ_by_purpose_and_index() -> None:
    seeds = {derive_seed(s, p, i) for s in range(3) for p in ("order", "augment") for i in range(4)}
    assert len(seeds) == 24
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_weight_decay_spares_batch_norm_and_biases() -> None:
    config = make_config(method="sgd", l1_conv=0.0, l1_fc=0.0, weight_decay=0.5)
    state = make_state(config)
    decayed = {
        id(parameter)
        for group in build_optimizer(state.network, config).param_groups
        if group["weight_decay"] > 0
        for parameter in group["params"]
    }
    for name, parameter in state.network.named_parameters():
        assert (id(parameter) in decayed) == (name in ("conv1.weight", "fc1.weight", "fc2.weight"))


def make_state(config: TrainConfig, permutation_seed: int | None = None) -> TrainingState:
    dataset = make_dataset()
    return TrainingState(
        config=config,
        spec=config.network_spec(image_size=8, num_classes=3, in_channels=3),
        train_set=dataset.train,
        inputs=InputMap(fixed_normalization(3), permutation_seed),
        options=RunOptions(),
    )


def test_training_is_equivariant_to_a_permutation_of_the_pixels() -> None:
    """The paper's claim: permuting all pixels changes nothing for fully-connected networks."""
    config = make_config(precision="fp64", epochs=4)
    order = pixel_permutation(3, 64)
    plain, permuted = make_state(config), make_state(config, permutation_seed=3)
    with torch.no_grad():
        weight = plain.network.get_parameter("conv1.weight")
        permuted.network.get_parameter("conv1.weight").copy_(
            weight.unflatten(1, (3, 64))[:, :, order].flatten(1)
        )
    for state in (plain, permuted):
        while state.step < state.num_steps:
            state.begin_epoch()
            state.take_step()
    trained = (
        plain.network.get_parameter("conv1.weight").unflatten(1, (3, 64))[:, :, order].flatten(1)
    )
    found = permuted.network.get_parameter("conv1.weight")
    assert torch.equal(trained == 0, found == 0)
    assert 0 < int((found == 0).sum()) < found.numel()
    torch.testing.assert_close(trained, found, rtol=0, atol=1e-10)


@pytest.mark.parametrize("method", ["beta-lasso", "sgd"])
def test_working_copies_change_no_bit_of_a_step_under_autocast(method: str) -> None:
    """The same step from float32 weights that autocast rounds, without working copies."""
    extra = {} if method == "beta-lasso" else {"l1_conv": 0.0, "l1_fc": 0.0, "momentum": 0.9}
    config = make_config(
        precision="bf16", method=method, dropout=0.0, augmentation=Augmentation(), **extra
    )
    state = make_state(config)
    assert len(state.optimizer.working_copies) == 3
    state.begin_epoch()
    for _ in range(3):
        twin = copy.deepcopy(state.network)
        plain = build_optimizer(twin, config)
        if state.step:
            plain.load_state_dict(copy.deepcopy(state.optimizer.state_dict()))
        batch = state.step % state.steps_per_epoch * state.batch_size
        chosen = state._order[batch : batch + state.batch_size]
        inputs = state.inputs(state.train_set.images[chosen])
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = twin(inputs)
        F.cross_entropy(logits.float(), state.train_set.labels[chosen]).backward()
        state.take_step()
        for group in plain.param_groups:
            group["lr"] = state.last_lr
        plain.step()
        for name, weight in twin.named_parameters():
            assert torch.equal(weight, state.network.get_parameter(name)), name


@pytest.mark.sample(3)
@pytest.mark.parametrize("network", ["s-conv", "s-local", "s-fc", "d-conv", "d-local", "resnet18"])
def test_bf16_learns_as_fp32_does(network: str) -> None:
    """Many steps, so that a fault that grows with the running statistics shows."""
    losses = []
    for precision in ("fp32", "bf16"):
        config = make_config(
            network=network,
            base_channels=4,
            method="sgd",
            l1_conv=0.0,
            l1_fc=0.0,
            momentum=0.9,
            epochs=10,
            batch_size=32,
            dropout=0.0,
            precision=precision,
        )
        config = replace(config, kernel_size=3 if network == "resnet18" else None)
        state = make_state(config)
        while state.step < state.num_steps:
            if state.step % state.steps_per_epoch == 0:
                state.begin_epoch()
            state.take_step()
        losses.append(state.mean_loss())
    assert losses[0] < 0.9
    # How far a few steps get depends on the processor's sums; one that does not learn is near ln 3.
    assert losses[1] == pytest.approx(losses[0], abs=0.3)


def test_counts_of_nonzeros_come_with_the_step() -> None:
    state = make_state(make_config())
    state.begin_epoch()
    state.take_step()
    counted = {
        layer.name: int(torch.count_nonzero(state.network.get_parameter(f"{layer.name}.weight")))
        for layer in state.network.spec.layers
    }
    assert state.num_nonzeros() == counted
    assert min(counted.values()) > 0


def test_too_few_images_are_refused() -> None:
    with pytest.raises(Exception, match="at least 2 images"):
        TrainingState(
            config=make_config(),
            spec=make_config().network_spec(image_size=8, num_classes=3, in_channels=3),
            train_set=ImageSet(
                images=torch.zeros(1, 3, 8, 8, dtype=torch.uint8),
                labels=torch.zeros(1, dtype=torch.int64),
            ),
            inputs=InputMap(fixed_normalization(3)),
            options=RunOptions(),
        )


@pytest.mark.cuda
@pytest.mark.parametrize("precision", ["bf16", "fp16", "fp32"])
def test_a_run_on_cuda_agrees_with_itself_after_a_stop(precision: str, tmp_path: Path) -> None:
    config = make_config(precision=precision, epochs=2)
    device = torch.device("cuda")
    for name, stop_after in (("whole", None), ("cut", 3)):
        watch = Watch(stop_after)
        (tmp_path / name).mkdir()
        run_training(
            config=config,
            dataset=make_dataset(),
            folder=RunFolder(tmp_path / name),
            options=RunOptions(device=device),
            progress=watch,
            stop=watch,
        )
    watch = Watch()
    run_training(
        config=config,
        dataset=make_dataset(),
        folder=RunFolder(tmp_path / "cut"),
        options=RunOptions(device=device),
        progress=watch,
        stop=watch,
        resume_from=load_checkpoint(tmp_path / "cut"),
    )
    whole, cut = (load_checkpoint(tmp_path / name).state for name in ("whole", "cut"))
    for name in whole:
        torch.testing.assert_close(whole[name], cut[name], rtol=1e-4, atol=1e-5)


def test_replacing_a_setting_of_a_finished_configuration_is_checked() -> None:
    with pytest.raises(ValueError, match="epochs must be >= 1"):
        replace(make_config(), epochs=0)
