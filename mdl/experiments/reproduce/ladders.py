"""Runs in steps of one quantity: families of networks by size, ResNet18 by kernel size. No torch.

Figures 2, 5 and 6 and the claims about them ask for their runs here, so that all ask for the same.
"""

from dataclasses import dataclass, replace

from mdl.experiments.reproduce.run_plan import RunPlan
from mdl.experiments.reproduce.scale import Scale
from mdl.experiments.store.run_result import RunResult
from training.spec.config import Method

KERNEL_METHODS: tuple[Method, ...] = ("sgd", "beta-lasso")


@dataclass(frozen=True, kw_only=True)
class SizeStep:
    """One size of one network, short training by SGD.

    Attributes:
        network: Its name.
        width: α, or h of 3-fc.
        results: Of the seeds that there are.
    """

    network: str
    width: int
    results: list[RunResult]

    @property
    def num_weights(self) -> int | None:
        """Without biases and BatchNorm; None without a result."""
        return sum(self.results[0].num_weights.values()) if self.results else None


@dataclass(frozen=True, kw_only=True)
class KernelStep:
    """ResNet18 with one kernel size by one method, short training.

    Attributes:
        kernel_size: Odd.
        method: "sgd" or "beta-lasso".
        results: Of the seeds that there are.
    """

    kernel_size: int
    method: Method
    results: list[RunResult]


def size_steps(scale: Scale, runs: RunPlan) -> list[SizeStep]:
    """Need every size of every family of Figure 2, on the scale's first data set."""
    steps = []
    for network, widths in scale.ladders.items():
        settings = runs.settings(scale, network, "sgd")
        field = "hidden_units" if network == "3-fc" else "base_channels"
        for width in widths:
            results = runs.over_seeds(
                settings, epochs=scale.short_epochs, seeds=scale.ladder_seeds, **{field: width}
            )
            steps.append(SizeStep(network=network, width=width, results=results))
    return steps


def kernel_steps(scale: Scale, runs: RunPlan) -> list[KernelStep]:
    """Need ResNet18 by both methods with every kernel size, on the scale's first data set."""
    steps = []
    for method in KERNEL_METHODS:
        settings = runs.settings(scale, "resnet18", method)
        if settings is not None:
            data = replace(settings.data, num_train=scale.kernel_num_train or scale.data.num_train)
            settings = replace(settings, data=data)
            if method == "beta-lasso" and not scale.tunes_all:
                l1_conv, l1_fc = scale.kernel_l1
                settings = replace(settings, l1_conv=l1_conv, l1_fc=l1_fc)
        for kernel_size in scale.kernel_sizes:
            results = runs.over_seeds(
                settings,
                epochs=scale.short_epochs,
                seeds=scale.ladder_seeds,
                kernel_size=kernel_size,
            )
            steps.append(KernelStep(kernel_size=kernel_size, method=method, results=results))
    return steps
