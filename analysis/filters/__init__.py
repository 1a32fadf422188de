"""First-layer filters and how local they are.

Others take `filters` and, without torch, `locality`.
"""

__all__ = ["filters", "locality"]
