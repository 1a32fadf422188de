"""`--log-to wandb`: a run of Weights & Biases, at the service or, offline, in the run folder."""

import importlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mdl.loggers.logger import LoggedRun
from training.run.progress import EpochMetrics
from training.system.files import read_text, write_text_atomically

PROJECT = "mdl"
"""The project where WANDB_PROJECT names none."""
FINISH_TIMEOUT = 60.0
"""Seconds to wait at the end for uploads, where WANDB_FINISH_TIMEOUT says nothing. What is left
stays in the run folder."""


class WandbLogger:
    """One run of W&B for one run folder, whatever the number of pieces it was trained in.

    A small file beside W&B's own remembers its identity and the last epoch that it was given. So a
    run that is resumed adds to the same run of W&B, and no epoch goes there twice. WANDB_MODE,
    WANDB_PROJECT and the other variables of W&B hold. Where the service does not answer, W&B goes
    offline.

    Args:
        run: The run.
        tell: Called with a line where W&B had to go offline.

    Raises:
        OSError: The folder cannot be written.
    """

    def __init__(self, run: LoggedRun, tell: Callable[[str], None]) -> None:
        self._run, self._memory = run, memory_file(run.folder)
        known = _read_memory(self._memory)
        self._wandb_run = _start(run, known.get("id"), tell)
        # A run that the service knows begins after the epochs that it has.
        self._last_epoch = max(int(known.get("epoch", 0)), self._wandb_run.starting_step - 1)
        self._remember()
        for metrics in run.history:
            self.on_epoch(metrics)

    def on_epoch(self, metrics: EpochMetrics) -> None:
        """Hand an epoch over, if it is later than all before it. W&B uploads it on the side."""
        if metrics.epoch <= self._last_epoch:
            return
        self._last_epoch = metrics.epoch
        self._remember()  # first, so that a run killed in between gives no epoch twice
        self._wandb_run.log(self._run.values(metrics), step=metrics.epoch)

    def close(self, *, finished: bool) -> None:
        """Wait for uploads, for a while; a run that is to continue is marked as not finished."""
        if not finished:
            self._wandb_run.mark_preempting()
        self._wandb_run.finish(exit_code=0 if finished else 1)

    def _remember(self) -> None:
        if self._wandb_run.settings.mode == "disabled":  # W&B keeps nothing then.
            return
        self._memory.parent.mkdir(exist_ok=True)
        memory = {"id": self._wandb_run.id, "epoch": self._last_epoch}
        write_text_atomically(self._memory, json.dumps(memory) + "\n")


def check_login() -> None:
    """See that W&B knows who the user is, unless it is offline. On a terminal it may ask.

    Raises:
        ValueError: It does not, and cannot ask; says what to do.
    """
    wandb: Any = importlib.import_module("wandb")
    if wandb.setup().settings.mode != "online":
        return
    try:
        wandb.login(verify=False)
    except wandb.errors.UsageError as error:
        raise ValueError(
            "W&B does not know who you are: run wandb login once, or set WANDB_MODE=offline"
        ) from error


def memory_file(run: Path) -> Path:
    """Where the identity of a run folder at W&B is kept."""
    return run / "wandb" / "mdl-run.json"


def _start(run: LoggedRun, known_id: str | None, tell: Callable[[str], None]) -> Any:
    wandb: Any = importlib.import_module("wandb")

    def init(**mode: str) -> Any:
        return wandb.init(
            project=os.environ.get("WANDB_PROJECT") or PROJECT,
            id=known_id,
            resume="allow",
            dir=run.folder,
            name=run.name,
            config=run.config,
            settings=_settings(wandb),
            **mode,
        )

    try:
        return init()
    except wandb.errors.CommError as error:
        offline = init(mode="offline")
        tell(
            f"--log-to wandb: the service does not answer ({' '.join(str(error).split())}); W&B is "
            f"offline for this run; send it later with: wandb sync {offline.settings.sync_dir}"
        )
        return offline


def _settings(wandb: Any) -> Any:
    chosen: dict[str, Any] = {
        "console": "off",  # What the run prints is not W&B's to take.
        "quiet": True,
    }
    if "WANDB_FINISH_TIMEOUT" not in os.environ:
        chosen["finish_timeout"] = FINISH_TIMEOUT
    return wandb.Settings(**chosen)


def _read_memory(path: Path) -> dict[str, Any]:
    """What an earlier piece of the run left; nothing where there is none, or it is damaged."""
    try:
        memory = json.loads(read_text(path, what="what W&B is to know", error=ValueError))
        return {"id": str(memory["id"]), "epoch": int(memory["epoch"])}
    except (ValueError, TypeError, KeyError):
        return {}
