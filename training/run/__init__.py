"""One training run: its state, the loop, evaluation and its folder."""

__all__ = [
    "evaluate",
    "loop",
    "precision",
    "progress",
    "provenance",
    "run_folder",
    "state",
    "train",
]
