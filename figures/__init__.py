"""Figures: plot functions that take plain data and a Matplotlib axis."""

__all__ = [
    "accuracy",
    "bit_ledger",
    "carry_over",
    "codelengths",
    "compression",
    "description",
    "filters",
    "gain_map",
    "locality",
    "nonzeros",
    "prequential",
    "scaling",
    "sparse_training",
    "style",
]
