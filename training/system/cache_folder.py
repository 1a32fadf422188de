"""Where decoded images and compiled kernels are kept between runs."""

import os
from pathlib import Path


def default_cache_dir() -> Path:
    """$MDL_CACHE, or ~/.cache/mdl."""
    return Path(os.environ.get("MDL_CACHE") or "~/.cache/mdl").expanduser()
