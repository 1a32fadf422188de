"""First-layer filters and how local they are.

Others take `filters`, `external` and, without torch, `locality`.
"""

__all__ = ["external", "filters", "locality"]
