"""Random changes of a batch of images, against moving its bytes and against a Pillow loader."""

import random
from dataclasses import replace

from mdl.bench.lines import Baseline, Line
from mdl.bench.pillow_loader import load_batch
from mdl.bench.settings import BenchSettings
from mdl.bench.step_lines import AUGMENTATION, NORMALIZATION, make_augmentation, random_images
from mdl.timing.floors import make_copy
from mdl.timing.rounds import Piece, time_rounds
from training.spec.config import Augmentation
from training.spec.policy import Policy

_POLICIES = (None, "autoaugment-cifar10", "rand", "trivial")
_PIECE, _COPY, _PILLOW = "piece", "copy", "Pillow, one core"


def measure_augmentation(settings: BenchSettings) -> list[Line]:
    """Flip, crop, normalisation and cutout: alone, and behind a built-in policy."""
    return [_measure(settings, replace(AUGMENTATION, policy=policy)) for policy in _POLICIES]


def _measure(settings: BenchSettings, augmentation: Augmentation) -> Line:
    batch = random_images(settings.batch_size, settings.device).images
    pixels = batch.permute(0, 2, 3, 1).contiguous().cpu().numpy()
    rng = random.Random(0)
    dtype = settings.input_dtype
    bytes_per_value = 1 + dtype.itemsize
    timings = time_rounds(
        {
            _PIECE: make_augmentation(batch, augmentation, dtype),
            _COPY: make_copy(bytes_per_value * batch.numel(), settings.device),
            _PILLOW: Piece(
                run=lambda: load_batch(pixels, augmentation, NORMALIZATION, rng=rng), is_naive=True
            ),
        },
        settings.pace,
    )
    pillow = timings[_PILLOW]
    return Line(
        piece=f"flip, crop, cutout{_describe(augmentation.chosen_policy)}",
        amount=len(batch),
        unit="images",
        timing=timings[_PIECE],
        floor=f"copy that moves {bytes_per_value} bytes a value: a byte in, a {dtype} out".replace(
            "torch.", ""
        ),
        floor_s=timings[_COPY].median,
        baselines=(Baseline(name=_PILLOW, timing=pillow),),
        facts={"pillow_images_per_second": len(batch) / pillow.median},
    )


def _describe(policy: Policy | None) -> str:
    return "" if policy is None else f", {policy.name}"
