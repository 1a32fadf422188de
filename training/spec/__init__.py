"""What a run is, as data: tables of layers, configurations, recipes, policies, input constants.

Frozen and checked when they are made. Every other room may use it; nothing here imports torch.
"""

__all__ = [
    "architectures",
    "built_in_policies",
    "config",
    "normalization",
    "policy",
    "recipes",
    "shrinkage",
]
