"""One training run: its state, the loop, evaluation and its folder.

Others take `loop`, `state`, `evaluate`, `run_folder`, `progress`, `precision` and
`provenance`.
"""
