"""Training steps with sparse layers, in which a chosen share of the rows is screened.

η is so small that weights and gradients stay what they are from step to step, whatever comes of
the steps. βλ is then chosen, for each layer, on the scale of η times the bounds on the gradients:
what share of the rows is screened depends on their quotient alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from torch import Tensor

from training.run.state import TrainingState
from training.sparse.choice import may_be_sparse
from training.sparse.dense_probe import DenseProbe
from training.sparse.linear import SparseLinear
from training.sparse.replicas import SparseReplicas
from training.sparse.weight import SparseWeight

SMALL_LR = 1e-6
"""η. β-lasso moves no weight by more than some millionths of it in all the steps of a bench."""
SMALL_L1_COEF = 1e-6
"""λ by which no zero weight comes back at this η, and every other one stays."""
_LARGEST_GRADIENT = 2.0**10  # In the largest bound, to begin with.
_WIDEST, _WIDE = 2.0**40, 2.0**6  # How far below it, and below the share before, βλ is sought.
_CLOSENESS = 1.02  # Of the upper and the lower end when the search stops.
_ROOM = 1.5  # How far above the last row βλ is where all are to be screened, in every batch.
_FEW = 0.01  # Screened where none is to be: below it weights come back, in a small network many.
_WARMUPS = 2


@dataclass
class StepNotes:
    """What the steps at one nominal share did, by layer.

    Attributes:
        num_steps: How many they were.
        screened: Sums of the shares of screened rows.
        regrown: Weights that came back, in all.
    """

    num_steps: int = 0
    screened: dict[str, float] = field(default_factory=dict)
    regrown: dict[str, int] = field(default_factory=dict)

    def mean_screened(self) -> dict[str, float]:
        """Share of screened rows, the mean over the steps."""
        return {name: round(total / self.num_steps, 6) for name, total in self.screened.items()}

    def mean_regrown(self) -> dict[str, float]:
        """Weights that came back in a step, the mean over the steps."""
        return {name: total / self.num_steps for name, total in self.regrown.items()}


class ScreenedSteps:
    """Takes the steps of one training state at each of several shares of screened rows.

    Args:
        state: At its first step, with η = `SMALL_LR` and dense layers that may become sparse.
        weights: Layer to its weight. Of these layers those become sparse that are large enough, at
            most one of each of the optimizer's groups, since a group has one λ.
        shares: Of rows, each in [0, 1].

    Attributes:
        notes: Nominal share to what its steps did.

    Raises:
        ValueError: The state has no layers that may become sparse.
    """

    def __init__(
        self, state: TrainingState, weights: dict[str, Tensor], *, shares: Sequence[float]
    ) -> None:
        if not isinstance(state.weights, SparseReplicas):
            raise ValueError("the state must be one whose layers may become sparse")
        self._state, self._replicas = state, state.weights
        # An epoch begins while all is dense, so that no layer changes sides by its costs; none
        # begins again, the batches of this one come round.
        state.begin_epoch()
        set_weights(state, weights)
        self._groups = {
            layer.name: layer.group
            for layer in state.network.spec.layers
            if layer.name in weights and may_be_sparse(layer, state.config)
        }
        for name in self._groups:
            self._replicas.hand_over(name)
        self._num_steps = 0
        for _ in range(_WARMUPS):
            self._take_step(StepNotes())
        self._thresholds = self._find_thresholds(shares)
        self.notes = {share: StepNotes() for share in shares}

    def take_step(self, share: float) -> None:
        """One step in which about this share of each sparse layer's rows is screened."""
        optimizer = self._replicas.optimizer
        by_group = {group["name"]: group for group in optimizer.param_groups}
        for name, group_name in self._groups.items():
            group = by_group[group_name]
            group["l1_coef"] = self._thresholds[name][share] / group["beta"]
        self._take_step(self.notes[share])

    def sparse_weights(self) -> dict[str, SparseWeight]:
        """The sparse layers' weights as they are now."""
        return {name: self._layer(name).sparse_weight for name in self._replicas.sparse_layers}

    def _take_step(self, notes: StepNotes) -> None:
        entries = self._count_entries()
        sums = self._sum_shares()
        self._state.take_step()
        self._num_steps += 1
        notes.num_steps += 1
        new_entries, new_sums = self._count_entries(), self._sum_shares()
        for name in self._groups:
            share = new_sums[name] - sums[name]
            notes.screened[name] = notes.screened.get(name, 0.0) + share
            # A support grows by just the weights that come back, and shrinks in other steps.
            grown = max(0, new_entries[name] - entries[name])
            notes.regrown[name] = notes.regrown.get(name, 0) + grown

    def _count_entries(self) -> dict[str, int]:
        return {name: self._layer(name).sparse_weight.support.num_entries for name in self._groups}

    def _sum_shares(self) -> dict[str, float]:
        means = self._replicas.screened
        return {name: means.get(name, 0.0) * self._num_steps for name in self._groups}

    def _find_thresholds(self, shares: Sequence[float]) -> dict[str, dict[float, float]]:
        """βλ by layer and share, by the gradients of one step."""
        probes = {name: DenseProbe({name: self._layer(name)}) for name in self._groups}
        self._take_step(StepNotes())
        lr = self._state.last_lr
        return {
            name: find_thresholds(partial(_measure_share, probe, name, lr), shares, lr=lr)
            for name, probe in probes.items()
        }

    def _layer(self, name: str) -> SparseLinear:
        layer = self._state.network.get_submodule(name)
        assert isinstance(layer, SparseLinear)
        return layer


def set_weights(state: TrainingState, weights: dict[str, Tensor]) -> None:
    """Give a state's dense layers weights.

    Args:
        state: At its first step.
        weights: Layer to its weight.
    """
    changed = {f"{name}.weight": weight for name, weight in weights.items()}
    state.weights.load(state.weights.whole_state() | changed, state.weights.whole_optimizer_state())


def _measure_share(probe: DenseProbe, name: str, lr: float, threshold: float) -> float:
    return probe.measure({name: (lr, threshold)})[name]


def find_thresholds(
    screened_share: Callable[[float], float], shares: Sequence[float], *, lr: float
) -> dict[float, float]:
    """Thresholds βλ at which about these shares of the rows are screened.

    At a share of 0 it is still one row in a hundred, and at 1 the threshold is well above the last
    row: batches differ.

    Args:
        screened_share: Threshold to the share of screened rows, which grows with it.
        shares: The ones that are sought.
        lr: η, on the scale of which the thresholds lie.

    Returns:
        Share to threshold.

    >>> found = find_thresholds(lambda limit: min(1.0, limit), (0.5, 1.0), lr=1.0)
    >>> {share: round(threshold, 1) for share, threshold in found.items()}
    {0.5: 0.5, 1.0: 1.5}
    """
    found: dict[float, float] = {}
    high, width = lr * _LARGEST_GRADIENT, _WIDEST
    for share in sorted(shares, reverse=True):
        low = high / width
        while high > _CLOSENESS * low:
            middle = (low * high) ** 0.5
            if screened_share(middle) >= max(share, _FEW):
                high = middle
            else:
                low = middle
        found[share], width = high, _WIDE
    return {share: found[share] * (_ROOM if share == 1 else 1.0) for share in shares}
