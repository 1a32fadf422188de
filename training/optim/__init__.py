"""β-lasso and SGD as torch optimizers, each step one pass over memory."""

__all__ = ["beta_lasso", "sgd", "working_copies"]
