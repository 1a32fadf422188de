"""Files that nobody should be able to hurt us with: `python -m tests.fuzz --files 50000`.

Makes files of every format that mdl reads, with lies in them, and has them read by processes under
limits. Prints a table and ends with 1 if anything but a line or a sound network comes of one; the
files of faults are kept, and `--replay FOLDER` tries them again.
"""

import argparse
import os
import sys
import textwrap
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import takewhile
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is loaded: forks must not inherit threads

import torch

from tests.fuzz.cases import Case, find_kept, load_case
from tests.fuzz.goods import make_goods
from tests.fuzz.judge import FAULTS, VERDICTS, Outcome
from tests.fuzz.kinds import KINDS, Goods, make_case
from tests.fuzz.pool import judge_all
from training.errors import UserError
from training.system.files import default_cache_dir


def main() -> int:
    """Judge files, print the table, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop after so many")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", choices=KINDS, action="append")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--keep", type=Path, default=Path("build/fuzz"), help="where faults go")
    parser.add_argument("--replay", type=Path, help="a kept fault, or a folder of them")
    parser.add_argument("--show", action="store_true", help="print each rejection's line")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    start = perf_counter()
    with TemporaryDirectory(prefix="mdl-fuzz-") as name:
        folder = Path(name)
        _take_cache(folder / "cache")
        goods = make_goods(folder / "goods")
        meanings = measure_meanings(goods, folder / "meaning")
        numbers, make = _source(arguments, goods)
        numbers = takewhile(lambda _: perf_counter() - start < 60 * arguments.minutes, numbers)
        outcomes = []
        for outcome in judge_all(
            numbers, make, folder / "work", meanings, num_processes=arguments.processes
        ):
            outcomes.append(outcome)
            if len(outcomes) % 1000 == 0:
                print(f"{len(outcomes):,} files", file=sys.stderr)
            if outcome.verdict in FAULTS:
                keep = None if arguments.replay else arguments.keep
                _report(outcome, make(outcome.index), keep)
            elif arguments.show:
                print(
                    f"{outcome.case.kind} {outcome.case.number} {outcome.verdict}: {outcome.said}"
                )
    print_table(outcomes, perf_counter() - start)
    return int(any(outcome.verdict in FAULTS for outcome in outcomes))


def measure_meanings(goods: Goods, folder: Path) -> dict[str, str]:
    """What each good file says, by the name that `Case.origin` has for it."""
    meanings = {}
    for form, named in goods.items():
        read = next(kind.read for kind in KINDS.values() if form in kind.goods)
        for name, files in named.items():
            Case(kind="", files=files).write(folder / "given")
            try:
                meanings[f"{form}/{name}"] = read(folder / "given")
            except UserError as error:  # a good file all the same that this reader does not take
                print(f"note: {error}", file=sys.stderr)
    return meanings


def _take_cache(cache: Path) -> None:
    """Decoded images go to a cache that is thrown away; compiled kernels stay where they are."""
    kernels = default_cache_dir() / "kernels"
    kernels.mkdir(parents=True, exist_ok=True)
    cache.mkdir()
    (cache / "kernels").symlink_to(kernels)
    os.environ["MDL_CACHE"] = str(cache)


def _source(
    arguments: argparse.Namespace, goods: Goods
) -> tuple[Iterable[int], Callable[[int], Case]]:
    """Numbers, and what makes the files of them: anew, or read from where faults were kept."""
    if arguments.replay is None:
        kinds = tuple(arguments.kind or ())
        return range(arguments.files), partial(make_case, goods, arguments.seed, kinds=kinds)
    kept = [load_case(place) for place in find_kept(arguments.replay)]
    return range(len(kept)), kept.__getitem__


def _report(outcome: Outcome, case: Case, keep: Path | None) -> None:
    print(f"{outcome.verdict.upper()}: {case.kind} {case.number} of seed {case.seed}", end="")
    if keep is not None:
        case.keep(keep / case.name, outcome.verdict, outcome.said)
        print(f", kept in {keep / case.name}", end="")
    print("\n" + textwrap.indent(outcome.said.strip(), "    "), flush=True)


def print_table(outcomes: Sequence[Outcome], seconds: float) -> None:
    """Verdicts by kind, and what the slowest and the largest file took."""
    counts = {name: Counter[str]() for name in (*KINDS, "all")}
    for outcome in outcomes:
        for name in (outcome.case.kind, "all"):
            counts[name][outcome.verdict] += 1
    print(f"{'kind':14}{'files':>8}" + "".join(f"{verdict:>11}" for verdict in VERDICTS))
    for name, found in counts.items():
        if found:
            row = "".join(f"{found[verdict]:11,}" for verdict in VERDICTS)
            print(f"{name:14}{found.total():8,}{row}")
    slowest = max((outcome.seconds for outcome in outcomes), default=0.0)
    largest = max((outcome.peak_bytes for outcome in outcomes), default=0)
    print(
        f"{seconds:.0f} s; the slowest file took {slowest:.1f} s, the one that took most memory "
        f"{largest / 1e6:.0f} MB."
    )


if __name__ == "__main__":
    sys.exit(main())
