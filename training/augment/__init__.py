"""Random changes of a batch of images, and the inputs that a network gets.

Others take `inputs`; the rest are its operations, in numba, Triton and plain torch.
"""

__all__ = ["inputs"]
