"""The sets R_b of b-bit numbers, rounding to them, and counts of what is left.

Others take `formats`, `integers` and `nonzeros`; `stream_counts` counts tensors that stay in their
file.
"""

__all__ = ["formats", "integers", "nonzeros", "rounding_kernel", "stream_counts"]
