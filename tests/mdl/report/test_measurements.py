"""What is measured of a run, and what is said where something cannot be."""

from dataclasses import replace
from pathlib import Path

import pytest

from analysis.quantize.formats import find_format
from mdl.report.measurements import MeasuredRun, measure_run
from mdl.report.overview import status
from mdl.report.page import default_title, write_page
from mdl.report.run_files import ReportedRun, read_runs


def measure(run: ReportedRun, *, source: str | None = None, bound: bool = True) -> MeasuredRun:
    said: list[str] = []
    found = measure_run(
        run, find_format(16), source=source, with_bound=bound, device="cpu", tell=said.append
    )
    assert all(line.startswith(f"{run.name}: ") for line in said) and said
    return found


@pytest.fixture
def run(trained: Path) -> ReportedRun:
    return read_runs([trained])[0]


def moved(run: ReportedRun, **changes: object) -> ReportedRun:
    """The run as if its data lay elsewhere, or it were another checkpoint."""
    assert run.checkpoint is not None and run.checkpoint.data is not None
    config = run.checkpoint.data.config | changes
    data = replace(run.checkpoint.data, config=config)
    return replace(run, checkpoint=replace(run.checkpoint, data=data))


def test_everything_of_a_finished_run(run: ReportedRun) -> None:
    found = measure(run)
    assert found.filters is not None and found.bits is not None and found.bits.report is not None
    assert found.bits.codeword is found.bits.report.codeword
    assert set(found.bits.lengths) == {"plain", "theorem-2", "enumerative"}
    assert default_title([found]) == "s-fc, α = 2, β-lasso, glyphs"
    assert default_title([found] * 4) == "4 runs"


def test_without_the_data_the_bits_are_the_same(run: ReportedRun) -> None:
    lost = measure(moved(run, source="/no/such/folder"))
    assert lost.bits is not None and lost.bits.report is None
    assert "/no/such/folder" in lost.bits.missing
    known = measure(run, bound=False).bits
    assert known is not None and known.codeword.data == lost.bits.codeword.data
    assert "/no/such/folder" in write_page([lost])


def test_data_is_looked_for_where_the_user_says_and_then_where_it_lay(run: ReportedRun) -> None:
    found = measure(moved(run, source="/no/such/folder"), source="glyphs").bits
    other = measure(run, source="/of/another/run").bits
    assert found is not None and found.report is not None
    assert other is not None and other.report is not None
    assert found.report.bound == other.report.bound


def test_a_bound_above_guessing_is_called_a_bound_and_no_error(run: ReportedRun) -> None:
    found = measure(run)
    assert found.bits is not None and found.bits.report is not None
    report = found.bits.report
    bound = replace(report.bound, value=0.9658)
    bits = replace(
        found.bits, report=replace(report, bounds=dict(report.bounds) | {"bits": (bound,)})
    )
    weak = replace(found, bits=bits)
    page = write_page([weak])
    assert page.count("96.58%, above guessing (90.00%): proves nothing") == 2
    assert "bound 96.58%" in page and "true error 96.58%" not in page
    assert "no better than" not in page


def test_the_filters_say_what_local_means_and_why_dense_ones_are(run: ReportedRun) -> None:
    assert "passes it by a small difference" in write_page([measure(run)])


def test_a_network_without_curves_has_its_accuracy_and_no_place_in_their_legend(
    run: ReportedRun,
) -> None:
    bare = replace(run, name="short", points=(), config={})
    assert bare.checkpoint is not None
    bare = replace(bare, checkpoint=replace(bare.checkpoint, metrics={}))
    page = write_page([measure(run), measure(bare)])
    assert "test accuracy, described network" in page
    assert "Networks of mdl train and other commands, side by side" in page
    curves = page.partition('id="curves"')[2].partition("</section>")[0]
    assert run.name in curves and "short" not in curves
    seconds = page.partition('id="time"')[2].partition("</section>")[0]
    assert run.name in seconds and "short" not in seconds


def test_a_stopped_run_is_called_unfinished(run: ReportedRun) -> None:
    assert run.checkpoint is not None
    stopped = replace(
        run, checkpoint=replace(run.checkpoint, training={"step": 1}), points=run.points[:2]
    )
    assert status(run) == "finished"
    assert status(stopped) == "not finished: epoch 2 of 4"
    page = write_page([measure(stopped, bound=False)])
    assert "not finished: epoch 2 of 4" in page


def test_a_network_without_filters_or_without_any_weight_is_a_page(run: ReportedRun) -> None:
    assert run.checkpoint is not None
    state = {name: tensor.clone() for name, tensor in run.checkpoint.state.items()}
    state["conv1.weight"].zero_()
    empty = replace(run, checkpoint=replace(run.checkpoint, state=state))
    found = measure(empty, bound=False)
    assert found.filters is None and "are zero" in found.no_filters
    assert "are zero" in write_page([found])
    nothing = measure(replace(run, points=()), bound=False)
    assert "No epoch is done yet" in write_page([nothing])


def test_a_checkpoint_of_unknown_inputs_has_no_description(run: ReportedRun) -> None:
    assert run.checkpoint is not None
    bare = replace(run, checkpoint=replace(run.checkpoint, normalization=None, data=None))
    found = measure(bare)
    assert found.bits is None
    assert "There is no network that can be described" in write_page([found])
