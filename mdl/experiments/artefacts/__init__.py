"""The tables and figures that `mdl reproduce` knows, one idea a module."""

__all__ = ["catalogue"]
