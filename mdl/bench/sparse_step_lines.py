"""A whole training step with sparse layers, by the share of rows that are screened.

η is so small that weights and gradients stay what they are from step to step, whatever comes of
the steps. βλ is then chosen, for each layer, on the scale of η times the bounds on the gradients:
what share of the rows is screened depends on their quotient alone.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from torch import Tensor

from mdl.bench.lines import Baseline, Line
from mdl.bench.naive import NaiveStep
from mdl.bench.optimizer_lines import BETA_LASSO_BYTES
from mdl.bench.settings import IMAGE_SIZE, SPARSE_DENSITIES, BenchSettings
from mdl.bench.sparse_lines import draw_sparse_weights
from mdl.bench.step_lines import AUGMENTATION, NORMALIZATION, NUM_CLASSES, random_images
from mdl.timing.floors import MatmulPeak, make_copy, multiplications
from mdl.timing.rounds import Piece, Timing, time_rounds
from training.data.image_set import ImageSet
from training.data.input_map import InputMap
from training.distributed.run_options import RunOptions
from training.run.state import TrainingState
from training.sparse.costs import SMALLEST_LAYER, may_be_sparse
from training.sparse.replicas import DenseProbe, SparseReplicas
from training.sparse.weight import SparseLinear, SparseWeight
from training.spec.architectures import NetworkSpec
from training.spec.config import Sparsity, TrainConfig

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
SHARES = (0.0, 0.5, 0.9, 1.0)
"""Of rows that are screened."""
_STEPS_PER_EPOCH = 16
_MATMUL, _COPY, _NAIVE = "matmul", "copy", "plain torch in fp32"


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


def why_no_sparse_steps(settings: BenchSettings) -> str | None:
    """Why no step with sparse layers can be timed at these sizes, or None."""
    config, spec = _make_config(settings)
    if any(may_be_sparse(layer, config) for layer in spec.layers):
        return None
    return f"no layer of s-fc α={config.base_channels} has {SMALLEST_LAYER:,} weights"


def measure_sparse_steps(settings: BenchSettings, peak: MatmulPeak) -> list[Line]:
    """A line for each of `SHARES`: `TrainingState.take_step` on images of noise.

    Beside them, in the same rounds, run the step of the same weights in dense layers and the naive
    step in float32. A layer that is too small for it does not become sparse.

    All but the naive step has training's arithmetic.

    The floor are the products at the nonzeros and the bytes of the optimizer. Augmentation,
    BatchNorm, the screen and the gradients of rows that are not screened are not in it.

    Args:
        settings: α and images a step, for which `why_no_sparse_steps` is None.
        peak: The fastest matrix product in that arithmetic.
    """
    config, spec = _make_config(settings)
    weights = draw_sparse_weights(spec)
    images = random_images(_STEPS_PER_EPOCH * config.batch_size, settings.device)

    def make_state(sparsity: Sparsity) -> TrainingState:
        return TrainingState(
            config=config,
            spec=spec,
            train_set=images,
            inputs=InputMap(NORMALIZATION),
            options=RunOptions(device=settings.device, sparsity=sparsity),
        )

    sparse_state, dense_state = make_state("auto"), make_state("never")
    sparse = ScreenedSteps(sparse_state, weights, shares=SHARES)
    dense_state.begin_epoch()
    set_weights(dense_state, weights)
    batch = ImageSet(images.images[: config.batch_size], images.labels[: config.batch_size])
    entries = _count_entries(sparse)
    flop, num_bytes = _count_work(spec, config.batch_size, entries)
    pieces: dict[str, Callable[[], object] | Piece] = {
        _name(share): partial(sparse.take_step, share) for share in SHARES
    }
    pieces |= {
        _dense(config): dense_state.take_step,
        _NAIVE: Piece(run=NaiveStep(spec, config, batch, precision="fp32"), is_naive=True),
        _MATMUL: peak.run,
        _COPY: make_copy(num_bytes, settings.device),
    }
    timings = time_rounds(pieces, settings.sparse_pace)
    facts = {
        "network": spec.name,
        "precision": config.precision,
        "num_weights": spec.num_weights,
        "flop": flop,
        "peak_flop_per_second": peak.flop / timings[_MATMUL].median,
        "entries": entries,
        "entries_after": _count_entries(sparse),
        "bytes_per_entry": {
            name: weight.num_bytes / weight.support.num_entries
            for name, weight in sparse.sparse_weights().items()
        },
        "weight_bytes": sparse_state.weights.weight_bytes,
        "dense_weight_bytes": dense_state.weights.weight_bytes,
    }
    return [_make_line(share, config, sparse, timings, facts) for share in SHARES]


def _make_config(settings: BenchSettings) -> tuple[TrainConfig, NetworkSpec]:
    width, batch_size = settings.sparse
    config = TrainConfig(
        network="s-fc",
        base_channels=width,
        augmentation=AUGMENTATION,
        batch_size=batch_size,
        lr=SMALL_LR,
        l1_conv=SMALL_L1_COEF,
        l1_fc=SMALL_L1_COEF,
        epochs=10**6,
        precision=settings.sparse_precisions[0],
    )
    spec = config.network_spec(image_size=IMAGE_SIZE, num_classes=NUM_CLASSES, in_channels=3)
    return config, spec


def _count_entries(sparse: ScreenedSteps) -> dict[str, int]:
    return {name: weight.support.num_entries for name, weight in sparse.sparse_weights().items()}


def _count_work(spec: NetworkSpec, batch_size: int, entries: Mapping[str, int]) -> tuple[int, int]:
    """FLOPs of a step's products and bytes of its optimizer, by nonzeros where layers are sparse.

    As in `mdl.timing.floors.step_flop`, the first layer's inputs need no gradients.
    """
    counts = [entries.get(layer.name, multiplications(layer)) for layer in spec.layers]
    products = 3 * sum(counts) - counts[0]
    return 2 * batch_size * products, BETA_LASSO_BYTES * sum(counts)


def _make_line(
    share: float,
    config: TrainConfig,
    sparse: ScreenedSteps,
    timings: Mapping[str, Timing],
    facts: Mapping[str, Any],
) -> Line:
    products_s = facts["flop"] / facts["peak_flop_per_second"]
    notes = sparse.notes[share]
    names = (_dense(config), _NAIVE)
    densities = " and ".join(f"{density:.0%}" for density in SPARSE_DENSITIES)
    return Line(
        piece=f"step of s-fc α={config.base_channels} at {densities}, {_name(share)}",
        amount=config.batch_size,
        unit="images",
        timing=timings[_name(share)],
        floor=f"FLOPs at the nonzeros at the {config.precision} matmul peak, and a copy that moves "
        "the bytes of the optimizer for them",
        floor_s=products_s + timings[_COPY].median,
        baselines=tuple(Baseline(name=name, timing=timings[name]) for name in names),
        facts={
            **facts,
            "products_seconds": products_s,
            "copy_seconds": timings[_COPY].median,
            "nominal_screened": share,
            "screened": notes.mean_screened(),
            "regrown_per_step": notes.mean_regrown(),
        },
    )


def _dense(config: TrainConfig) -> str:
    return f"dense {config.precision} step"


def _name(share: float) -> str:
    return f"{share:.0%} screened"
