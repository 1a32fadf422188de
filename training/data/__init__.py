"""Images: where they come from, how they are decoded, cached, split and permuted.

Others take `loading` (a data set from a configuration), `image_set` and `glyphs`.
"""
