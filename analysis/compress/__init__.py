"""Training for the bound itself: weights in few levels, every bit at its price.

Others take `compress` and `recipes`.
"""
