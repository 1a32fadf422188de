"""The project's two errors about files from outside. Each message is one clear line."""


class CheckpointError(Exception):
    """A checkpoint file that cannot be used: names the file, the rule and the way out."""


class DataError(Exception):
    """A data set that cannot be used: names the source, the rule and the way out."""


class TrainingError(Exception):
    """A run that cannot continue, such as one whose loss is not finite any more."""


USER_ERRORS = (CheckpointError, DataError, TrainingError, ValueError, OSError)
"""What the command line reports in one line, without a traceback."""
