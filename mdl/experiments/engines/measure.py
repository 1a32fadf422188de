"""What is measured of a finished run: errors, weights, description, locality of its filters."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from analysis.bounds.bounds import ErrorCount
from analysis.describe.bound_report import report_bound
from analysis.filters.filters import (
    MIN_NONZEROS,
    FilterSample,
    count_filter_nonzeros,
    sample_filters,
)
from analysis.filters.locality import measure_locality, summarize_locality
from analysis.quantize.formats import find_format
from mdl.experiments.store.metrics_file import parse_point
from mdl.experiments.store.run_result import (
    Description,
    FilterLocality,
    RunResult,
    pack_answers,
    run_key,
)
from training.checkpoint.checkpoint import Checkpoint
from training.data.image_set import Dataset
from training.errors import CheckpointError
from training.networks.models import network_from_state
from training.run.evaluate import EvaluationData, right_answers, split_as_trained
from training.spec.config import TrainConfig
from training.spec.shrinkage import fill_penalties

MAX_DESCRIBED_WEIGHTS = 40_000_000
"""Larger networks are not described, which takes time and memory in proportion to their weights.

`mdl bound` does it on request.
"""
LONG_TRIAL_EPOCHS = 50
DESCRIPTION_BITS = 16
NUM_KEPT_FILTERS = 24
"""Filters kept for drawing. Locality is measured of up to `filters.MAX_FILTERS`."""

Filters = NDArray[np.float16]


def measure_run(
    checkpoint: Checkpoint,
    dataset: Dataset,
    *,
    config: TrainConfig,
    epochs: Iterable[Mapping[str, Any]],
    versions: Mapping[str, Any],
    device: torch.device,
) -> tuple[RunResult, Filters | None]:
    """Measure a finished run.

    The errors are those that the training loop counted of the final network; the test images are
    counted again, one by one. The description is that of `analysis.describe.bound_report` at 16
    bits a number, where the network has at most `MAX_DESCRIBED_WEIGHTS`. Trials, which hold out
    images to choose by, are described from `LONG_TRIAL_EPOCHS` on: describing a shorter one can
    take longer than training it.

    Args:
        checkpoint: The final one.
        dataset: The images, whole, as training loaded them.
        config: What was asked for; its key is the result's.
        epochs: The lines of metrics.jsonl.
        versions: What trained it.
        device: Where the errors of the described network are counted.

    Returns:
        The result, and a sample of the first layer's filters of the s- networks, (n, channels, s,
        s) with n <= `NUM_KEPT_FILTERS`; None where no filter has `MIN_NONZEROS`.

    Raises:
        CheckpointError: The run is not finished, or an older version wrote it.
    """
    metrics = checkpoint.metrics
    if checkpoint.training is not None or "train_errors" not in metrics:
        raise CheckpointError("the run is not finished; resume it with mdl train --resume")
    spec = checkpoint.network
    sample = _sample(checkpoint) if _filters_have_place(spec.name) else None
    try:
        history = tuple(map(parse_point, epochs))
    except ValueError as error:
        raise CheckpointError(f"metrics.jsonl: {error}; train it with this version") from None
    described = is_to_describe(config, spec.num_weights)
    try:
        data = split_as_trained(checkpoint, dataset)
        right = _right_tests(checkpoint, data, device)
        result = RunResult(
            key=run_key(config),
            config=fill_penalties(config, spec, metrics["num_samples"]),
            data_name=dataset.name,
            fingerprint=dataset.fingerprint,
            num_weights={layer.name: layer.num_weights for layer in spec.layers},
            num_nonzeros=_count_nonzeros(checkpoint),
            train=ErrorCount(
                num_errors=metrics["train_errors"], num_samples=metrics["num_samples"]
            ),
            validation=_optional_count(metrics["validation_errors"], metrics["num_validation"]),
            test=ErrorCount(num_errors=int((~right).sum()), num_samples=len(right)),
            test_answers=pack_answers(right),
            history=history,
            seconds=metrics["seconds"],
            description=_describe(checkpoint, data, device) if described else None,
            locality=None if sample is None else _measure_locality(sample),
            versions=dict(versions),
        )
    except KeyError as error:
        raise CheckpointError(f"the run does not say {error}; train it with this version") from None
    keep = sample is not None and spec.family == "s"
    kept = sample.images[:NUM_KEPT_FILTERS].astype(np.float16) if sample and keep else None
    return result, kept


def is_to_describe(config: TrainConfig, num_weights: int) -> bool:
    """Whether a run's bits and bound are measured: see `measure_run`."""
    is_long = config.epochs >= LONG_TRIAL_EPOCHS or not config.data.validation
    return is_long and num_weights <= MAX_DESCRIBED_WEIGHTS


def _filters_have_place(network: str) -> bool:
    """Whether units of the first layer look at the whole image, or once at a place of it."""
    return network.startswith("s-") or network.endswith("-fc")


def _sample(checkpoint: Checkpoint) -> FilterSample | None:
    layer = checkpoint.network.layers[0]
    nonzeros = count_filter_nonzeros(layer, checkpoint.state[f"{layer.name}.weight"])
    return sample_filters(checkpoint) if nonzeros.max() >= MIN_NONZEROS else None


def _measure_locality(sample: FilterSample) -> FilterLocality:
    found = summarize_locality(measure_locality(sample.images))
    return FilterLocality(
        num_filters=found.num_filters,
        radius=found.radius,
        chance_radius=found.chance_radius,
        ratio=found.ratio,
        ratio_interval=found.ratio_interval,
        local_share=found.local_share,
    )


def _right_tests(
    checkpoint: Checkpoint, data: EvaluationData, device: torch.device
) -> NDArray[np.bool_]:
    network = network_from_state(checkpoint.network, checkpoint.state).to(device)
    return right_answers(network, data.test, data.inputs, device=device).cpu().numpy()


def _describe(checkpoint: Checkpoint, data: EvaluationData, device: torch.device) -> Description:
    report = report_bound(checkpoint, data, find_format(DESCRIPTION_BITS), device=device)
    return Description(
        bits_per_number=report.number_format.bits_per_weight,
        num_bits=report.description_bits,
        code=report.codeword.code,
        lengths={name: length.bits for name, length in report.lengths.items()},
        bound=report.bound.value,
        delta=report.delta,
    )


def _count_nonzeros(checkpoint: Checkpoint) -> dict[str, int]:
    """Counted again: those of a checkpoint that has not been to the disk are not filled in."""
    return {
        layer.name: int(torch.count_nonzero(checkpoint.state[f"{layer.name}.weight"]))
        for layer in checkpoint.network.layers
    }


def _optional_count(num_errors: int, num_samples: int) -> ErrorCount | None:
    return ErrorCount(num_errors=num_errors, num_samples=num_samples) if num_samples else None
