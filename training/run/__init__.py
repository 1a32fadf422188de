"""One training run: its state, the loop, evaluation and its folder."""

__all__ = [
    "emulated_products",
    "evaluate",
    "loop",
    "precision",
    "progress",
    "provenance",
    "run_folder",
    "state",
    "train",
]
