"""Scales, stages and tables that all artefacts of the paper share."""

__all__ = [
    "artefact",
    "dry_run",
    "footnotes",
    "paper_numbers",
    "reproduction",
    "run_plan",
    "scale",
    "scales",
    "tables",
]
