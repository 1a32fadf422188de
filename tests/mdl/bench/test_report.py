"""What a run of the bench tells, and when; what its header and its end say."""

import re
from dataclasses import replace

import pytest
import torch

from mdl.bench import report
from mdl.bench.lines import Baseline, Line
from mdl.bench.report import BenchReport, BenchStart, describe_machine, run_bench
from mdl.bench.settings import choose_settings
from mdl.bench.tables import print_end, print_group, print_start
from mdl.timing.rounds import Timing
from training.run.precision import LIMITS, vector_instructions

CPU = torch.device("cpu")
ONCE, THRICE = Timing(seconds=(2.0,)), Timing(seconds=(0.1, 0.1, 0.1))


def line_of(piece: str, *, naive: Timing = THRICE) -> Line:
    return Line(
        piece=piece,
        amount=1,
        unit="images",
        timing=THRICE,
        floor="nothing",
        floor_s=0.1,
        baselines=(Baseline(name="plain", timing=naive),),
    )


def start_of(**machine) -> BenchStart:
    described = {
        "cpu": "a CPU",
        "cores": 2,
        "threads": 2,
        "device": "cpu",
        "gpu": None,
        "torch": "2",
        "python": "3",
        "instructions": ["AVX2"],
        "limits": {},
        "commit": "12ab",
    }
    return BenchStart(
        machine=described | machine, precision="fp32", copy_bytes_per_second=1e9, peaks=()
    )


@pytest.mark.parametrize("columns", [80, 120])
def test_plain_forms_stand_under_their_piece_within_the_terminal(columns, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    piece = "step of s-fc α=16 at 1% and 5%, 100% screened"
    print_group(start_of(), "augmentation", [line_of(piece)])
    lines = re.sub(r"\x1b\[[\d;]*m", "", capsys.readouterr().out).splitlines()
    assert max(map(len, lines)) <= columns
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines if "│" in line]
    assert cells[0][1:] == ["10 images/s", "100", "1.00", ""]
    assert " ".join(row[0] for row in cells) == f"{piece} - plain"
    assert cells[-1] == ["- plain", "", "100", "", "1.0x"]


def test_each_group_is_told_before_the_next_is_measured(monkeypatch):
    events = []

    def measure(group, *_):
        events.append(f"measure {group}")
        return iter([line_of(group)])

    monkeypatch.setattr(report, "_measure", measure)
    settings = choose_settings(CPU, quick=True, rounds=1, num_weights=1000)
    found = run_bench(
        settings,
        ("bound", "encode"),
        on_start=lambda start: events.append(start.precision),
        on_group=lambda start, group, lines: events.append(f"{group}: {len(lines)}"),
    )
    assert events == [
        settings.precision,
        "measure bound",
        "bound: 1",
        "measure encode",
        "encode: 1",
    ]
    assert list(found.groups) == ["bound", "encode"]


def test_titles_name_instructions_and_arithmetic(capsys):
    print_group(start_of(), "augmentation", [line_of("flip")])
    print_group(start_of(instructions=["AVX512_BF16", "AMX"]), "bound", [line_of("bound")])
    text = capsys.readouterr().out
    assert "Augmentation, fp32 on AVX2" in text
    assert "Bound, counts and lengths alone, AVX512_BF16, AMX" in text
    assert "Timed fewer" not in text


def test_a_naive_form_that_was_timed_once_is_named(capsys):
    print_group(start_of(), "augmentation", [line_of("flip", naive=ONCE), line_of("crop")])
    text = capsys.readouterr().out
    assert "Timed fewer than 3 times, for one call takes long: plain of flip.\n" in text


def test_the_header_says_what_limits_the_instructions(capsys):
    print_start(start_of(limits={"ATEN_CPU_CAPABILITY": "avx2", "NUMBA_CPU_FEATURES": "+a,+b"}))
    text = capsys.readouterr().out
    assert "a CPU, 2 cores, 2 threads; AVX2\n" in text
    assert "Instructions limited by ATEN_CPU_CAPABILITY=avx2, NUMBA_CPU_FEATURES\n" in text


@pytest.mark.parametrize(
    ("commit", "reason"),
    [
        ("12ab", None),
        ("12ab-dirty", "the code has changes that no commit holds"),
        (None, "the commit of the code is not known"),
    ],
)
def test_figures_without_a_commit_are_not_for_publication(commit, reason, capsys):
    found = BenchReport(start=start_of(commit=commit), groups={}, seconds=1.0)
    assert found.to_dict()["not_for_publication"] == reason
    print_end(found)
    text = capsys.readouterr().out
    assert text == (f"These figures are not for publication: {reason}.\n" if reason else "")


def test_unsteady_pieces_are_named(capsys):
    line = replace(line_of("flip"), timing=Timing(seconds=(0.1, 0.1, 0.3)))
    print_end(BenchReport(start=start_of(), groups={"augmentation": [line]}, seconds=1.0))
    assert "Rounds differ widely in flip\n" in capsys.readouterr().out


def test_the_machine_is_described_with_the_limits_of_the_environment(monkeypatch):
    for name in LIMITS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NUMBA_CPU_NAME", "haswell")
    machine = describe_machine(CPU)
    assert machine["limits"] == {"NUMBA_CPU_NAME": "haswell"}
    assert machine["instructions"] == vector_instructions()
