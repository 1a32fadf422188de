"""The `mdl` command line: parse, call, print."""
