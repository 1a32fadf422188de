"""Runs configurations by Ray in a process of its own: Ray reads its token once, when imported.

Usage: ray_sweep.py STORE CONFIGS THREADS; prints what became of them as JSON.
"""

import json
import sys
from pathlib import Path

from mdl.experiments.engines.ray_engine import RayEngine
from mdl.experiments.engines.trial_progress import TrialProgress
from mdl.experiments.store.result_store import ResultStore
from training.spec.config import TrainConfig
from training.system.signals import StopRequest


class Notes(TrialProgress):
    """Remembers the failures it is told of."""

    def __init__(self) -> None:
        super().__init__()
        self.failures: list[tuple[str, bool]] = []

    def on_failed(self, config: TrainConfig, message: str, *, is_last_try: bool) -> None:
        self.failures.append((message, is_last_try))


def main(store: str, configs: str, threads: str) -> None:
    engine = RayEngine(threads=int(threads), retries=1, device="cpu")
    with StopRequest() as stop, Notes() as notes:
        outcome = engine.run(
            [TrainConfig.from_dict(values) for values in json.loads(configs)],
            ResultStore(Path(store)),
            progress=notes,
            stop=stop,
        )
    told = {"failed": outcome.failed, "failures": notes.failures, "stopped": outcome.stopped}
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
