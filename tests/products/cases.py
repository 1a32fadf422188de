"""Which steps the sweep takes: every product of every network, at small and large widths."""

from dataclasses import replace

from tests.products.steps import StepCase

_PRECISIONS = ("fp32", "bf16")
_WIDTHS = {
    "d-conv": (1, 2, 3, 5, 8, 16),
    "d-local": (1, 2, 4),
    "d-fc": (1, 2),
    "s-conv": (1, 3, 8, 17, 64),
    "s-local": (1, 3, 8, 16),
    "s-fc": (1, 3, 8),
    "3-fc": (1, 7, 64, 1000),
    "resnet18": (1, 2, 3, 4, 6, 8, 12, 16, 32),
    "tiny-conv": (1, 2, 4, 8),
}
_KERNELS = (1, 3, 5, 7, 9)
_WIDEST_FOR_KERNELS = 8
# Image size, channels and batch size: CIFAR, MNIST, odd ones, and those that end at one pixel.
_IMAGES = ((32, 3, 64), (28, 1, 64), (15, 3, 33), (8, 3, 64), (2, 3, 64))


def all_cases() -> list[StepCase]:
    """Every network, width, kernel, shape of images and arithmetic."""
    cases = [
        StepCase(
            network=network, width=width, precision=precision,
            image_size=size, in_channels=channels, batch_size=batch_size,
        )
        for network, widths in _WIDTHS.items()
        for width in widths
        for size, channels, batch_size in _IMAGES
        for precision in _PRECISIONS
    ]  # fmt: skip
    return [kernel for case in cases for kernel in _with_kernels(case)]


def some_cases() -> list[StepCase]:
    """One narrow step of each network, and the narrow ResNet18s, in both kinds of arithmetic."""
    narrow = {**dict.fromkeys(_WIDTHS, (2,)), "3-fc": (64,), "resnet18": (2, 3, 4, 8)}
    return [
        StepCase(network=network, width=width, precision=precision, image_size=size, batch_size=32)
        for network, widths in narrow.items()
        for width in widths
        for size in (8, 32)
        for precision in _PRECISIONS
    ]


def _with_kernels(case: StepCase) -> list[StepCase]:
    if case.network != "resnet18":
        return [case]
    kernels = _KERNELS if case.width <= _WIDEST_FOR_KERNELS and case.in_channels == 3 else (3,)
    return [replace(case, kernel_size=kernel) for kernel in kernels]
