"""What pytest collects where an extra is not installed."""

from importlib.util import find_spec

collect_ignore = (
    [
        "mdl/experiments/ray_engine.py",
        "mdl/experiments/ray_trials.py",
        "tests/mdl/experiments/ray_sweep.py",
    ]
    if find_spec("ray") is None
    else []
)
