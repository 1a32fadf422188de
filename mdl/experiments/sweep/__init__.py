"""Grids of settings and the choice among them by validation."""

__all__ = ["grids", "regimes", "selection", "sweep_run"]
