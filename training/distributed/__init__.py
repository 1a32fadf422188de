"""How a run uses its machine: its ranks, how they share the weights, what happens when one dies.

Others take `ranks`, `run_options`, `weights` and `shards`.
"""
