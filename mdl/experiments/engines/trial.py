"""One trial: train a configuration, resume it if it was begun, measure it, keep the result.

`python -m mdl.experiments.engines.trial --store DIR --key KEY --config FILE` is what engines start.
Its exit code is 0 when the result is in the store, 1 when the trial failed, 2 for wrong usage,
`EXIT_BUSY` when another process works on the run, and 128 and the signal's number when it was asked
to stop and has saved.
"""

import argparse
import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import get_args

import torch

from mdl.experiments.engines.measure import measure_run
from mdl.experiments.store.result_store import ResultStore
from mdl.experiments.store.run_result import RunResult, run_key
from mdl.terminal.devices import choose_device
from mdl.terminal.errors import error_line, is_told
from mdl.terminal.options import Device
from mdl.terminal.process import run_as_process
from mdl.terminal.progress import TrainingProgress
from training.checkpoint.checkpoint import Checkpoint, load_checkpoint
from training.data.loading import Dataset, load_dataset
from training.distributed.run_options import RunOptions
from training.errors import CheckpointError
from training.run.loop import run_training
from training.run.progress import Progress, Stop
from training.run.provenance import collect_versions
from training.run.run_folder import RunFolder
from training.spec.config import SaveInterval, TrainConfig
from training.system.files import read_text
from training.system.locks import RunBusyError
from training.system.signals import StopRequest

EXIT_BUSY = 75
SAVE_EVERY = SaveInterval(count=30, unit="seconds")
NUM_EVALUATIONS = 20
"""About so many times a run counts its errors on held-out and test images while it trains."""


def run_trial(
    config: TrainConfig,
    store: ResultStore,
    *,
    device: torch.device,
    watch: AbstractContextManager[tuple[Stop, Progress]],
) -> RunResult | None:
    """Train, measure and keep one run, or as much of it as is not done yet.

    Args:
        config: What to train.
        store: Where the run lies and its result goes.
        device: Where to compute.
        watch: Entered while it trains: what is asked after every step whether to stop, and what is
            told of every epoch. A signal while measuring ends the process at once, which loses
            nothing.

    Returns:
        The result; None if it was asked to stop. Then all is saved, and the next call resumes.

    Raises:
        RunBusyError: Another process works on it.
        StoreError: The result is there, but damaged.
        CheckpointError: What is in the run's folder is damaged or another run.
        DataError: The images cannot be loaded, or are not those it was begun with.
        TrainingError: The loss is not finite.
    """
    with store.run_folder(config).hold() as folder:
        found = store.find(config)
        if found is not None:
            return found
        with watch as (stop, progress):
            dataset = load_dataset(config.data)
            checkpoint = _train_run(
                config, dataset, folder, device=device, stop=stop, progress=progress
            )
        if checkpoint.training is not None or stop.requested:
            return None
        result, filters = measure_run(
            checkpoint,
            dataset,
            config=config,
            epochs=folder.read_metrics(),
            versions=checkpoint.versions
            | {"device": device.type, "num_threads": torch.get_num_threads()},
            device=device,
        )
        store.put(result, filters)
        store.forget_failure(config)
        return result


def _train_run(
    config: TrainConfig,
    dataset: Dataset,
    folder: RunFolder,
    *,
    device: torch.device,
    stop: Stop,
    progress: Progress,
) -> Checkpoint:
    """Train to the end, from the run's checkpoint if it has one; a finished run is left alone.

    Returns:
        The final checkpoint, or one with `training` if it was asked to stop.
    """
    begun = _begun_checkpoint(config, dataset, folder)
    if begun is None:
        folder.path.mkdir(parents=True, exist_ok=True)
        folder.metrics.unlink(missing_ok=True)
        folder.write_config({"config": config.to_dict(), "versions": collect_versions()})
    elif begun.training is None:
        return begun
    checkpoint = run_training(
        config=config if begun is None else TrainConfig.from_dict(begun.config),
        dataset=dataset,
        folder=folder,
        options=RunOptions(
            device=device,
            sparsity="typical",
            save_every=SAVE_EVERY,
            evaluate_every=max(1, config.epochs // NUM_EVALUATIONS),
        ),
        progress=progress,
        stop=stop,
        resume_from=begun,
    ).checkpoint
    # Read again where it is finished: sparse layers are dense tensors there, as others need them.
    return load_checkpoint(folder.path) if checkpoint.training is None else checkpoint


def _begun_checkpoint(
    config: TrainConfig, dataset: Dataset, folder: RunFolder
) -> Checkpoint | None:
    if not folder.checkpoint.exists():
        return None
    checkpoint = load_checkpoint(folder.checkpoint)
    if run_key(TrainConfig.from_dict(checkpoint.config)) != run_key(config):
        raise CheckpointError(
            f"{folder.path} holds a run of another configuration; delete the folder"
        )
    checkpoint.known_data.check(dataset, owner=f"the run in {folder.path}")
    return checkpoint


def main() -> None:
    """The process of one trial."""
    options = _parse()
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    try:
        config = _read_config(options.config)
        if run_key(config) != options.key:
            wrong = f"--key {options.key}: {options.config} has key {run_key(config)}"
            _fail(error_line(ValueError(wrong)), code=2)
        stop = StopRequest()
        result = run_trial(
            config,
            ResultStore(options.store),
            device=choose_device(options.device),
            watch=_watch(stop, config, is_tied=options.tied),
        )
        sys.exit(0 if result is not None else 128 + (stop.signal_number or signal.SIGTERM))
    except RunBusyError as error:
        _fail(error_line(error), code=EXIT_BUSY)
    except Exception as error:
        if not is_told(error):
            raise
        _fail(error_line(error), code=1)


@contextmanager
def _watch(
    stop: StopRequest, config: TrainConfig, *, is_tied: bool
) -> Iterator[tuple[Stop, Progress]]:
    with stop, TrainingProgress(num_epochs=config.epochs) as progress:
        if is_tied:
            _stop_with_parent(stop)
        yield stop, progress


def _stop_with_parent(stop: StopRequest) -> None:
    """Ask this process to stop when its standard input closes, as it does if the parent is gone."""

    def wait() -> None:
        while os.read(sys.stdin.fileno(), 1):
            pass
        if stop.signal_number is None:  # A second signal would end it without saving.
            os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, daemon=True).start()


def _read_config(path: Path) -> TrainConfig:
    values = json.loads(read_text(path, what="the config.json of a run", error=ValueError))
    if not isinstance(values, dict) or "config" not in values:
        raise ValueError(f"--config {path}: not a configuration; give the config.json of a run")
    return TrainConfig.from_dict(values["config"])


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m mdl.experiments.engines.trial", description=__doc__
    )
    parser.add_argument("--store", type=Path, required=True, help="the folder of results")
    parser.add_argument("--key", required=True, help="key of the configuration")
    parser.add_argument("--config", type=Path, required=True, help="a config.json")
    parser.add_argument(
        "--device", choices=get_args(Device), default="auto", help="where to compute"
    )
    parser.add_argument("--threads", type=int, help="threads to compute with")
    parser.add_argument("--tied", action="store_true", help="stop when standard input closes")
    return parser.parse_args()


def _fail(message: str, *, code: int) -> None:
    sys.stderr.write(message + "\n")
    sys.exit(code)


if __name__ == "__main__":
    run_as_process(main)
