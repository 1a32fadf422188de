"""Which steps the sweep takes: every product of every network, at small and large widths."""

from dataclasses import replace

from tests.products.steps import PRECISIONS, StepCase

_WIDTHS = {
    "d-conv": (1, 2, 5, 16),
    "d-local": (1, 3),
    "d-fc": (1,),
    "s-conv": (1, 3, 17, 64),
    "s-local": (1, 3, 16),
    "s-fc": (1, 5),
    "3-fc": (1, 7, 1000),
    "resnet18": (1, 2, 3, 6, 8, 20),
    "tiny-conv": (1, 3, 8),
    "tiny-separable": (1, 3, 8),
}
_KERNELS = (1, 5, 9)  # beside 3, of the narrow ResNet18s
_WIDEST_FOR_KERNELS = 6
# Image size, channels and batch size: CIFAR, MNIST, and what ends at one pixel.
_IMAGES = ((32, 3, 64), (28, 1, 64), (15, 3, 33), (8, 3, 64))


def all_cases() -> list[StepCase]:
    """Every network, width, kernel, shape of images and arithmetic."""
    cases = [
        StepCase(
            network=network,
            width=width,
            precision=precision,
            image_size=size,
            in_channels=channels,
            batch_size=batch_size,
        )
        for network, widths in _WIDTHS.items()
        for width in widths
        for size, channels, batch_size in _IMAGES
        for precision in PRECISIONS
    ]
    return [kernel for case in cases for kernel in _with_kernels(case)]


def some_cases() -> list[StepCase]:
    """One narrow step of each network, and the narrow ResNet18s, in both kinds of arithmetic."""
    narrow = {**dict.fromkeys(_WIDTHS, (2,)), "3-fc": (64,), "resnet18": (2, 3, 4, 8)}
    return [
        StepCase(network=network, width=width, precision=precision, image_size=size, batch_size=32)
        for network, widths in narrow.items()
        for width in widths
        for size in (8, 16)
        for precision in PRECISIONS
    ]


def _with_kernels(case: StepCase) -> list[StepCase]:
    if case.network != "resnet18":
        return [case]
    has_others = case.width <= _WIDEST_FOR_KERNELS and case.image_size == 32
    kernels = (3, *_KERNELS) if has_others else (3,)
    return [replace(case, kernel_size=kernel) for kernel in kernels]
