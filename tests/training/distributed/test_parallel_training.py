"""Two ranks against one: whole runs, in float64, where only the order of sums differs."""

from pathlib import Path

import pytest
import torch

from tests.training.run.test_loop import CPU, Watch, make_config, make_dataset, without_times
from tests.training.two_ranks import run_two_ranks
from training.checkpoint.checkpoint import load_checkpoint
from training.distributed.ranks import ALONE, Ranks
from training.distributed.run_options import RunOptions, replica_bytes
from training.run.loop import run_training
from training.run.run_folder import RunFolder
from training.spec.config import Augmentation, Sharding, TrainConfig

SGD = {"method": "sgd", "l1_conv": 0.0, "l1_fc": 0.0, "momentum": 0.9, "weight_decay": 1e-3}
POLICY = Augmentation(flip=True, crop=1, cutout=2, policy="trivial")
CONFIGS: dict[str, TrainConfig] = {
    "s-fc": make_config(precision="fp64"),
    "s-fc uneven": make_config(precision="fp64", batch_size=15),
    "s-conv sgd": make_config(precision="fp64", network="s-conv", **SGD),
    "s-local policy": make_config(precision="fp64", network="s-local", augmentation=POLICY),
    "resnet18": make_config(precision="fp64", network="resnet18", epochs=1),
    "tiny-conv": make_config(precision="fp64", network="tiny-conv", epochs=1),
}
SHARDED = ("s-fc", "s-fc uneven", "s-conv sgd", "resnet18")
CUT = ("s-fc", "s-conv sgd")
STOP = 6  # In the middle of the second epoch of four steps.


def run(
    config: TrainConfig,
    folder: Path,
    *,
    ranks: Ranks = ALONE,
    sharding: Sharding = "auto",
    stop_after: int | None = None,
    resume: bool = False,
    device: torch.device = CPU,
) -> None:
    folder.mkdir(exist_ok=True, parents=True)
    watch = Watch(stop_after)
    run_training(
        config=config,
        dataset=make_dataset(),
        folder=RunFolder(folder),
        options=RunOptions(device=device, ranks=ranks, sharding=sharding),
        progress=watch,
        stop=watch,
        resume_from=load_checkpoint(folder) if resume else None,
    )


def train_on_ranks(ranks: Ranks, folder: Path) -> None:
    for name, config in CONFIGS.items():
        run(config, folder / "two" / name, ranks=ranks)
    for name in SHARDED:
        run(CONFIGS[name], folder / "shards" / name, ranks=ranks, sharding="always")
    for name in CUT:
        config = CONFIGS[name]
        # One rank's signal is followed by all, a step later.
        stop_after = STOP - 1 if ranks.rank == 1 else None
        run(config, folder / "two then one" / name, ranks=ranks, stop_after=stop_after)
        run(
            config,
            folder / "shards then one" / name,
            ranks=ranks,
            stop_after=stop_after,
            sharding="always",
        )
        run(config, folder / "one then two" / name, ranks=ranks, resume=True)
        run(config, folder / "one then shards" / name, ranks=ranks, resume=True, sharding="always")
    for sharding in ("never", "always"):
        run(
            make_config(precision="bf16"),
            folder / "bf16" / sharding,
            ranks=ranks,
            sharding=sharding,
        )


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of the same runs on one rank, on two, sharded, and cut in two."""
    folder = tmp_path_factory.mktemp("ranks")
    for name in CUT:
        for kind in ("one then two", "one then shards"):
            run(CONFIGS[name], folder / kind / name, stop_after=STOP)
    run_two_ranks(train_on_ranks, folder)
    for name, config in CONFIGS.items():
        run(config, folder / "one" / name)
    run(make_config(precision="bf16"), folder / "bf16" / "one")
    for name in CUT:
        for kind in ("two then one", "shards then one"):
            saved = load_checkpoint(folder / kind / name).training
            assert saved is not None
            assert saved["step"] == STOP
            run(CONFIGS[name], folder / kind / name, resume=True)
    return folder


def assert_equal_runs(found: Path, expected: Path) -> None:
    states = [load_checkpoint(folder).state for folder in (found, expected)]
    for name, value in states[1].items():
        assert torch.equal(states[0][name] == 0, value == 0), name
        torch.testing.assert_close(states[0][name], value, rtol=0, atol=1e-9)
    metrics = [without_times(RunFolder(folder).read_metrics()) for folder in (found, expected)]
    for line, other in zip(*metrics, strict=True):
        assert line.keys() == other.keys()
        for key in other:
            if isinstance(other[key], float):
                assert line[key] == pytest.approx(other[key], abs=1e-9), key
            else:
                assert line[key] == other[key], key


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.parametrize("name", CONFIGS)
def test_two_ranks_give_the_run_of_one(name: str, runs: Path) -> None:
    assert_equal_runs(runs / "two" / name, runs / "one" / name)


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.parametrize("name", SHARDED)
def test_shards_give_the_run_of_one_rank(name: str, runs: Path) -> None:
    assert_equal_runs(runs / "shards" / name, runs / "one" / name)


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.parametrize("name", CUT)
@pytest.mark.parametrize(
    "kind", ["one then two", "one then shards", "two then one", "shards then one"]
)
def test_a_run_goes_on_with_another_number_of_ranks(kind: str, name: str, runs: Path) -> None:
    assert_equal_runs(runs / kind / name, runs / "one" / name)


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.parametrize("sharding", ["never", "always"])
def test_bf16_differs_only_by_rounding(sharding: str, runs: Path) -> None:
    found, expected = (
        load_checkpoint(runs / "bf16" / kind).state["conv1.weight"] for kind in (sharding, "one")
    )
    assert found.dtype == torch.float32
    assert float((found - expected).norm() / expected.norm()) < 0.05


def test_the_choice_of_shards() -> None:
    config = make_config(precision="bf16")
    spec = config.network_spec(image_size=8, num_classes=3, in_channels=3)

    def chooses(choice: Sharding, ranks: Ranks = ALONE, precision: str = "bf16") -> bool:
        options = RunOptions(ranks=ranks, sharding=choice)
        return options.chooses_shards(make_config(precision=precision), spec)

    assert not chooses("auto")
    assert not chooses("never")
    assert chooses("always", Ranks(size=2))
    with pytest.raises(ValueError, match="sharding always needs several ranks"):
        chooses("always")
    with pytest.raises(ValueError, match="fp16; use bf16"):
        chooses("always", Ranks(size=2), precision="fp16")
    num_weights = sum(layer.num_weights for layer in spec.layers)
    assert replica_bytes(spec, make_config(precision="fp32", **SGD)) == 12 * num_weights


def train_on_cards(ranks: Ranks, folder: Path) -> None:
    device = torch.device("cuda", ranks.rank)
    for sharding in ("never", "always"):
        for precision in ("bf16", "fp64"):
            config = make_config(precision=precision, dropout=0.0)
            place = folder / sharding / precision
            run(config, place, ranks=ranks, sharding=sharding, device=device)


@pytest.mark.cuda
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="fewer than two cards")
def test_two_cards_give_the_run_of_one(tmp_path: Path) -> None:
    run_two_ranks(train_on_cards, tmp_path, device="cuda")
    config = make_config(precision="fp64", dropout=0.0)
    run(config, tmp_path / "one", device=torch.device("cuda", 0))
    for sharding in ("never", "always"):
        assert_equal_runs(tmp_path / sharding / "fp64", tmp_path / "one")
        assert load_checkpoint(tmp_path / sharding / "bf16").training is None
