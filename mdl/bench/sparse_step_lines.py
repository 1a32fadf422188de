"""A whole training step with sparse layers, by the share of rows that are screened."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from mdl.bench.lines import Baseline, Line
from mdl.bench.naive_steps import NaiveStep
from mdl.bench.optimizer_lines import BETA_LASSO_BYTES
from mdl.bench.screened_steps import SMALL_L1_COEF, SMALL_LR, ScreenedSteps, set_weights
from mdl.bench.settings import IMAGE_SIZE, SPARSE_DENSITIES, BenchSettings
from mdl.bench.sparse_lines import draw_sparse_weights
from mdl.bench.step_lines import AUGMENTATION, NORMALIZATION, NUM_CLASSES, random_images
from mdl.timing.floors import MatmulPeak, make_copy
from mdl.timing.flop_counts import multiplications
from mdl.timing.rounds import Piece, Timing, time_rounds
from training.data.image_set import ImageSet
from training.run.state import TrainingState
from training.sparse.choice import SMALLEST_LAYER, Sparsity, may_be_sparse
from training.spec.architectures import NetworkSpec
from training.spec.config import TrainConfig

SHARES = (0.0, 0.5, 0.9, 1.0)
"""Of rows that are screened."""
_STEPS_PER_EPOCH = 16
_MATMUL, _COPY, _NAIVE = "matmul", "copy", "plain torch in fp32"


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
            normalization=NORMALIZATION,
            permutation=None,
            device=settings.device,
            sparsity=sparsity,
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

    As in `mdl.timing.flop_counts.step_flop`, the first layer's inputs need no gradients.
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
