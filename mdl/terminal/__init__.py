"""What commands share at a terminal: options, tables, progress, errors."""

__all__ = [
    "answers",
    "bound_tables",
    "compression_progress",
    "console",
    "devices",
    "errors",
    "fresh_answers",
    "options",
    "process",
    "progress",
    "scaling_tables",
]
