"""Times in interleaved rounds and the floors that they are held against."""

__all__ = ["floors", "rounds"]
