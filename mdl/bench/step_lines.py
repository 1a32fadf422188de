"""A training step of every network against the peak of the machine, and augmentation alone."""

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from mdl.bench.lines import Baseline, Line
from mdl.bench.naive import NaiveStep
from mdl.bench.optimizer_lines import BETA_LASSO_BYTES, SGD_BYTES
from mdl.bench.pillow_loader import load_batch
from mdl.bench.settings import IMAGE_SIZE, BenchSettings
from mdl.timing.floors import MatmulPeak, make_copy, step_flop
from mdl.timing.rounds import Piece, Timing, time_rounds
from training.augment.inputs import augment_images
from training.data.image_set import ImageSet
from training.data.input_map import InputMap
from training.distributed.run_options import RunOptions
from training.run.state import TrainingState
from training.spec.architectures import NetworkSpec
from training.spec.config import Augmentation, Method, Precision, TrainConfig
from training.spec.normalization import Normalization
from training.spec.recipes import default_method

NUM_CLASSES = 10
AUGMENTATION = Augmentation(flip=True, crop=4, cutout=16)
NORMALIZATION = Normalization(mean=(0.5,) * 3, std=(0.25,) * 3, source="fixed")
_STEPS_PER_EPOCH = 16
_RESOLUTION_S = 1e-9
_STEP, _AUGMENTATION, _OPTIMIZER = "step", "augmentation", "optimizer"
_MATMUL, _COPY = "matmul", "copy"
_POLICIES = (None, "autoaugment-cifar10", "rand", "trivial")
_INPUTS, _PILLOW = "inputs", "Pillow, one core"


def measure_step(name: str, settings: BenchSettings, peak: MatmulPeak) -> Line:
    """One network's `TrainingState.take_step` on random images.

    The floor is the step's matrix products at the peak, timed again in the same rounds, and the
    bytes of the optimizer at the rate of a copy. Augmentation, BatchNorm and the loss are not in
    it. Forward and backward pass are what augmentation and optimizer leave of the step.

    Args:
        name: The network.
        settings: Its width and batch, and the arithmetic.
        peak: The fastest matrix product in that arithmetic.
    """
    width, batch_size = settings.steps[name]
    config = make_config(name, width, batch_size, precision=settings.precision)
    spec = config.network_spec(image_size=IMAGE_SIZE, num_classes=NUM_CLASSES, in_channels=3)
    images = random_images(_STEPS_PER_EPOCH * batch_size, settings.device)
    state = TrainingState(
        config=config,
        spec=spec,
        train_set=images,
        inputs=InputMap(NORMALIZATION),
        options=RunOptions(device=settings.device),
    )
    bytes_per_weight = BETA_LASSO_BYTES if config.method == "beta-lasso" else SGD_BYTES
    batch = ImageSet(images.images[:batch_size], images.labels[:batch_size])
    pieces: dict[str, Callable[[], object] | Piece] = {
        _STEP: lambda: _take_step(state),
        _AUGMENTATION: make_augmentation(batch.images, AUGMENTATION, settings.input_dtype),
        _OPTIMIZER: state.optimizer.step,
        _MATMUL: peak.run,
        _COPY: make_copy(bytes_per_weight * spec.num_weights, settings.device),
    }
    for precision in settings.precisions:
        naive = NaiveStep(spec, config, batch, precision=precision)
        pieces[f"plain torch in {precision}"] = Piece(run=naive, is_naive=True)
    timings = time_rounds(pieces, settings.pace)
    return _make_line(spec, config, timings, peak, bytes_per_weight)


def make_config(
    name: str, width: int, batch_size: int, *, precision: Precision = "bf16"
) -> TrainConfig:
    """The configuration of a step: the network's own optimizer, the paper's augmentation."""
    settings: dict[str, Any] = {"hidden_units" if name == "3-fc" else "base_channels": width}
    if name == "resnet18":
        settings["kernel_size"] = 3
    method: Method = "beta-lasso" if default_method(name) == "beta-lasso" else "sgd"
    if method == "beta-lasso":
        settings |= {"l1_conv": 1e-5, "l1_fc": 2e-6}
    else:
        settings |= {"momentum": 0.9, "weight_decay": 5e-4}
    return TrainConfig(
        network=name,
        method=method,
        augmentation=AUGMENTATION,
        batch_size=batch_size,
        epochs=10**6,
        precision=precision,
        **settings,
    )


def random_images(num: int, device: torch.device) -> ImageSet:
    """Images of noise, (num, 3, 32, 32), with labels at random."""
    generator = torch.Generator().manual_seed(0)
    shape = (num, 3, IMAGE_SIZE, IMAGE_SIZE)
    images = torch.randint(256, shape, generator=generator, dtype=torch.uint8)
    labels = torch.randint(NUM_CLASSES, (num,), generator=generator)
    return ImageSet(images, labels).to(device)


def _take_step(state: TrainingState) -> None:
    if state.step % state.steps_per_epoch == 0:
        state.begin_epoch()
    state.take_step()


def make_augmentation(
    images: Tensor, augmentation: Augmentation, dtype: torch.dtype
) -> Callable[[], object]:
    """Inputs of a type from a batch of images, as a step makes them."""
    generator = torch.Generator(images.device).manual_seed(0)
    return lambda: augment_images(
        images, augmentation, NORMALIZATION, generator=generator, dtype=dtype
    )


def _make_line(
    spec: NetworkSpec,
    config: TrainConfig,
    timings: dict[str, Timing],
    peak: MatmulPeak,
    bytes_per_weight: int,
) -> Line:
    step, augmentation, optimizer, matmul, copy = (
        timings.pop(name) for name in (_STEP, _AUGMENTATION, _OPTIMIZER, _MATMUL, _COPY)
    )
    flop = step_flop(spec, config.batch_size)
    products_s = flop * matmul.median / peak.flop
    computing = step.median - augmentation.median
    width = f"h={config.hidden_units}" if spec.name == "3-fc" else f"α={config.base_channels}"
    return Line(
        piece=f"{spec.name} {width}, batch {config.batch_size}, {config.method}",
        amount=config.batch_size,
        unit="images",
        timing=step,
        floor=f"the products' FLOPs at the {peak.dtype} matmul peak, and a copy that moves the "
        "optimizer's bytes",
        floor_s=products_s + copy.median,
        baselines=tuple(Baseline(name=name, timing=timing) for name, timing in timings.items()),
        facts={
            "network": spec.name,
            "num_weights": spec.num_weights,
            "flop": flop,
            "precision": config.precision,
            "peak_dtype": peak.dtype,
            "peak_flop_per_second": peak.flop / matmul.median,
            "bytes_per_weight": bytes_per_weight,
            "products_seconds": products_s,
            "copy_seconds": copy.median,
            "augmentation_seconds": augmentation.median,
            "optimizer_seconds": optimizer.median,
            "rest_seconds": computing - optimizer.median,
            "augmentation_share": augmentation.median / step.median,
            "peak_share": products_s / max(computing, _RESOLUTION_S),
        },
    )


def measure_augmentation(settings: BenchSettings) -> list[Line]:
    """Flip, crop, normalisation and cutout: alone, and behind a built-in policy."""
    return [_measure_inputs(settings, replace(AUGMENTATION, policy=policy)) for policy in _POLICIES]


def _measure_inputs(settings: BenchSettings, augmentation: Augmentation) -> Line:
    batch = random_images(settings.batch_size, settings.device).images
    pixels = batch.permute(0, 2, 3, 1).contiguous().cpu().numpy()
    rng = random.Random(0)
    dtype = settings.input_dtype
    bytes_per_value = 1 + dtype.itemsize
    timings = time_rounds(
        {
            _INPUTS: make_augmentation(batch, augmentation, dtype),
            _COPY: make_copy(bytes_per_value * batch.numel(), settings.device),
            _PILLOW: Piece(
                run=lambda: load_batch(pixels, augmentation, NORMALIZATION, rng=rng), is_naive=True
            ),
        },
        settings.pace,
    )
    pillow, chosen = timings[_PILLOW], augmentation.chosen_policy
    policy = "" if chosen is None else f", {chosen.name}"
    return Line(
        piece=f"flip, crop, cutout{policy}",
        amount=len(batch),
        unit="images",
        timing=timings[_INPUTS],
        floor=f"copy that moves {bytes_per_value} bytes a value: a byte in, a {dtype} out".replace(
            "torch.", ""
        ),
        floor_s=timings[_COPY].median,
        baselines=(Baseline(name=_PILLOW, timing=pillow),),
        facts={"pillow_images_per_second": len(batch) / pillow.median},
    )
