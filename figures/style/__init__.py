"""What all figures share: the look, axes, labels that do not overlap, files."""

__all__ = ["axes", "labels", "look", "spread"]
