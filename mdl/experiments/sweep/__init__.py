"""Grids of settings and the choice among them by validation."""
