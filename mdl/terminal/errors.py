"""What the user reads when something is wrong."""

import errno
import os
from pathlib import Path

from training.errors import USER_ERRORS, UserError
from training.system.memory import as_memory_error
from training.system.text import printable

_OPTIONS = {
    "network": "NETWORK",
    "checkpoint": "CHECKPOINT",
    "source": "--data",
    "sharding": "--shard",
    "sparsity": "--sparse",
    "resume_from": "--resume",
}


NO_FOLDER = "the working folder is gone: change to one that is there"
_WAYS_OUT = {
    errno.ENOSPC: "make room, or choose another place",
    errno.EDQUOT: "make room in your quota, or choose another place",
    errno.EFBIG: "files may not get that large here (ulimit -f); choose another place",
    errno.EROFS: "choose a place that can be written",
    errno.EACCES: "see what you may do there, or choose another place",
    errno.EPERM: "see what you may do there, or choose another place",
    errno.ENOENT: "see whether the path is right",
    errno.ENOTDIR: "see whether the path is right",
    errno.EISDIR: "give a file",
    errno.EMFILE: "let more files be open (ulimit -n)",
    errno.ESTALE: "try again when the network drive is back",
}


MAX_MESSAGE = 1000
"""Characters of an error; of a longer one the middle is left out."""


class OptionError(ValueError):
    """Wrong usage: names the option, the rule and the way out. The exit code is 2."""


def option_of(setting: str) -> str:
    """The option that makes a setting.

    >>> option_of("batch_size"), option_of("source"), option_of("network")
    ('--batch-size', '--data', 'NETWORK')
    """
    return _OPTIONS.get(setting, "--" + setting.replace("_", "-"))


def message_of(error: BaseException) -> str:
    """What an error says, with options in place of the settings that it names.

    >>> message_of(OSError(errno.ENOSPC, "No space left on device", "runs/a"))
    'runs/a: No space left on device; make room, or choose another place'
    """
    if isinstance(error, UserError):
        return error.told(option_of)
    if not isinstance(error, OSError) or error.strerror is None:
        return str(error)
    files = [
        os.fsdecode(each)
        for each in (error.filename, error.filename2)
        if isinstance(each, str | bytes)
    ]
    told = ": ".join([*files, error.strerror])
    if error.errno == errno.ENOENT and not has_working_folder():
        return f"{told}; {NO_FOLDER}"
    way_out = _WAYS_OUT.get(error.errno or 0)
    return told if way_out is None else f"{told}; {way_out}"


def has_working_folder() -> bool:
    """Whether the folder that this process works in is still there."""
    try:
        return bool(Path.cwd())
    except FileNotFoundError:
        return False


def is_told(error: BaseException) -> bool:
    """Whether an error is told in a line; any other is a fault of mdl's, with a traceback."""
    return isinstance(error, USER_ERRORS) or as_memory_error(error) is not None


def error_line(error: BaseException) -> str:
    r"""What the user reads of an error; of a failed allocation, what was asked for and is there.

    A terminal is told nothing by it: control characters of a stranger's names are escaped.

    >>> error_line(ValueError("b must be  32")), error_line(ValueError(chr(27) + "[2J"))
    ('error: b must be 32', 'error: \\x1b[2J')
    """
    message = printable(" ".join(message_of(as_memory_error(error) or error).split()))
    if len(message) > MAX_MESSAGE:  # a name in it is a stranger's; what to do stands at the end
        half = MAX_MESSAGE // 2
        message = f"{message[:half]} ... {message[-half:]}"
    return f"error: {message or type(error).__name__}"
