"""What pytest collects where an extra is not installed."""

from importlib.util import find_spec

collect_ignore = (
    [
        "mdl/experiments/engines/ray_engine.py",
        "mdl/experiments/engines/ray_trials.py",
        "tests/mdl/experiments/engines/ray_sweep.py",
    ]
    if find_spec("ray") is None
    else []
)
