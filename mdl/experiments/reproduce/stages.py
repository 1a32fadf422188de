"""Which runs come next when several tables and figures need them, and the loop over the stages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mdl.experiments.engines.engine import Engine
from mdl.experiments.engines.trial_progress import TrialProgress
from mdl.experiments.reproduce.artefact import Artefact
from mdl.experiments.reproduce.scale import Scale
from mdl.experiments.store.result_store import ResultStore
from mdl.experiments.store.results import Results
from mdl.experiments.store.run_key import run_key
from mdl.experiments.store.time_estimate import training_flop
from training.spec.config import TrainConfig
from training.system.signals import StopRequest


@dataclass(frozen=True, kw_only=True)
class Reproduction:
    """How the training for some artefacts ended.

    Attributes:
        failed: Key of a run that failed to why, in one line.
        signal_number: The signal that stopped it before all was done; None for none.
    """

    failed: dict[str, str]
    signal_number: int | None


def order_runs(plans: Mapping[str, Sequence[TrainConfig]]) -> list[TrainConfig]:
    """The runs of several artefacts, each once, those that decide most first.

    Trials come first, since further runs hang on what validation chooses among them; then the first
    seeds of everything before second ones; then the runs that more artefacts need; then the
    cheaper ones.

    Args:
        plans: Runs by artefact.
    """
    uses: dict[TrainConfig, int] = {}
    for configs in plans.values():
        for config in dict.fromkeys(configs):
            uses[config] = uses.get(config, 0) + 1

    def place(config: TrainConfig) -> tuple[bool, int, int, int]:
        return not _is_trial(config), config.seed, -uses[config], training_flop(config)

    return sorted(uses, key=place)


def train_missing(
    artefacts: Sequence[Artefact],
    scale: Scale,
    store: ResultStore,
    engine: Engine,
    *,
    progress: TrialProgress,
    stop: StopRequest,
) -> Reproduction:
    """Train what the artefacts need and the store lacks, stage by stage, until nothing is missing.

    A stage whose trials are not all there runs those alone, so that the runs that hang on the
    choice start as early as possible. A run that fails is not tried again in this call.

    Raises:
        ValueError: Results that cannot share a table.
        OSError: The store cannot be written to.
    """
    failed: dict[str, str] = {}
    while True:
        found = Results(store)
        plans = {each.name: each.plan(scale, found) for each in artefacts}
        missing = [
            config
            for config in order_runs(plans)
            if run_key(config) not in failed and found.get(config) is None
        ]
        if not missing:
            return Reproduction(failed=failed, signal_number=None)
        batch = [config for config in missing if _is_trial(config)] or missing
        outcome = engine.run(batch, store, progress=progress, stop=stop)
        failed |= outcome.failed
        if outcome.stopped:
            return Reproduction(failed=failed, signal_number=stop.signal_number)


def _is_trial(config: TrainConfig) -> bool:
    return config.data.validation > 0
