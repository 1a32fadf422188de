"""Loops of the codes in plain Python, both directions in one, for numba to compile."""

__all__ = ["range_kernel", "relative_kernel", "support_kernel", "value_kernel"]
