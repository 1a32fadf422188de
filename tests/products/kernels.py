"""The tests of what numba compiles: its code depends on the processor as much as oneDNN's does."""

KERNEL_TESTS = (
    "tests/training/kernels",
    "tests/training/sparse/test_projected_screening.py",
    "tests/training/sparse/test_products.py",
    "tests/training/sparse/test_support.py",
    "tests/training/sparse/test_weight.py",
    "tests/training/networks/test_memory_layouts.py",
    "tests/training/networks/test_fused_norm.py",
    "tests/training/optim/test_fused_step.py",
    "tests/training/augment/test_image_operations.py",
    "tests/training/augment/test_image_views.py",
    "tests/training/networks/test_local_product.py",
)
