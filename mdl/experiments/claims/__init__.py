"""The paper's claims as experiments: the runs that they need, and a verdict with intervals."""

__all__ = ["experiment", "statistics", "verdicts"]
