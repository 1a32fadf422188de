"""Inner loops compiled by numba, and how they are compiled and run on threads."""
