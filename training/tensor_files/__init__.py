"""Files of tensors from strangers, read as data: nothing in them is executed. No torch.

Others take `open` (a file as a mapping from names to tensors that are read when asked for),
`other_formats`, `quantized`, `stored_tensor`, `torch_archive`, `zip_records` and `plain_pickle`.
"""

__all__ = [
    "open",
    "other_formats",
    "plain_pickle",
    "quantized",
    "stored_tensor",
    "torch_archive",
    "zip_records",
]
