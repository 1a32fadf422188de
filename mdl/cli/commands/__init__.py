"""A module a command. Heavy imports stay inside them, so that `mdl --help` is fast."""

__all__: list[str] = []
