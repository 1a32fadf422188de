"""Entry point of `mdl` and of `python -m mdl`."""

import os

from mdl.cli.app import run
from mdl.terminal.process import run_as_process


def main() -> None:
    """Run the command line as the whole of this process."""
    # OpenMP reads these when torch is loaded: threads that soon sleep while they wait leave their
    # cores to the compiled kernels between torch's operations, where spinning ones slow them down.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # GNU's; it goes before the policy
    run_as_process(run)


if __name__ == "__main__":
    main()
