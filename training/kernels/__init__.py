"""Inner loops compiled by numba, and how they are compiled and run on threads."""

__all__ = [
    "backends",
    "batch_lines",
    "batch_norm",
    "bf16",
    "chwn_norm",
    "compiled",
    "dot_tiles",
    "image_operations",
    "line_products",
    "local_rows",
    "optimizer_step",
    "sparse_products",
    "sparse_support",
    "triton_images",
    "triton_sparse",
    "triton_step",
    "vector_code",
    "window_products",
]
