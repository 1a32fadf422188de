"""One self-contained HTML page about one run or several: what `mdl report` writes."""

__all__ = ["markup", "measurements", "overview", "page", "run_files"]
