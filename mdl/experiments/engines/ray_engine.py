"""An engine on a Ray cluster that is there already: trials on all its machines, by Ray Tune.

Each trial runs in a worker process of some node, in a store under the same path as here. That path
may be a shared folder or one of each node's own: results come back through Ray. If it is shared, a
trial that is tried again continues from its checkpoint.
"""

import logging
import os
import signal
import socket
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ray
from ray import tune

from mdl.experiments.engines.engine import Outcome, check_counts
from mdl.experiments.engines.ray_trials import Collector, run_on_node
from mdl.experiments.engines.trial_progress import TrialProgress
from mdl.experiments.store.result_store import ResultStore
from mdl.experiments.store.run_key import run_key
from mdl.terminal.options import Device
from training.errors import TrainingError
from training.run.progress import Stop
from training.spec.config import TrainConfig

_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C is ours
}
_ANSWER_S = 10.0


@dataclass(frozen=True, kw_only=True)
class RayEngine:
    """An engine (`engines.engine.Engine`) on the cluster of $RAY_ADDRESS or this machine.

    Attributes:
        workers: Trials at once at most, >= 1; None for as many as there is room for.
        threads: CPUs of the cluster that a trial takes, and its threads, >= 1.
        retries: How often a trial that failed is tried again in one call, >= 0.
        device: Where the trials compute. One on CUDA takes a GPU; `auto` is CUDA where the cluster
            has a GPU.

    Raises:
        ValueError: A number outside its range.
    """

    workers: int | None = None
    threads: int = 1
    retries: int = 1
    device: Device = "auto"

    def __post_init__(self) -> None:
        check_counts(workers=self.workers, threads=self.threads, retries=self.retries)

    def run(
        self,
        configs: Sequence[TrainConfig],
        store: ResultStore,
        *,
        progress: TrialProgress,
        stop: Stop,
    ) -> Outcome:
        """Train and measure what the store does not have yet; see `Engine.run`.

        When asked to stop, running trials are ended. They lose what they did since their last
        checkpoint, half a minute or so.

        Raises:
            TrainingError: No cluster answers.
            ValueError: No node has room for a trial.
        """
        asked = {run_key(config): config for config in configs}
        missing = {key: config for key, config in asked.items() if store.find(config) is None}
        progress.begin(list(missing.values()))
        collector = Collector(missing, store, progress, retries=self.retries)
        if missing:
            with _connected():
                resources = self._resources_of_trial()
                self._tune(missing, store, collector, resources=resources, stop=stop)
        found = [result for each in asked.values() if (result := store.find(each)) is not None]
        return Outcome(
            finished=tuple(found),
            failed=collector.failed,
            stopped=len(found) + len(collector.failed) < len(asked),
        )

    def _resources_of_trial(self) -> dict[str, int]:
        """CPUs and GPUs that one trial takes.

        Raises:
            ValueError: No node has so many.
        """
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        has_gpus = any(node.get("GPU", 0) >= 1 for node in nodes)
        num_gpus = int(self.device == "cuda" or (self.device == "auto" and has_gpus))
        if num_gpus and not has_gpus:
            raise ValueError("--device cuda: no node of the Ray cluster has a GPU; use cpu")
        fitting = [node.get("CPU", 0) for node in nodes if node.get("GPU", 0) >= num_gpus]
        largest = int(max(fitting, default=0))
        if largest < self.threads:
            raise ValueError(
                f"--threads {self.threads}: a trial takes so many CPUs of one node, and the "
                f"largest of the Ray cluster has {largest}"
            )
        return {"cpu": self.threads, "gpu": num_gpus}

    def _tune(
        self,
        missing: dict[str, TrainConfig],
        store: ResultStore,
        collector: Collector,
        *,
        resources: dict[str, int],
        stop: Stop,
    ) -> None:
        trainable = tune.with_parameters(
            run_on_node,
            configs={key: _located(config).to_dict() for key, config in missing.items()},
            root=str(store.root.resolve()),
            threads=self.threads,
            device="cuda" if resources["gpu"] else "cpu",
        )
        # Tune's own record of the sweep is of no use later: the store has all that is needed.
        with tempfile.TemporaryDirectory(prefix="mdl-ray-") as folder, _quiet():
            tune.Tuner(
                tune.with_resources(trainable, resources),
                param_space={"key": tune.grid_search(list(missing))},
                tune_config=tune.TuneConfig(
                    max_concurrent_trials=self.workers,
                    trial_dirname_creator=lambda trial: str(trial.config["key"]),
                ),
                run_config=tune.RunConfig(
                    name="sweep",
                    storage_path=folder,
                    verbose=0,
                    failure_config=tune.FailureConfig(max_failures=self.retries),
                    callbacks=[collector],
                    stop=_Stopper(stop),
                ),
            ).fit()  # does not raise for a failed trial: the collector counts them


class _Stopper(tune.Stopper):  # type: ignore[misc]  # Ray is not there when types are checked
    """Ends the whole sweep when asked to."""

    def __init__(self, stop: Stop) -> None:
        self._stop = stop

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune keeps it with its own record, which nobody continues from."""
        return {}

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self._stop.requested


@contextmanager
def _connected() -> Iterator[None]:
    """Connected to the cluster, with the handlers of signals as they were.

    Raises:
        TrainingError: No cluster answers.
    """
    os.environ.update(_ENVIRONMENT)
    _check_answers(os.environ.get("RAY_ADDRESS", ""))
    in_main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(address="auto", log_to_driver=False, logging_level=logging.CRITICAL)
    except (OSError, RuntimeError, ValueError) as error:
        raise _no_cluster(error) from error
    try:
        if in_main:
            signal.signal(signal.SIGTERM, handler)  # Ray has put its own there
        yield
    finally:
        ray.shutdown()
        if in_main:
            signal.signal(signal.SIGTERM, handler)


def _check_answers(address: str) -> None:
    """Fail at once where Ray would try for many minutes: nobody listens at a host and port.

    Raises:
        TrainingError: So it is.
    """
    host, _, port = address.rpartition(":")
    if host and port.isdecimal() and "/" not in host:
        try:
            socket.create_connection((host, int(port)), timeout=_ANSWER_S).close()
        except OSError as error:
            raise _no_cluster(f"RAY_ADDRESS {address}: {error}") from error


def _no_cluster(reason: object) -> TrainingError:
    return TrainingError(
        f"--engine ray: no Ray cluster can be used here ({' '.join(str(reason).split())}); start "
        "one by ray start --head, with the same RAY_AUTH_MODE and token on every node and here"
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Tune's tables and tracebacks, and Ray's long notes on dead workers, are not printed."""
    log = logging.getLogger("ray.tune")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        with Path(os.devnull).open("w", encoding="utf-8") as nowhere, redirect_stdout(nowhere):
            yield
    finally:
        log.setLevel(level)


def _located(config: TrainConfig) -> TrainConfig:
    """The same with the place of the images as nodes understand it, if it is a path."""
    path = Path(config.data.source)
    if config.data.is_generated or not path.exists():
        return config
    return replace(config, data=replace(config.data, source=str(path.resolve())))
