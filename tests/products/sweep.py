"""Steps at lower instructions and under heap checks, in processes of their own.

A process that dies or hangs names the case it was at, and the next one continues behind it.
"""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from tests.products.levels import level_environment
from tests.products.steps import StepCase, measure_step, tolerance

LONGEST_S = 300
"""Seconds after which a step hangs: the slowest takes some seconds, on a busy machine more."""
_ROOT = Path(__file__).resolve().parents[2]
_WORKER = "from tests.products.sweep import work; work()"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one step.

    Attributes:
        case: The step.
        num_products: Products that were compared.
        worst: The one farthest from float64 for its tolerance; empty if the process died.
        error: Its distance.
        failure: How the process died; empty if it did not.
    """

    case: StepCase
    num_products: int = 0
    worst: str = ""
    error: float = 0.0
    failure: str = ""

    @property
    def is_right(self) -> bool:
        """Whether the step ended and every product was close enough to float64."""
        return not self.failure and self.error <= tolerance(self.worst, self.case.precision)

    def __str__(self) -> str:
        said = self.failure or f"{self.worst} is off by {self.error:.1e}"
        return f"{self.case}: {said}"


def run_cases(cases: Sequence[StepCase], *, level: str, num_threads: int) -> Iterator[Outcome]:
    """Take steps in processes of a level, and tell of each as it ends."""
    left = list(cases)
    while left:
        failure = "the process ended early"
        for outcome in _run_process(tuple(left), level, num_threads):
            if outcome.failure:
                failure = outcome.failure
                break
            left.pop(0)
            yield outcome
        if left:
            yield Outcome(case=left.pop(0), failure=failure)


def _run_process(cases: Sequence[StepCase], level: str, num_threads: int) -> Iterator[Outcome]:
    """Outcomes of one process; the last one has no case of its own if it died."""
    process = subprocess.Popen(
        [sys.executable, "-c", _WORKER],
        cwd=_ROOT,
        env=level_environment(level),
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin and process.stdout and process.stderr
    said: list[str] = []
    reader = threading.Thread(target=lambda: said.extend(process.stderr or ()))
    reader.start()
    with process:
        json.dump(
            {"threads": num_threads, "cases": [asdict(case) for case in cases]}, process.stdin
        )
        process.stdin.close()
        for case in cases:
            timer = threading.Timer(LONGEST_S, process.kill)
            timer.start()
            line = process.stdout.readline()
            hung = not timer.is_alive()
            timer.cancel()
            if not line:
                process.wait()
                reader.join()
                last = said[-1].strip() if said else ""
                how = "hangs" if hung else f"ended with {process.returncode}: {last}"
                yield Outcome(case=case, failure=how)
                return
            yield Outcome(case=case, **json.loads(line))
        reader.join()


def work() -> None:
    """The process: cases from stdin, a line of JSON for each on stdout."""
    task = json.load(sys.stdin)
    torch.set_num_threads(task["threads"])
    for values in task["cases"]:
        case = StepCase(**values)
        errors = measure_step(case)
        worst = max(errors, key=lambda name: errors[name] / tolerance(name, case.precision))
        outcome = {"num_products": len(errors), "worst": worst, "error": errors[worst]}
        print(json.dumps(outcome), flush=True)
