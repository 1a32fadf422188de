"""The sizes of experiments, in one place: smoke (minutes), laptop (hours), paper. No torch."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from mdl.experiments.reproduce.scale import Scale
from mdl.experiments.sweep.carry_over import CarryOverDesign
from mdl.experiments.sweep.grids import GRIDS, Grid, ScreeningGrid
from mdl.experiments.sweep.regimes import GainDesign, Regime
from training.spec.config import DataConfig, Precision

_LAPTOP_WIDTHS = {
    "d-conv": 8,
    "d-local": 8,
    "d-fc": 8,
    "s-conv": 34,
    "s-local": 34,
    "s-fc": 34,
    "3-fc": 1520,
    "resnet18": 4,
}
_SMOKE_WIDTHS = {
    "d-conv": 1,
    "d-local": 1,
    "d-fc": 1,
    "s-conv": 2,
    "s-local": 2,
    "s-fc": 2,
    "3-fc": 64,
    "resnet18": 1,
}
_PAPER_WIDTHS = {
    "d-conv": 15,
    "d-local": 15,
    "d-fc": 15,
    "s-conv": 150,
    "s-local": 150,
    "s-fc": 150,
    "3-fc": 14_533,
    "resnet18": 64,
}
_L1, _RATES = (5e-6, 1e-5, 2e-5, 5e-5, 1e-4), (0.03, 0.1, 0.3, 1.0)

_SMOKE_REGIME = Regime(num_images=512, epochs=2, image_size=16, width=2)
_LAPTOP_REGIME = Regime(num_images=20_000, epochs=60, image_size=16, width=8)
_PAPER_REGIME = Regime(num_images=45_000, epochs=400, image_size=32, width=150, has_policy=True)
_SMOKE_GRID = Grid(
    name="smoke",
    about="Two pairs of total shrinkages, one setting of SGD.",
    recipe="quick",
    shrinkage=((0.03, 0.03), (0.1, 0.03)),
    sgd=((0.9, 5e-4),),
    dropout=(0.0,),
    validation=256,
)
_LAPTOP_GRID = Grid(
    name="laptop",
    about="Nine pairs of λ, four settings of SGD.",
    recipe="quick",
    l1=tuple((conv, fc) for conv in (2.5e-5, 5e-5, 1e-4) for fc in (1e-5, 2.5e-5, 5e-5)),
    lasso_lr=(1.0,),
    sgd=((0.9, 5e-4), (0.9, 2e-3)),
    sgd_lr=(0.03, 0.1),
    dropout=(0.0,),
    validation=5000,
)
_SMOKE = Scale(
    name="smoke",
    data=DataConfig(source="cifar10", num_train=2048, num_test=512),
    recipe="quick",
    widths=_SMOKE_WIDTHS,
    ladders={"resnet18": (1, 2), "d-conv": (1, 2), "s-conv": (1, 2), "3-fc": (32, 64)},
    kernel_sizes=(3, 5),
    short_epochs=1,
    long_epochs=2,
    ladder_epochs=1,
    trial_epochs=2,
    short_seeds=(0,),
    long_seeds=(0,),
    batch_size=128,
    resnet_batch_size=128,
    screening=ScreeningGrid(epochs=1, l1=(2e-5, 2e-4), widths=(2, 4), rates=(0.1, 0.3)),
    gain=GainDesign(
        usual=_SMOKE_REGIME,
        others=(replace(_SMOKE_REGIME, epochs=4),),
        l1=((2e-6, 2e-6), (1e-5, 1e-5)),
        lasso_lr=1.0,
        sgd=((0.1, 5e-4),),
        local_sgd=((0.1, 5e-4),),
        num_held_out=256,
        batch_size=64,
        policy={"policy": "trivial"},
    ),
    carry_over=CarryOverDesign(
        usual=_SMOKE_REGIME,
        rate=1.0,
        epochs=(2, 4),
        widths=(1, 2),
        rates=(0.5, 1.0),
        shrinkages=(0.02, 0.1),
        fc_share=1.0,
    ),
    grid=_SMOKE_GRID,
    low_beta=replace(_SMOKE_GRID, shrinkage=((0.03, 0.03),)),
    other_grid=replace(_SMOKE_GRID, shrinkage=((0.1, 0.03),)),
    train_target=0.15,
)
_LAPTOP = Scale(
    name="laptop",
    data=DataConfig(source="cifar10", image_size=16, num_train=20_000),
    recipe="quick",
    widths=_LAPTOP_WIDTHS,
    ladders={
        "resnet18": (1, 2, 4, 8),
        "d-conv": (1, 2, 4, 8),
        "s-conv": (2, 5, 12, 34),
        "3-fc": (64, 256, 680, 1520),
    },
    kernel_sizes=(3, 5, 7),  # 7 of 16 pixels, as 15 of the paper's 32
    short_epochs=30,
    long_epochs=60,
    ladder_epochs=60,
    trial_epochs=60,
    short_seeds=(0, 1, 2),
    long_seeds=(0, 1, 2),
    batch_size=128,
    resnet_batch_size=128,
    crop=2,
    screening=ScreeningGrid(epochs=3, l1=_L1, widths=(24, 34, 48, 64), rates=_RATES),
    gain=GainDesign(
        usual=_LAPTOP_REGIME,
        others=(
            replace(_LAPTOP_REGIME, epochs=200),
            replace(_LAPTOP_REGIME, num_images=5_000),
            replace(_LAPTOP_REGIME, num_images=45_000),
            replace(_LAPTOP_REGIME, image_size=32),
            replace(_LAPTOP_REGIME, width=2),
            replace(_LAPTOP_REGIME, width=32),
            replace(_LAPTOP_REGIME, has_policy=True),
            replace(_LAPTOP_REGIME, num_images=5_000, epochs=400),
            replace(_LAPTOP_REGIME, epochs=200, has_policy=True),
        ),
        l1=((1e-5, 1e-5), (2.5e-5, 1.5e-5), (1e-4, 2.5e-5)),
        lasso_lr=1.0,
        sgd=((0.03, 5e-4), (0.03, 2e-3)),
        local_sgd=((0.1, 5e-4),),
        num_held_out=5000,
        batch_size=128,
        policy={"policy": "autoaugment-cifar10"},
        seeds=(0, 1, 2),
        precision="fp32",
    ),
    carry_over=CarryOverDesign(
        usual=Regime(num_images=10_000, epochs=60, image_size=32, width=4),
        rate=1.0,
        epochs=(30, 60, 120),
        widths=(2, 4, 8),
        rates=(0.5, 1.0, 2.0),
        shrinkages=(1.25, 2.5, 5.0, 10.0, 20.0, 40.0),
        fc_share=1.0,
    ),
    grid=_LAPTOP_GRID,
    low_beta=replace(_LAPTOP_GRID, l1=((1e-6, 1e-6), (4e-6, 4e-6), (1.6e-5, 1.6e-5))),
    other_grid=replace(
        _LAPTOP_GRID, l1=((2e-6, 2e-6), (1e-5, 1e-5)), lasso_lr=(0.1, 0.5, 2.0), sgd=((0.9, 5e-4),)
    ),
    train_target=0.5,
)
_PAPER = Scale(
    name="paper",
    data=DataConfig(source="cifar10"),
    recipe="paper-400",
    widths=_PAPER_WIDTHS,
    ladders={
        "resnet18": (1, 2, 4, 8, 16, 32, 64, 128, 256),
        "d-conv": (1, 2, 4, 8, 16, 32, 64, 128, 256),
        "s-conv": (1, 2, 5, 10, 25, 50, 100, 200, 400),
        "3-fc": (16, 64, 256, 1024, 4096, 14_533, 30_000),
    },
    kernel_sizes=(3, 5, 7, 9, 11, 13, 15),
    short_epochs=400,
    long_epochs=4000,
    ladder_epochs=400,
    trial_epochs=400,
    short_seeds=(0,),
    long_seeds=(0,),
    batch_size=512,
    resnet_batch_size=512,
    screening=ScreeningGrid(epochs=3, l1=_L1, widths=(15, 50, 150, 300), rates=_RATES),
    gain=GainDesign(
        usual=_PAPER_REGIME,
        others=(
            replace(_PAPER_REGIME, epochs=4000),
            replace(_PAPER_REGIME, num_images=10_000),
            replace(_PAPER_REGIME, width=50),
            replace(_PAPER_REGIME, has_policy=False),
        ),
        l1=((5e-6, 1e-6), (1e-5, 2e-6), (2e-5, 5e-6)),
        lasso_lr=0.1,
        sgd=((0.1, 1e-4), (0.1, 5e-4), (0.1, 1e-3)),
        local_sgd=((0.1, 1e-4), (0.1, 5e-4), (0.1, 1e-3)),
        num_held_out=5000,
        batch_size=512,
        policy={"policy": "autoaugment-cifar10"},
    ),
    carry_over=CarryOverDesign(
        usual=replace(_PAPER_REGIME, num_images=10_000),
        rate=0.1,
        epochs=(400, 1200, 4000),
        widths=(50, 150),
        rates=(0.1, 0.3),
        shrinkages=(2.0, 5.0, 10.0, 20.0, 50.0),
        fc_share=0.7,
    ),
    grid=GRIDS["paper"],
    low_beta=GRIDS["paper"],
    other_grid=GRIDS["paper"],
    train_target=0.99,
)

SCALES = {scale.name: scale for scale in (_SMOKE, _LAPTOP, _PAPER)}


def scale_on(
    name: str,
    sources: tuple[str, ...],
    *,
    precision: Precision | None = None,
    policy: Mapping[str, Any] | None = None,
) -> Scale:
    """A scale by name, on the data sets given.

    Args:
        name: One of `SCALES`.
        sources: Data sets as `DataConfig.source` takes them; none keeps the scale's own.
        precision: None keeps the scale's own.
        policy: In place of that of all runs that have one; None keeps it.

    Raises:
        ValueError: No such scale, or a data set named twice.

    >>> scale_on("smoke", ("glyphs",)).data.num_train
    2048
    """
    if name not in SCALES:
        raise ValueError(f"--scale must be one of {', '.join(SCALES)}, not {name!r}")
    scale = SCALES[name]
    if precision is not None:
        gain = replace(scale.gain, precision=precision)
        scale = replace(scale, precision=precision, gain=gain)
    if policy is not None:
        scale = replace(scale, policy=policy, gain=replace(scale.gain, policy=policy))
    if not sources:
        return scale
    if len(set(sources)) < len(sources):
        raise ValueError(f"--data names a data set twice: {', '.join(sources)}")
    first, *more = (replace(scale.data, source=source) for source in sources)
    return replace(scale, data=first, more_data=tuple(more))
