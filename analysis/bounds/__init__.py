"""The bounds of Theorems 1 and 2 and tighter ones, exact tails, lengths by formula. No torch.

Others take `bounds`, `lengths` and `bit_budget`.
"""
