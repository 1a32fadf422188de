"""The errors that a user is told of in one clear line, and how they name what a caller has set.

A message is made where the rule is, and knows no command line: with `naming`, a setting stands in
it as `{lr}`, which is read as `lr` here and as `--lr` by `mdl train`.
"""

from collections.abc import Callable
from string import Formatter
from typing import Any, Self


class UserError(Exception):
    """Names the setting or the file, the rule and the way out."""

    _rule: str | None = None
    _values: tuple[object, ...] = ()

    @classmethod
    def naming(cls, rule: str, *values: object) -> Self:
        """An error that names settings.

        Args:
            rule: The message, with `{name}` for a setting and `{}` for a value.
            values: What goes in, in order; an error among them names its settings likewise.

        >>> error = ConfigError.naming("{batch_size} must be >= 2, not {}", 1)
        >>> str(error), error.told(lambda name: "--" + name.replace("_", "-"))
        ('batch_size must be >= 2, not 1', '--batch-size must be >= 2, not 1')
        """
        error = cls(_fill(rule, values, str))
        error._rule, error._values = rule, values
        return error

    def told(self, name_of: Callable[[str], str]) -> str:
        """The message with every setting named as `name_of` has it."""
        return str(self) if self._rule is None else _fill(self._rule, self._values, name_of)


class CheckpointError(UserError):
    """A checkpoint file that cannot be used."""


class DataError(UserError):
    """A data set that cannot be used."""


class TrainingError(UserError):
    """A run that cannot continue, such as one whose loss is not finite any more."""


class OutOfMemoryError(UserError):
    """What would need more memory than is available to this process."""


class ConfigError(UserError, ValueError):
    """Settings outside their range, or that do not go together."""


USER_ERRORS = (UserError, ValueError, OSError)
"""What the command line reports in one line, without a traceback."""


class _Names(dict[str, str]):
    def __init__(self, name_of: Callable[[str], str]) -> None:
        super().__init__()
        self._name_of = name_of

    def __missing__(self, name: str) -> str:
        return self._name_of(name)


def _fill(rule: str, values: tuple[Any, ...], name_of: Callable[[str], str]) -> str:
    told = [each.told(name_of) if isinstance(each, UserError) else each for each in values]
    return Formatter().vformat(rule, told, _Names(name_of))
