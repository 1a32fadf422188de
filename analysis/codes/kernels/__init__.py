"""Loops of the codes in plain Python, both directions in one; `compiled` hands them to numba."""
