"""The tests of what numba compiles: its code depends on the processor as much as oneDNN's does."""

KERNEL_TESTS = (
    "tests/training/kernels",
    "tests/training/sparse/test_deflation.py",
    "tests/training/sparse/test_products.py",
    "tests/training/sparse/test_support.py",
    "tests/training/sparse/test_weight.py",
    "tests/training/test_batch_last.py",
    "tests/training/test_fused_norm.py",
    "tests/training/test_fused_step.py",
    "tests/training/test_image_operations.py",
    "tests/training/test_image_views.py",
    "tests/training/test_local_product.py",
)
