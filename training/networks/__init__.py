"""The paper's networks, built from their tables of layers, and their fast layers.

Others take `models` (networks by name), `layers`, `symmetric` and `embedding`.
"""

__all__ = ["embedding", "layers", "models", "norm_passes", "state_check", "symmetric"]
