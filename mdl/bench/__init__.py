"""The bench: each piece of training and analysis against a floor measured on the same machine."""

__all__ = ["report", "settings", "tables"]
