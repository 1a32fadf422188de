"""What the user reads when something is wrong."""


class OptionError(ValueError):
    """Wrong usage: names the option, the rule and the way out. The exit code is 2."""


def error_line(error: BaseException) -> str:
    """What the user reads of an error.

    >>> error_line(ValueError("b must be  32"))
    'error: b must be 32'
    """
    return f"error: {' '.join(str(error).split()) or type(error).__name__}"
