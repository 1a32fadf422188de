"""Every command once as a process of its own, as a shell starts it.

What the commands do is checked in the tests' own process. This is for what only a process has: the
entry point, its exit code, what is loaded, and that stdout and stderr are free of warnings.
"""

import json
from pathlib import Path

import pytest

from mdl.cli.app import COMMANDS
from tests.mdl.calls import Command

TINY = (
    "--image-size",
    "8",
    "--num-train",
    "120",
    "--num-test",
    "40",
    "--base-channels",
    "1",
    "--batch-size",
    "20",
    "--epochs",
    "1",
    "--precision",
    "fp32",
    "--device",
    "cpu",
)
QUICK = ("--epochs", "1", "--batch-size", "20", "--trials", "1", "--threads", "1")
CALLS: dict[str, tuple[str, ...]] = {
    "demo": ("--out", "OUT/demo"),
    "train": ("s-conv", *TINY, "--out", "OUT/run"),
    "evaluate": ("RUN",),
    "nonzeros": ("RUN",),
    "bound": ("RUN", "--bits", "8"),
    "filters": ("RUN", "--out", "OUT/filters.png"),
    "scaling": ("--image-size", "8"),
    "embed": ("CONV", "--as", "s-fc", "--out", "OUT/twin.pt"),
    "codelength": ("RUN", "--bits", "8", "-o", "OUT/labels.bits"),
    "encode": ("RUN", "-o", "OUT/net.mdl"),
    "decode": ("BITS", "-o", "OUT/net.pt"),
    "certify": ("RUN", "-o", "OUT/cert", "--bits", "8"),
    "verify": ("CERTIFICATE",),
    "compress": ("RUN", "-o", "OUT/small", *QUICK),
    "budget": ("--target", "0.2", "--samples", "1000"),
    "bench": ("--quick", "--only", "optimizer", "--rounds", "2", "--weights", "20000"),
    "reproduce": ("table1", "--only-draw", "--store", "OUT", "--out", "OUT"),
    "sweep": (
        "s-conv",
        "--grid",
        "small",
        "--method",
        "sgd",
        *TINY,
        "--threads",
        "1",
        "--workers",
        "2",
        "--store",
        "OUT",
    ),
    "report": ("RUN", "-o", "OUT/page.html", "--bits", "8"),
    "sparse": ("DENSE", "SPARSE"),
}
LIGHT = ("budget", "scaling")  # load no torch


@pytest.fixture(scope="module")
def places(mdl: Command, trained: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What a command may be given: runs, bits and a certificate."""
    folder = tmp_path_factory.mktemp("places")
    pair = ("s-fc", *TINY[2:], "--image-size", "32", "--base-channels", "2", "--l1-conv", "3e-4")
    pair += ("--l1-fc", "5e-5", "--lr", "0.1")
    for done in (
        mdl("train", "s-conv", *TINY, "--out", folder / "conv"),
        mdl("train", *pair, "--sparse", "never", "--out", folder / "dense"),
        mdl("train", *pair, "--sparse", "always", "--out", folder / "sparse"),
        mdl("encode", trained, "-o", folder / "net.mdl"),
        mdl("certify", trained, "-o", folder / "cert", "--bits", "8"),
    ):
        assert done.returncode == 0, done.stderr
    return {
        "RUN": str(trained),
        "CONV": str(folder / "conv"),
        "DENSE": str(folder / "dense"),
        "SPARSE": str(folder / "sparse"),
        "BITS": str(folder / "net.mdl"),
        "CERTIFICATE": str(folder / "cert"),
    }


@pytest.mark.process
@pytest.mark.parametrize(
    "command",
    [
        pytest.param(command, marks=() if command in LIGHT else pytest.mark.slow)
        for command in COMMANDS
    ],
)
def test_a_command_as_a_process(
    command: str, mdl_process: Command, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    given = CALLS[command]
    known = {} if command in LIGHT else request.getfixturevalue("places")
    arguments = [known.get(each, each.replace("OUT", str(tmp_path))) for each in given]
    done = mdl_process(command, *arguments)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    for word in ("Traceback", "Warning", "error: "):
        assert word not in done.stderr
    promised = [Path(each) for each in arguments if each.startswith(f"{tmp_path}/")]
    assert all(path.exists() for path in promised)


@pytest.mark.process
@pytest.mark.slow
def test_a_mistake_as_a_process(mdl_process: Command) -> None:
    done = mdl_process("scaling", "--plot", "no/such/folder/figure.png")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.process
def test_json_as_a_process(mdl_process: Command) -> None:
    done = mdl_process("budget", "--target", "0.2", "--samples", "1000", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["num_samples"] == 1000
