"""Images: where they come from, how they are decoded, cached, split, and made inputs.

Others take `loading` (a data set from a configuration), `telling` (what was understood of it),
`image_set`, `input_map`, `generated` (what draws a generated data set), `encoded` (names of
classes, reasons of failures) and `npz_source` (an array of an npz file).
"""

__all__ = ["encoded", "generated", "image_set", "input_map", "loading", "npz_source", "telling"]
