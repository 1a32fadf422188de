"""Networks compared by description length, ledger and locality: Tables 1 and 2, long runs."""

from dataclasses import dataclass

from mdl.experiments.artefacts.method_runs import CHOSEN_NETWORK, METHODS, method_runs, network_runs
from mdl.experiments.reproduce.run_plan import RunPlan
from mdl.experiments.reproduce.scale import Scale
from mdl.experiments.store.run_result import RunResult

FULLY_CONNECTED = ("d-fc", "s-fc", "3-fc")
"""Whose widths say how large the others are, too."""
BY_SGD = ("s-conv", "s-local", "d-conv", "d-local", "d-fc", "3-fc")


@dataclass(frozen=True, kw_only=True)
class ComparedNetwork:
    """A network trained by one method.

    Attributes:
        network: Its name.
        label: Network and method.
        method: "sgd" or "beta-lasso".
        results: Of the seeds that there are.
    """

    network: str
    label: str
    method: str
    results: list[RunResult]


def compared_networks(
    scale: Scale, runs: RunPlan, *, by_sgd: tuple[str, ...] = BY_SGD
) -> list[ComparedNetwork]:
    """Need s-fc by every method, with chosen settings, and others by SGD, all long.

    Args:
        scale: Its first data set counts.
        runs: Asked for the results.
        by_sgd: The others.
    """
    found = [
        ComparedNetwork(
            network=CHOSEN_NETWORK,
            label=f"{CHOSEN_NETWORK}, {training.label}",
            method=training.method,
            results=method_runs(scale, runs, training),
        )
        for training in METHODS
    ]
    found += [
        ComparedNetwork(
            network=network,
            label=f"{network}, SGD",
            method="sgd",
            results=network_runs(scale, runs, network),
        )
        for network in by_sgd
    ]
    return found
