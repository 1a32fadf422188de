"""All products of all networks at every level of instructions: `python -m tests.products`.

Takes hours on two cores; `--quick --level avx2` takes minutes. Behind each level come the tests
of the compiled kernels. Ends with 1 if anything is wrong, crashes or hangs.
"""

import argparse
import subprocess
import sys

from tests.products.cases import all_cases, some_cases
from tests.products.kernels import KERNEL_TESTS
from tests.products.levels import known_levels, level_environment
from tests.products.steps import PRECISIONS
from tests.products.sweep import run_cases


def main() -> int:
    """Run the sweep, print a table, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.products", description=__doc__)
    parser.add_argument("--level", choices=known_levels(), action="append")
    parser.add_argument("--quick", action="store_true", help="narrow networks alone")
    arguments = parser.parse_args()
    cases = some_cases() if arguments.quick else all_cases()
    num_wrong = 0
    print("level        threads  steps  products  fp32 within  bf16 within  wrong", flush=True)
    for level in arguments.level or known_levels():
        for num_threads in (1, 2):
            outcomes = []
            for outcome in run_cases(cases, level=level, num_threads=num_threads):
                outcomes.append(outcome)
                if not outcome.is_right:
                    print(f"WRONG, {level}, {num_threads} threads: {outcome}", flush=True)
            wrong = sum(not outcome.is_right for outcome in outcomes)
            num_wrong += wrong
            worst = [
                max((o.error for o in outcomes if o.case.precision == precision), default=0.0)
                for precision in PRECISIONS
            ]
            products = sum(outcome.num_products for outcome in outcomes)
            print(
                f"{level:12} {num_threads:7}  {len(outcomes):5}  {products:8}  {worst[0]:11.1e}  "
                f"{worst[1]:11.1e}  {wrong:5}",
                flush=True,
            )
        command = [sys.executable, "-m", "pytest", "-q", "-n", "0", *KERNEL_TESTS]
        code = subprocess.run(command, env=level_environment(level), check=False).returncode
        num_wrong += code != 0
        print(f"{level:12} tests of the compiled kernels: {'wrong' if code else 'right'}")
    return int(num_wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
