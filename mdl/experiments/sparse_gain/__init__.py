"""What a run gained from its sparse layers, beside the same run without."""

__all__ = ["gain", "record", "report"]
