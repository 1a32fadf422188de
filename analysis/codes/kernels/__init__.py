"""Loops of the codes in plain Python, both directions in one, for numba to compile."""
