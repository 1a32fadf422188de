"""Training for the bound itself: quantization-aware, with a rate penalty on the bits.

Others take `compress`, with its recipes.
"""
