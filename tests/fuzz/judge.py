"""What a reader makes of one file: the verdict, in this process."""

import io
import random
import traceback
import warnings
from collections.abc import Mapping
from contextlib import chdir, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from mdl.terminal.errors import error_line
from tests.fuzz.cases import Case
from tests.fuzz.kinds import KINDS, Kind
from tests.fuzz.readers import check_line, run_command
from training.checkpoint.checkpoint import load_checkpoint
from training.errors import USER_ERRORS, CheckpointError

GOOD = ("rejected", "unchanged", "accepted")
FAULTS = ("other", "unnoticed", "crash", "hang", "memory")
VERDICTS = (*GOOD, *FAULTS)
"""What becomes of a file.

    rejected    one line that names the file
    unchanged   read, and it says what the good file says that it was made from
    accepted    read, and it is a sound file that says something else
    other       another error, a line that is none, or two readers that disagree
    unnoticed   blind damage changed what a file says whose format has checksums
    crash       the process died
    hang        it took longer than `tests.fuzz.pool.CPU_S` or `WALL_S` seconds
    memory      it took more than `Kind.most_bytes`, or asked for `tests.fuzz.pool.MEMORY_BYTES`
"""
_USED = {"accepted": 1.0, "unchanged": 0.3, "rejected": 0.05}
"""How many files are tried by a command as well."""
_MOST_EPOCHS = 4


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one file.

    Attributes:
        case: The file, without its content.
        verdict: One of `VERDICTS`.
        said: The line, or the end of the traceback.
        seconds: How long it took.
        peak_bytes: How much memory it took at most, beyond what the process had.
        index: Which of the files asked for it was.
    """

    case: Case
    verdict: str
    said: str
    seconds: float = 0.0
    peak_bytes: int = 0
    index: int = 0


def judge(case: Case, folder: Path, meanings: Mapping[str, str]) -> Outcome:
    """Read one file by its reader, and by a command if it says something new.

    Args:
        case: The file.
        folder: Where to put it; anything there goes.
        meanings: Of the good files, by `Case.origin`.
    """
    place = folder / "given"
    case.write(place)
    before, start = _start_peak(), perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        verdict, said = _read(case, place, meanings.get(case.origin))
        draw = random.Random(case.number)
        if verdict in GOOD and draw.random() < _USED[verdict]:
            command = _choose_command(KINDS[case.kind], place, draw)
            if command:
                used, line = _use(case, place, command)
                if used in FAULTS:
                    verdict, said = used, f"mdl {command}: {line}"
    peak = _peak() - before
    most = KINDS[case.kind].most_bytes
    if most is not None and peak > most and verdict != "memory":
        verdict, said = "memory", f"{peak / 1e9:.1f} GB, then {verdict}: {said}"
    return Outcome(
        case=Case(kind=case.kind, files={}, origin=case.origin, seed=case.seed, number=case.number),
        verdict=verdict,
        said=said,
        seconds=perf_counter() - start,
        peak_bytes=peak,
    )


def _read(case: Case, place: Path, expected: str | None) -> tuple[str, str]:
    kind = KINDS[case.kind]
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            meaning = kind.read(place)
    except Exception as error:
        return _verdict(error, case, place, names_file=True)
    if not case.origin:
        return "accepted", ""
    if meaning == expected:
        return "unchanged", ""
    return ("unnoticed", f"{case.origin} was damaged") if kind.is_sealed else ("accepted", "")


def _use(case: Case, place: Path, command: str) -> tuple[str, str]:
    try:
        with chdir(place), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            run_command(tuple(command.split()))
    except Exception as error:
        return _verdict(error, case, place, names_file=False)
    return "accepted", ""


def _choose_command(kind: Kind, place: Path, draw: random.Random) -> str:
    """A command whose files are there; never one that would train for long, as a file may ask."""
    possible = [
        command
        for command in kind.commands
        if all((place / word).exists() for word in command.split()[1:2] if "." in word)
    ]
    command = draw.choice(possible) if possible else ""
    if command.startswith("train"):
        try:
            epochs = load_checkpoint(place).config.get("epochs")
        except CheckpointError:
            return ""
        return command if isinstance(epochs, int) and epochs <= _MOST_EPOCHS else ""
    return command


def _verdict(error: Exception, case: Case, place: Path, *, names_file: bool) -> tuple[str, str]:
    """Whether an error is one line, and the line or the traceback's end.

    A reader's line names the file. A command's may be about something else, but then it was raised
    on purpose.
    """
    end = "".join(traceback.format_exception(error)[-6:])[-1500:]
    if _is_memory(error):
        return "memory", end
    if not isinstance(error, USER_ERRORS):
        return "other", end
    line = error_line(error)
    try:
        check_line(line)
    except AssertionError as rule:
        return "other", f"{rule}\n{end}"
    names = [place.name, *(Path(name).name for name in case.files)]
    if any(name in line for name in names) or (_is_meant(error) and not names_file):
        return "rejected", line
    return "other", f"the line does not name the file: {line}\n{end}"


def _is_meant(error: Exception) -> bool:
    """Whether mdl raised it, and not a library that mdl has called."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return (last.line or "").startswith("raise") and "site-packages" not in last.filename


def _is_memory(error: BaseException | None) -> bool:
    """Whether memory was asked for and not given, whatever was said of it then."""
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        words = ("not enough memory", "allocate memory", "malloc of size")
        if isinstance(error, MemoryError) or any(each in str(error) for each in words):
            return True
        seen.append(error)
        error = error.__cause__ or error.__context__
    return False


def _start_peak() -> int:
    """Forget the largest memory so far; gives what the process has now, in bytes."""
    with suppress(OSError):  # a system without it: the peak of the whole process counts
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return _peak()


def _peak() -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0
