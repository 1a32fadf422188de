"""Why trials failed, kept in a store until they succeed: the last message, and how many tries."""

import json
from pathlib import Path

from mdl.experiments.store.result_store import ResultStore
from mdl.experiments.store.run_key import run_key
from training.spec.config import TrainConfig
from training.system.files import write_text_atomically


def record_failure(config: TrainConfig, store: ResultStore, message: str) -> int:
    """Keep the message of a failed try.

    Returns:
        Tries that have failed so far, those of earlier sessions among them.
    """
    path = store.failure_path(run_key(config))
    tries = _count_tries(path) + 1
    values = {"config": config.to_dict(), "message": message, "num_tries": tries}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text_atomically(path, json.dumps(values, indent=1, sort_keys=True) + "\n")
    return tries


def forget_failure(config: TrainConfig, store: ResultStore) -> None:
    """Delete what `record_failure` has written, if anything: the trial has succeeded."""
    store.failure_path(run_key(config)).unlink(missing_ok=True)


def _count_tries(path: Path) -> int:
    """0 if there is no file, or none of ours."""
    try:
        return int(json.loads(path.read_text(encoding="utf-8"))["num_tries"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0
