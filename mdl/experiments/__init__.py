"""Experiments of many runs: what to train, what each run gave, and what the runs say together."""
