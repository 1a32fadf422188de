"""Files, memory, signals: what a run needs of the machine, without torch."""

__all__ = ["checks", "files", "memory", "random_streams", "signals"]
