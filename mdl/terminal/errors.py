"""What the user reads when something is wrong."""

from training.errors import USER_ERRORS, UserError
from training.system.memory import as_memory_error

_OPTIONS = {
    "network": "NETWORK",
    "source": "--data",
    "sharding": "--shard",
    "sparsity": "--sparse",
    "resume_from": "--resume",
}


class OptionError(ValueError):
    """Wrong usage: names the option, the rule and the way out. The exit code is 2."""


def option_of(setting: str) -> str:
    """The option that makes a setting.

    >>> option_of("batch_size"), option_of("source"), option_of("network")
    ('--batch-size', '--data', 'NETWORK')
    """
    return _OPTIONS.get(setting, "--" + setting.replace("_", "-"))


def message_of(error: BaseException) -> str:
    """What an error says, with options in place of the settings that it names."""
    return error.told(option_of) if isinstance(error, UserError) else str(error)


def is_told(error: BaseException) -> bool:
    """Whether an error is told in a line; any other is a fault of mdl's, with a traceback."""
    return isinstance(error, USER_ERRORS) or as_memory_error(error) is not None


def error_line(error: BaseException) -> str:
    """What the user reads of an error; of a failed allocation, what was asked for and is there.

    >>> error_line(ValueError("b must be  32"))
    'error: b must be 32'
    """
    message = message_of(as_memory_error(error) or error)
    return f"error: {' '.join(message.split()) or type(error).__name__}"
