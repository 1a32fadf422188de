"""Folders, classes and files whose names would move a terminal's cursor, through the commands."""

from pathlib import Path

from PIL import Image

from tests.mdl.calls import Command

BAD = "\x1b[2J\r\n\u202e\u200b$\\frac{"
TRAINING = ("--base-channels", "1", "--batch-size", "10", "--epochs", "1", "--device", "cpu")


def test_no_name_reaches_a_terminal_raw(mdl: Command, tmp_path: Path) -> None:
    data, run, cert = (tmp_path / f"{name}{BAD}" for name in ("data", "run", "cert"))
    for split in ("train", "test"):
        for shade, name in enumerate(("cat", "dog")):
            folder = data / split / f"{name}{BAD}"
            folder.mkdir(parents=True)
            for index in range(10):
                image = Image.new("RGB", (8, 8), (20 * index, 100 * shade, 0))
                image.putpixel((index % 8, 3), (255, 255, 255))
                image.save(folder / f"{index}.png")
    page = tmp_path / f"page{BAD}.html"
    calls = {
        0: (
            ("train", "s-conv", *TRAINING, "--data", data, "--out", run),
            ("evaluate", run),
            ("nonzeros", run, "--full"),
            ("bound", run, "--bits", "8"),
            ("bound", run, "--full"),
            ("filters", run),
            ("encode", run, "-o", tmp_path / f"net{BAD}.mdl"),
            ("certify", run, "-o", cert),
            ("verify", cert, "--data", data, "--full"),
            ("report", run, "-o", page),
            ("sweep", "s-conv", "--grid", "small", "--data", data, "--list", "--store", tmp_path),
        ),
        1: (
            ("verify", cert),
            ("verify", tmp_path / BAD),
            ("evaluate", tmp_path / BAD),
            ("train", "--resume", run),
        ),
        2: (("train", "s-conv", "--out", run), (BAD,), ("train", "s-fc", f"--{BAD}")),
    }
    for code, group in calls.items():
        for call in group:
            done = mdl(*call)
            text = done.stdout + done.stderr
            assert done.returncode == code, (call, text)
            assert all(each.isprintable() or each == "\n" for each in text), (call, text)
            assert sum(line.startswith("error: ") for line in text.splitlines()) <= 1
    assert all(each.isprintable() or each == "\n" for each in page.read_text(encoding="utf-8"))
    unknown = mdl("certify", run, "-o", tmp_path / "again").stdout
    assert r"data\x1b[2J\r\n\u202e\u200b$\frac{ (name not" in unknown.replace("\n", " ")
