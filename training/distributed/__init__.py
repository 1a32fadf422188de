"""How a run uses its machine: its ranks, how they share the weights, what happens when one dies."""

__all__ = ["layers", "ranks", "run_options", "shards", "weights"]
