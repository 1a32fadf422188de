"""One file, or one folder of files, that a reader is tried on; and where faults are kept."""

import hashlib
import json
import random
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path

RECORD = "case.json"
"""What a kept case says of itself, beside its files."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """What a generator made.

    Attributes:
        kind: The kind of file, a key of `tests.fuzz.kinds.KINDS`.
        files: Content by relative path.
        origin: Name of the good file that this one is by blind damage alone, and whose meaning it
            may not change where the format has checksums; "" for a file made on purpose.
        seed: Of the run that made it.
        number: Of the file in that run.
    """

    kind: str
    files: dict[str, bytes]
    origin: str = ""
    seed: int = 0
    number: int = 0

    def write(self, folder: Path) -> None:
        """Put the files into an empty folder, which is made."""
        shutil.rmtree(folder, ignore_errors=True)
        for name, content in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    @property
    def name(self) -> str:
        """Tells the files from others: the kind and a few letters."""
        whole = hashlib.sha256()
        for name, content in sorted(self.files.items()):
            whole.update(f"{name} {len(content)} ".encode() + content)
        return f"{self.kind.replace(' ', '_')}-{whole.hexdigest()[:10]}"

    def keep(self, folder: Path, verdict: str, said: str) -> None:
        """Keep the files of a fault, so that `load_case` finds them again.

        Args:
            folder: Their folder; anything there goes.
            verdict: What became of them.
            said: The line, or the end of the traceback.
        """
        self.write(folder)
        record = asdict(replace(self, files={})) | {"verdict": verdict, "said": said}
        del record["files"]
        (folder / RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def load_case(folder: Path) -> Case:
    """A case that `Case.keep` wrote."""
    record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    files = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path != folder / RECORD
    }
    names = ("kind", "origin", "seed", "number")
    return Case(files=files, **{name: record[name] for name in names})


def find_kept(folder: Path) -> list[Path]:
    """The kept faults of a folder, or the folder itself if it is one."""
    return sorted(path.parent for path in folder.rglob(RECORD))


def draw_of(seed: int, number: int) -> random.Random:
    """The random numbers of one file, the same on every machine."""
    return random.Random(f"{seed}/{number}")
