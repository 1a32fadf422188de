"""Data sets that are drawn from a seed: glyphs, handwriting and leaves.

Others take `generated`: what draws a data set, by its name.
"""

__all__ = ["generated"]
