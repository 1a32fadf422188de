"""The bounds of Theorems 1 and 2 and tighter ones, exact tails, lengths by formula. No torch."""

__all__ = ["bit_budget", "bounds", "lengths", "surrogate", "tails"]
