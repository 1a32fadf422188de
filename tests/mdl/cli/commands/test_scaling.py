"""`mdl scaling`: what lands on stdout, and what is refused."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.mdl.calls import call_here

ROOT = Path(__file__).resolve().parents[4]


def run(*arguments):
    return call_here("scaling", *arguments, folder=ROOT)


def test_tables_show_the_formulas_the_numbers_and_the_slips():
    done = run("--image-size", 32, "--full")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    conv3 = next(line for line in lines if "9s²α²/4" in line)
    assert re.findall(r"[^│ ]+", conv3) == [
        "conv3",
        "9s²α²/4",
        "9s²α²",
        "518,400",
        "2,073,600",
        "erratum",
    ]
    for text in (
        "≈ (9·2⁸ + 4s²)α² + (27 + 64c)α",
        "(2286 + 4s²)α² + (27 + 64c)α",
        "1,450,005",
        "1,445,955",
        "49s²α² + (27s² + 64c)α",
        "282.20 M",
        "α = 149",
        "h = 14533",
        "2,147,483,648",
        "14.22",
        "16.3%",
        "13.4%",
        "α ≈ 14.2",
    ):
        assert text in done.stdout, text
    assert max(map(len, (line for line in lines if "│" in line))) <= 100


def test_json_alone_on_stdout(tmp_path):
    figure = tmp_path / "scaling.png"
    done = run(
        "--json",
        "--image-size",
        28,
        "--in-channels",
        1,
        "--base-channels",
        7,
        "--num-classes",
        5,
        "--budget",
        "1e6",
        "--v100-memory",
        32,
        "--bytes-per-weight",
        4,
        "--plot",
        figure,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["networks"]["d-fc"]["width"] == 7
    assert result["networks"]["d-fc"]["layers"][7]["slips"] == ["strides"]
    assert result["networks"]["s-fc"]["layers"][0]["slips"] == ["channels"]
    assert result["v100"]["max_weights"] == 2**33
    assert result["budget"]["num_weights"] == 1_000_000
    assert result["budget"]["widths"]["s-conv"]["num_weights"] <= 1_000_000
    assert figure.read_bytes().startswith(b"\x89PNG")


def test_latex_is_whole_and_alone():
    done = run("--latex")
    assert (done.returncode, done.stderr) == (0, "")
    text = done.stdout
    assert text.isascii()
    assert text.startswith("% needs \\usepackage{booktabs}\n")
    environments = re.findall(r"\\(begin|end)\{(\w+)\}", text)
    opened = []
    for kind, name in environments:
        if kind == "begin":
            opened.append(name)
        else:
            assert opened.pop() == name
    assert not opened
    assert environments.count(("begin", "table")) == 4
    assert text.count("{") == text.count("}")
    assert text.count("$") % 2 == 0
    assert text.count(r"\left(") == text.count(r"\right)")
    for table in text.split(r"\begin{tabular}")[1:]:
        alignment = re.match(r"\{([lcr]+)\}", table).group(1)
        rows = [line for line in table.splitlines() if line.endswith(r"\\")]
        assert all(row.count(" & ") == len(alignment) - 1 for row in rows)
        rules = re.findall(r"\\(toprule|midrule|bottomrule)", table)
        assert rules[0] == "toprule"
        assert rules[-1] == "bottomrule"
    assert r"$9 s^{2} \alpha^{2}/4$\textsuperscript{$\dagger$} & $9 s^{2} \alpha^{2}$" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--json", "--latex"), "choose one of"),
        (("--budget", "nan"), "--budget"),
        (("--budget", "0"), "--budget"),
        (("--v100-memory", "-1"), "--v100-memory"),
        (("--bytes-per-weight", "inf"), "--bytes-per-weight"),
        (("--plot", "figure.svg"), "--plot"),
        (("--image-size", "0"), "--image-size"),
    ],
)
def test_refusals_name_the_option(arguments, message):
    done = run(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_folder_is_one_line(tmp_path):
    done = run("--plot", tmp_path / "missing" / "figure.png")
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.process
def test_loads_no_torch():
    code = (
        "import sys; from mdl.cli.app import build_app\n"
        "try: build_app()(['scaling', '--json'])\n"
        "except SystemExit: pass\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
