"""Errors about a configuration in the words of the command line that made it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields

from mdl.terminal.errors import OptionError
from training.spec.config import Augmentation, DataConfig, TrainConfig

_OF_DATA = {"source": "--data", "seed": "--data-seed"}
_FIELDS = {
    field.name for part in (TrainConfig, DataConfig, Augmentation) for field in fields(part)
} - {"data", "augmentation", "policy_table"}  # which no option sets by itself
_WORDS = re.compile(rf"(?<![\w'-])(data seed|{'|'.join(sorted(_FIELDS))})(?![\w'-])")  # no value


def option_of(field: str, *, of_data: bool = False) -> str:
    """The option that sets a field of a configuration.

    >>> option_of("batch_size"), option_of("seed", of_data=True), option_of("network")
    ('--batch-size', '--data-seed', 'NETWORK')
    """
    if field == "network":
        return "NETWORK"
    default = "--" + field.replace("_", "-")
    return _OF_DATA.get(field, default) if of_data else default


def name_options(message: str) -> str:
    """An error about a configuration with options in place of the fields that it names.

    >>> name_options("momentum and weight_decay belong to sgd; beta-lasso takes beta")
    '--momentum and --weight-decay belong to sgd; beta-lasso takes --beta'
    >>> name_options("data seed must be >= 0, not -1")
    '--data-seed must be >= 0, not -1'
    """

    def option(found: re.Match[str]) -> str:
        return "--data-seed" if found[0] == "data seed" else option_of(found[0])

    return _WORDS.sub(option, message)


@contextmanager
def naming_options() -> Iterator[None]:
    """Turn an error about a configuration made of options into one about the options.

    Raises:
        OptionError: In place of any ValueError.
    """
    try:
        yield
    except OptionError:
        raise
    except ValueError as error:
        raise OptionError(name_options(str(error))) from error
