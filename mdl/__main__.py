"""Entry point of `mdl` and of `python -m mdl`."""

import os

from mdl.cli import run


def main() -> None:
    """Run the command line."""
    # OpenMP reads this when torch is loaded: threads that wait asleep leave their cores to the
    # compiled kernels between torch's operations, where spinning ones slow them down.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    run()


if __name__ == "__main__":
    main()
