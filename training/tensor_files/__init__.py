"""Files of tensors from strangers, read as data: nothing in them is executed. No torch.

Others take `open` (a file as a mapping from names to tensors that are read when asked for) and
`stored_tensor`.
"""

__all__ = ["open", "stored_tensor", "torch_archive"]
