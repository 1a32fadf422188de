"""β-lasso and SGD as torch optimizers, each step one pass over memory.

Others take `beta_lasso`, `sgd` and `working_copies`.
"""
