"""Figures: plot functions that take plain data and a Matplotlib axis."""
