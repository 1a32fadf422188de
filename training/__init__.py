"""Training core: the paper's networks, β-lasso and SGD, data, the loop and the checkpoint."""

__all__ = [
    "augment",
    "checkpoint",
    "data",
    "distributed",
    "errors",
    "kernels",
    "networks",
    "optim",
    "run",
    "sparse",
    "spec",
    "system",
    "tensor_files",
]
