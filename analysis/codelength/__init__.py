"""Codelengths of data: how many bits the labels of images take, given the images.

Labels are really coded, with probabilities that are integers; the network that gives these is
coded with them (`two_part`), or learns from the labels before (`prequential`).
"""

__all__ = ["label_code", "label_file", "prequential", "two_part"]
