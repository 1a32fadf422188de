"""What the user reads when something is wrong."""

from training.errors import UserError

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


def error_line(error: BaseException) -> str:
    """What the user reads of an error.

    >>> error_line(ValueError("b must be  32"))
    'error: b must be 32'
    """
    return f"error: {' '.join(message_of(error).split()) or type(error).__name__}"
