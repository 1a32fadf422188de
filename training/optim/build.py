"""The optimizer of a configuration, and its learning rate."""

import math

from training.networks.network import Network
from training.optim.beta_lasso import BetaLasso, beta_lasso_groups
from training.optim.sgd import MomentumSgd
from training.optim.working_copies import MixedPrecisionOptimizer
from training.spec.config import TrainConfig


def build_optimizer(network: Network, config: TrainConfig) -> MixedPrecisionOptimizer:
    """β-lasso or SGD; neither shrinks BatchNorm and biases, by L1 or by weight decay."""
    groups = beta_lasso_groups(
        network, l1_conv=config.l1_conv, l1_fc=config.l1_fc, beta=config.beta
    )
    if config.method == "beta-lasso":
        return BetaLasso(groups, lr=config.lr)
    decay = {"conv": config.weight_decay, "fc": config.weight_decay, "rest": 0.0}
    return MomentumSgd(
        [{"params": group["params"], "weight_decay": decay[group["name"]]} for group in groups],
        lr=config.lr,
        momentum=config.momentum,
    )


def cosine_lr(lr: float, step: int, num_steps: int) -> float:
    """η_t = η (1 + cos(π t / T)) / 2 for step t of T, from 0; per step, not per epoch.

    >>> cosine_lr(0.1, 0, 100), round(cosine_lr(0.1, 50, 100), 12)
    (0.1, 0.05)
    """
    return lr * (1 + math.cos(math.pi * step / num_steps)) / 2
