"""Analysis: nonzeros, description lengths, generalization bounds, scaling and filters."""

__all__ = ["bounds", "certify", "codes", "compress", "describe", "filters", "quantize", "scaling"]
