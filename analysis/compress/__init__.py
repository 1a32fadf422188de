"""Training for the bound itself: quantization-aware, with a rate penalty on the bits."""

__all__ = ["compress", "compression", "qat_network", "qat_training", "recipes", "run_file"]
