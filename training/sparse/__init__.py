"""Products of sparse weights with batches, and how a support is kept. The batch lies last."""

__all__ = ["costs", "products", "replicas", "support", "torch_support", "weight"]
