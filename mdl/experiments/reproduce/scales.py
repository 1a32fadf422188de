"""The sizes of experiments, in one place: smoke (minutes), laptop (hours), paper. No torch.

Everything that a scale reduces against the paper is said by `reductions`, which stands under every
table and figure.
"""

from collections.abc import Sequence
from dataclasses import replace

from mdl.experiments.reproduce.scale import Scale
from mdl.experiments.sweep.grids import GRIDS, Grid
from mdl.experiments.sweep.screening_grid import ScreeningGrid
from training.spec.config import DataConfig, Precision

SIZED = ("d-fc", "s-fc", "3-fc", "resnet18")
"""Networks whose widths say how large a scale is: their conv and local twins have the same α."""


def reductions(scale: Scale, networks: Sequence[str] = SIZED) -> tuple[str, ...]:
    """What is smaller here than in the paper, a sentence each; nothing at the paper's scale.

    Args:
        scale: Which.
        networks: Whose widths are named; none where widths are what is shown.

    >>> reductions(SCALES["paper"])
    ()
    """
    if scale.name == "paper":
        return ()
    paper = SCALES["paper"]
    counts = (scale.data.num_train, scale.data.num_test)
    train, test = ("all" if each is None else f"{each:,}" for each in counts)
    images = f"{train} training and {test} test images" if any(counts) else "all images"
    widths = ", ".join(
        f"{name} {'h' if name == '3-fc' else 'α'} = {scale.widths[name]:,} "
        f"(paper: {paper.widths[name]:,})"
        for name in networks
    )
    augmentation = scale.config("s-fc").augmentation
    parts = ["flip"] if augmentation.flip else []
    parts += [f"crop {augmentation.crop}"] if augmentation.crop else []
    return (
        *([f"Widths: {widths}."] if widths else []),
        f"Epochs: {scale.short_epochs} for the paper's {paper.short_epochs}, "
        f"{scale.long_epochs} for its {paper.long_epochs}.",
        f"Images: {images}.",
        f"Augmentation: {' and '.join(parts) or 'none'}, no cutout and no policy.",
    )


def scale_on(name: str, sources: tuple[str, ...], *, precision: Precision | None = None) -> Scale:
    """A scale by name, on the data sets given.

    Args:
        name: One of `SCALES`.
        sources: Data sets as `DataConfig.source` takes them; none keeps the scale's own.
        precision: None keeps the scale's own.

    Raises:
        ValueError: No such scale, or a data set named twice.

    >>> scale_on("smoke", ("glyphs",)).data.num_train
    2048
    """
    if name not in SCALES:
        raise ValueError(f"--scale must be one of {', '.join(SCALES)}, not {name!r}")
    scale = SCALES[name]
    if precision is not None:
        scale = replace(scale, precision=precision)
    if not sources:
        return scale
    if len(set(sources)) < len(sources):
        raise ValueError(f"--data names a data set twice: {', '.join(sources)}")
    first, *more = (replace(scale.data, source=source) for source in sources)
    return replace(scale, data=first, more_data=tuple(more))


_LAPTOP_WIDTHS = {
    "d-conv": 2,
    "d-local": 2,
    "d-fc": 2,
    "s-conv": 12,
    "s-local": 12,
    "s-fc": 12,
    "3-fc": 2048,
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
_LAPTOP_L1 = _L1[1:]

_SMOKE = Scale(
    name="smoke",
    data=DataConfig(source="cifar10", num_train=2048, num_test=512),
    recipe="quick",
    widths=_SMOKE_WIDTHS,
    ladders={"resnet18": (1, 2), "d-conv": (1, 2), "s-conv": (1, 2), "3-fc": (32, 64)},
    kernel_sizes=(3, 5),
    kernel_num_train=512,
    kernel_l1=(2e-5, 1e-5),
    short_epochs=1,
    long_epochs=2,
    short_seeds=(0,),
    long_seeds=(0,),
    batch_size=128,
    resnet_batch_size=128,
    screening=ScreeningGrid(epochs=1, l1=(2e-5, 2e-4), widths=(2, 4), rates=(0.1, 0.3)),
    grid=Grid(
        name="smoke",
        about="Two pairs of λ, one setting of SGD.",
        recipe="quick",
        l1=((2e-4, 5e-5), (5e-4, 5e-5)),
        sgd=((0.9, 5e-4),),
        dropout=(0.0,),
        validation=256,
    ),
    low_beta_l1=((2e-4, 5e-5),),
    train_target=0.15,
)
_LAPTOP = Scale(
    name="laptop",
    data=DataConfig(source="cifar10"),
    recipe="quick",
    widths=_LAPTOP_WIDTHS,
    ladders={
        "resnet18": (1, 2, 4, 8),
        "d-conv": (1, 2, 4, 8),
        "s-conv": (1, 3, 6, 12),
        "3-fc": (64, 256, 1024, 2048),
    },
    kernel_sizes=(3, 5, 7, 9),
    kernel_num_train=10_000,
    kernel_l1=(2e-5, 1e-5),
    short_epochs=15,
    long_epochs=60,
    short_seeds=(0, 1, 2),
    long_seeds=(0, 1, 2),
    batch_size=512,
    resnet_batch_size=128,
    screening=ScreeningGrid(epochs=3, l1=_L1, widths=(4, 8, 16, 32), rates=_RATES),
    grid=Grid(
        name="laptop",
        about="Twelve pairs of λ, four settings of SGD.",
        recipe="quick",
        l1=tuple((conv, fc) for conv in _LAPTOP_L1 for fc in _LAPTOP_L1[:3]),
        sgd=((0.9, 5e-4), (0.9, 1e-3), (0.9, 2e-3), (0.0, 1e-3)),
        dropout=(0.0,),
        validation=5000,
    ),
    low_beta_l1=tuple((conv, 1e-5) for conv in (2e-6, *_L1[:4])),
    lasso_lr=1.0,
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
    kernel_num_train=None,
    kernel_l1=(1e-5, 2e-6),
    short_epochs=400,
    long_epochs=4000,
    short_seeds=(0,),
    long_seeds=(0,),
    batch_size=512,
    resnet_batch_size=512,
    screening=ScreeningGrid(epochs=3, l1=_L1, widths=(15, 50, 150, 300), rates=_RATES),
    grid=GRIDS["paper"],
    low_beta_l1=GRIDS["paper"].l1,
    tunes_all=True,
    train_target=0.99,
)

SCALES = {scale.name: scale for scale in (_SMOKE, _LAPTOP, _PAPER)}
