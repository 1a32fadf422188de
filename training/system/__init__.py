"""Files, memory, signals: what a run needs of the machine, without torch."""

__all__ = ["checks", "files", "locks", "memory", "notebook", "random_streams", "signals", "text"]
