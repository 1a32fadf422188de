"""Grids of settings and the choice among them by validation."""

__all__ = ["carry_over", "grids", "regimes", "selection", "sweep_run"]
