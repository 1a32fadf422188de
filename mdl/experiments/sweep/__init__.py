"""Grids of settings and the choice among them by validation."""

__all__ = ["grids", "selection", "sweep_run"]
