"""Images: where they come from, how they are decoded, cached, split, and made inputs.

Others take `loading` (a data set from a configuration), `telling` (what was understood of it),
`image_set`, `input_map`, `encoded` (names of classes, reasons of failures) and `npz_source` (an
array of an npz file); `generators` holds the data sets that are drawn.
"""

__all__ = ["encoded", "image_set", "input_map", "loading", "npz_source", "telling"]
