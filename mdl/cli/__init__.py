"""The command line: `app` gathers the commands, each of which parses, calls and prints.

A folder here holds the parts of a command that has several. Nothing else imports this room.
"""

__all__ = [
    "app",
    "bound",
    "codelength",
    "codelength_comparison",
    "compress",
    "compress_jobs",
    "demo",
    "filter_report",
    "prequential",
    "scaling_latex",
    "training",
]
