import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest

from mdl.experiments.engines.local_engine import LocalEngine
from mdl.experiments.engines.trial_progress import TrialProgress
from mdl.experiments.store.result_store import ResultStore
from mdl.experiments.store.run_result import RunResult, run_key
from mdl.experiments.sweep.grids import Grid, grid
from mdl.experiments.sweep.selection import best_by_validation
from mdl.experiments.sweep.sweep_run import trial_at
from training.spec.config import DataConfig, TrainConfig

pytestmark = [
    pytest.mark.process,
    pytest.mark.slow,
    pytest.mark.skipif(
        find_spec("ray") is None, reason="Ray is not installed; pip install 'ray[tune]'"
    ),
]

TINY = DataConfig(image_size=8, num_train=120, num_test=40, validation=20)
GRID = Grid(
    name="tiny",
    about="",
    recipe="quick",
    l1=((1e-3, 1e-4), (1e-4, 1e-5)),
    sgd=(),
    dropout=(0.0,),
    validation=20,
)
BASE = TrainConfig(
    network="s-fc", base_channels=1, data=TINY, epochs=1, batch_size=20, precision="fp32"
)
TRIALS = grid("s-fc", "beta-lasso", GRID, BASE)
DIVERGING = replace(TRIALS[0], method="sgd", l1_conv=0.0, l1_fc=0.0, lr=1e12)

Environment = dict[str, str]


class NoStop:
    requested = False


@pytest.fixture(scope="module")
def cluster() -> Iterator[Environment]:
    """A cluster of one node with two CPUs; gives the environment in which it is found."""
    port = free_port()
    folder = tempfile.mkdtemp(prefix="ray-")  # short: Ray puts sockets there
    environment = os.environ | {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_USAGE_STATS_ENABLED": "0",
        "MDL_CACHE": folder,
    }
    log = Path(folder, "head.log")
    with log.open("w") as output:
        head = subprocess.Popen(
            [
                str(Path(sys.executable).with_name("ray")),
                "start",
                "--head",
                "--block",
                f"--port={port}",
                "--num-cpus=2",
                "--include-dashboard=false",
                "--object-store-memory=100000000",
                f"--temp-dir={folder}",
            ],
            env=environment,
            stdout=output,
            stderr=output,
        )
    try:
        deadline = time.monotonic() + 90
        while "Ray runtime started" not in log.read_text():  # its port answers before it has a node
            assert head.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        yield environment | {"RAY_ADDRESS": f"127.0.0.1:{port}"}
    finally:
        head.terminate()  # ends all processes of the node
        head.wait(timeout=60)
        shutil.rmtree(folder, ignore_errors=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start_by_ray(
    configs: Sequence[TrainConfig], store: ResultStore, environment: Environment, threads: int = 1
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [
            sys.executable,
            str(Path(__file__).with_name("ray_sweep.py")),
            str(store.root),
            json.dumps([config.to_dict() for config in configs]),
            str(threads),
        ],
        env=environment,
        cwd=Path(__file__).parents[4],
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def comparable(result: RunResult) -> RunResult:
    """Without times and the machine."""
    history = tuple(replace(point, seconds=0.0) for point in result.history)
    return replace(result, seconds=0.0, history=history, versions={})


def test_all_engines_give_the_same_results(cluster: Environment, tmp_path: Path) -> None:
    local = LocalEngine(workers=2, threads=1, device="cpu")
    stores = {name: ResultStore(tmp_path / name) for name in ("local", "index", "ray")}
    process = start_by_ray([*TRIALS, DIVERGING], stores["ray"], cluster)
    with TrialProgress() as progress:
        outcome = local.run(TRIALS, stores["local"], progress=progress, stop=NoStop())
        assert not outcome.failed
        for number in (2, 1):
            one = [trial_at(TRIALS, number)]
            local.run(one, stores["index"], progress=progress, stop=NoStop())
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    told = json.loads(out)
    # A failed trial is tried again, reported and recorded; the others are not lost.
    assert list(told["failed"]) == [run_key(DIVERGING)]
    assert [is_last for _, is_last in told["failures"]] == [False, True]
    assert all("not finite" in message for message, _ in told["failures"]), told
    failure = json.loads(stores["ray"].failure_path(run_key(DIVERGING)).read_text())
    assert failure["num_tries"] == 2
    assert not told["stopped"]
    found = {name: store.all() for name, store in stores.items()}
    assert [run.key for run in found["ray"]] == sorted(map(run_key, TRIALS))
    expected = list(map(comparable, found["local"]))
    assert list(map(comparable, found["index"])) == expected
    assert list(map(comparable, found["ray"])) == expected
    assert len({best_by_validation(runs).key for runs in found.values()}) == 1
    for config in TRIALS:
        kept, other = stores["local"].filters(config), stores["ray"].filters(config)
        assert (kept is None) == (other is None)
        assert kept is None or other is None or (kept == other).all()


def test_a_killed_worker_is_replaced_and_its_trial_is_tried_again(
    cluster: Environment, tmp_path: Path
) -> None:
    config, store = replace(TRIALS[1], epochs=300), ResultStore(tmp_path)
    lock, metrics = store.lock_path(run_key(config)), store.run_folder(config).metrics
    process = start_by_ray([config], store, cluster)
    while not metrics.exists() or len(metrics.read_text().splitlines()) < 3:
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    os.kill(int(lock.read_text().split()[0]), signal.SIGKILL)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    told = json.loads(out)
    assert [is_last for _, is_last in told["failures"]] == [False]
    assert "its worker process or its node died" in told["failures"][0][0]
    assert told["failed"] == {}
    result = store.find(config)
    assert result is not None
    assert [point.epoch for point in result.history] == list(range(1, 301))
    assert not store.failure_path(run_key(config)).exists()


def test_a_trial_that_fits_no_node_is_refused(cluster: Environment, tmp_path: Path) -> None:
    process = start_by_ray(TRIALS, ResultStore(tmp_path), cluster, threads=99)
    _, err = process.communicate(timeout=120)
    assert "ValueError: --threads 99: a trial takes so many CPUs of one node" in err
    assert "the largest of the Ray cluster has 2" in err


def test_where_no_cluster_answers_one_line_says_so(tmp_path: Path) -> None:
    environment = os.environ | {"RAY_ADDRESS": f"127.0.0.1:{free_port()}"}
    done = subprocess.run(
        [sys.executable, "-m", "mdl", "sweep", "s-fc", "--engine", "ray", "--data", "glyphs"],
        cwd=tmp_path,
        env=environment,
        text=True,
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert "error: --engine ray: no Ray cluster can be used here" in done.stderr
