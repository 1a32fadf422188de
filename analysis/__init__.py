"""Analysis: nonzeros, description lengths, codelengths, generalization bounds, scaling and filters."""

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
