"""Analysis: nonzeros, lengths of networks and of labels, bounds, scaling and filters."""

__all__ = [
    "bounds",
    "certify",
    "codelength",
    "codes",
    "compress",
    "describe",
    "filters",
    "quantize",
    "scaling",
]
