"""β-lasso and SGD as torch optimizers, each step one pass over memory.

Others take `beta_lasso`, `sgd`, `parameter_groups` and `build`.
"""
