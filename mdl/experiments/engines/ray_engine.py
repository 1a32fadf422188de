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
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import ray
import torch
from ray import tune

from mdl.experiments.engines.engine import Engine
from mdl.experiments.engines.trial import run_trial
from mdl.experiments.engines.trial_progress import TrialProgress
from mdl.experiments.store.result_store import Filters, ResultStore
from mdl.experiments.store.run_result import RunResult
from mdl.terminal.devices import choose_device
from mdl.terminal.errors import error_line
from mdl.terminal.options import Device
from training.errors import TrainingError
from training.run.progress import EpochMetrics, Stop
from training.spec.config import TrainConfig
from training.system.locks import RunBusyError

_LOOK_AGAIN_S = 2.0
_LOST = "its worker process or its node died; Ray's logs on that node say why"
_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C is ours
}
_ANSWER_S = 10.0


class _Unwatched:
    """Progress of a run that nobody looks at, and a stop that nobody asks for."""

    requested = False

    def on_step(self, step: int, num_steps: int) -> None:
        """Nothing."""

    def on_epoch(self, metrics: EpochMetrics) -> None:
        """Nothing."""

    def on_note(self, line: str) -> None:
        """Nothing."""


def run_on_node(
    trial: dict[str, Any],
    *,
    configs: dict[str, dict[str, Any]],
    root: str,
    threads: int,
    device: Device,
) -> None:
    """Train and measure one trial here, and report its result, or its error and raise that.

    Args:
        trial: "key" names the trial.
        configs: Configurations by key, as plain values.
        root: The folder of the store on this node; made if it is not there.
        threads: To compute with.
        device: "cpu" or "cuda".
    """
    torch.set_num_threads(threads)
    config, store = TrainConfig.from_dict(configs[trial["key"]]), ResultStore(Path(root))
    unwatched = _Unwatched()
    while True:
        try:
            result = run_trial(
                config,
                store,
                device=choose_device(device),
                watch=nullcontext((unwatched, unwatched)),
            )
            break
        except RunBusyError:  # Another process trains it, in a folder that nodes share.
            time.sleep(_LOOK_AGAIN_S)
        except Exception as error:
            tune.report({"message": error_line(error).removeprefix("error: ")})
            raise
    if result is None:
        raise RuntimeError("a trial that nobody stopped has stopped")
    tune.report({"result": result.to_dict(), "filters": _pack(store.filters(config))})


class Collector(tune.Callback):  # type: ignore[misc]  # Ray is not there when types are checked
    """Puts results into the store as they come, and records every failure.

    Args:
        configs: Configurations by key, as they were asked for.
        store: Where results go.
        progress: Told of every trial that ends.
        retries: How often a failed trial is tried again.
    """

    def __init__(
        self,
        configs: dict[str, TrainConfig],
        store: ResultStore,
        progress: TrialProgress,
        *,
        retries: int,
    ) -> None:
        self.failed: dict[str, str] = {}
        self._configs = configs
        self._store = store
        self._progress = progress
        self._retries = retries
        self._messages: dict[str, str] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune keeps callbacks with its own record, which nobody continues from."""
        return {}

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any
    ) -> None:
        """Keep a result, or the message of an error that is about to be raised."""
        key = trial.config["key"]
        if "message" in result:
            self._messages[key] = result["message"]
        elif "result" in result:
            # With the place of the images as it was asked for, not as it is on the node.
            values = result["result"] | {"config": self._configs[key].to_dict()}
            found = RunResult.from_dict(values)
            self._store.put(found, _unpack(result["filters"]))
            self._store.forget_failure(found.config)
            self._progress.on_finished(found)

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """Tell of a failure that is tried again."""
        self._take_failure(trial.config["key"], is_last_try=False)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """Tell of a failure that is not tried again."""
        self._take_failure(trial.config["key"], is_last_try=True)

    def _take_failure(self, key: str, *, is_last_try: bool) -> None:
        config, message = self._configs[key], self._messages.pop(key, _LOST)
        self._store.record_failure(config, message)
        self._progress.on_failed(config, message, is_last_try=is_last_try)
        if is_last_try:
            self.failed[key] = message


def _pack(filters: Filters | None) -> bytes | None:
    if filters is None:
        return None
    packed = BytesIO()
    np.save(packed, filters, allow_pickle=False)
    return packed.getvalue()


def _unpack(packed: bytes | None) -> Filters | None:
    if packed is None:
        return None
    filters: Filters = np.load(BytesIO(packed), allow_pickle=False)
    return filters


@dataclass(frozen=True, kw_only=True)
class RayEngine(Engine):
    """An engine on the cluster of $RAY_ADDRESS or this machine.

    `threads` are CPUs of the cluster that a trial takes. A trial on CUDA takes a GPU; `auto` is
    CUDA where the cluster has a GPU. When asked to stop, running trials are ended: they lose what
    they did since their last checkpoint, half a minute or so.

    `run` also raises `TrainingError` where no cluster answers, and `ValueError` where no node has
    room for a trial.
    """

    workers: int | None = None
    threads: int = 1

    def _train(
        self,
        missing: dict[str, TrainConfig],
        store: ResultStore,
        *,
        progress: TrialProgress,
        stop: Stop,
    ) -> dict[str, str]:
        collector = Collector(missing, store, progress, retries=self.retries)
        with _connected():
            self._tune(missing, store, collector, stop=stop)
        return collector.failed

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
        stop: Stop,
    ) -> None:
        resources = self._resources_of_trial()
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
