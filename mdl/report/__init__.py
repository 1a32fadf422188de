"""One self-contained HTML page about one run or several: what `mdl report` writes."""
