"""What the options of `mdl train` can be chosen from."""

from enum import StrEnum


class Recipe(StrEnum):
    """Named defaults."""

    quick = "quick"
    paper_400 = "paper-400"
    paper_4000 = "paper-4000"


class Method(StrEnum):
    """How the weights move."""

    beta_lasso = "beta-lasso"
    sgd = "sgd"


class Precision(StrEnum):
    """Arithmetic of the matrix products."""

    bf16 = "bf16"
    fp16 = "fp16"
    fp32 = "fp32"
    fp64 = "fp64"


class Shard(StrEnum):
    """When the ranks share the weights out instead of having a copy each."""

    auto = "auto"
    never = "never"
    always = "always"


class Sparse(StrEnum):
    """When the weights of dense layers are kept without their zeros."""

    auto = "auto"
    typical = "typical"
    always = "always"
    never = "never"


class Normalize(StrEnum):
    """Where the normalisation constants come from."""

    fixed = "fixed"
    data = "data"


class Log(StrEnum):
    """Where every epoch is logged beside the run folder."""

    tensorboard = "tensorboard"
    wandb = "wandb"
