"""A trial in a worker process of a Ray cluster, and what becomes of its report where Ray Tune runs.

The report holds the whole result, so that nodes need not share a folder.
"""

import time
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ray import tune

from mdl.experiments.engines.trial import run_trial
from mdl.experiments.engines.trial_progress import TrialProgress
from mdl.experiments.store.failures import forget_failure, record_failure
from mdl.experiments.store.result_store import Filters, ResultStore
from mdl.experiments.store.run_lock import RunBusyError
from mdl.experiments.store.run_result import RunResult
from mdl.terminal.devices import choose_device
from mdl.terminal.errors import error_line
from mdl.terminal.options import Device
from training.run.progress import EpochMetrics
from training.spec.config import TrainConfig

_LOOK_AGAIN_S = 2.0
_LOST = "its worker process or its node died; Ray's logs on that node say why"


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
                config, store, device=choose_device(device), stop=unwatched, progress=unwatched
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
            forget_failure(found.config, self._store)
            self._progress.on_finished(found)

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """Tell of a failure that is tried again."""
        self._take_failure(trial.config["key"], is_last_try=False)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """Tell of a failure that is not tried again."""
        self._take_failure(trial.config["key"], is_last_try=True)

    def _take_failure(self, key: str, *, is_last_try: bool) -> None:
        config, message = self._configs[key], self._messages.pop(key, _LOST)
        record_failure(config, self._store, message)
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
