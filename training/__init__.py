"""Training core: the paper's networks, β-lasso and SGD, data, the loop and the checkpoint."""
