"""The arithmetic of a dense and a sparse run, on made-up epochs that can be summed by hand."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.bounds.bounds import ErrorCount
from mdl.experiments.sparse_gain.gain import measure_gain
from mdl.experiments.sparse_gain.record import EpochRecord, RunRecord
from mdl.experiments.sparse_gain.report import (
    draw_costs,
    draw_shares,
    gain_to_dict,
    print_gain,
    save_gain_figures,
)
from mdl.experiments.store.run_result import EpochPoint
from mdl.terminal.errors import OptionError
from training.spec.config import TrainConfig

SIZES = {"conv1": 1000, "fc1": 100}


def epoch(number, seconds, *, sparse=(), screened=None, weight_bytes=6600, memory=10_000):
    return EpochRecord(
        point=EpochPoint(
            epoch=number,
            seconds=seconds,
            train_loss=1.0,
            train_accuracy=0.5,
            validation_accuracy=None,
            test_accuracy=None,
            num_nonzeros={"conv1": 1000 // number, "fc1": 90},
            screened=screened or {},
        ),
        sparse_layers=tuple(sparse),
        weight_bytes=weight_bytes,
        memory_bytes=memory,
    )


def record(epochs, *, conv1=50, errors=40):
    return RunRecord(
        path=Path("runs/a"),
        config=TrainConfig(network="s-fc", base_channels=2, epochs=len(epochs)),
        versions={"cpu": "none"},
        num_weights=SIZES,
        num_nonzeros={"conv1": conv1, "fc1": 90},
        test=ErrorCount(num_errors=errors, num_samples=100),
        epochs=tuple(epochs),
    )


DENSE = record([epoch(number, 10.0 * number) for number in range(1, 5)])
SPARSE = record(
    [
        epoch(1, 10.0, screened={"conv1": 0.2}),
        epoch(2, 21.0, screened={"conv1": 0.4}),
        epoch(3, 26.0, screened={"conv1": 0.7}, sparse=["conv1"], weight_bytes=2000),
        epoch(4, 28.0, screened={"conv1": 0.9}, sparse=["conv1"], weight_bytes=1100, memory=9000),
    ],
    conv1=48,
    errors=41,
)


def test_times_by_phase() -> None:
    gain = measure_gain(DENSE, SPARSE)
    phases = [
        (each.num_epochs, each.dense_seconds, each.sparse_seconds, each.ratio)
        for each in (gain.whole, gain.before, gain.after, gain.last)
    ]
    assert phases == [(4, 40, 28, 40 / 28), (2, 20, 21, 20 / 21), (2, 20, 7, 20 / 7), (1, 10, 2, 5)]
    assert gain.all_dense_share == gain.all_dense_seconds_share == 0.5
    assert gain.largest_ratio == 2  # Amdahl: the dense half stays
    assert gain.handovers == {"conv1": 3}


def test_layers_and_memory() -> None:
    gain = measure_gain(DENSE, SPARSE)
    conv1, fc1 = gain.layers
    assert (conv1.screened_dense, conv1.screened_sparse) == pytest.approx((0.3, 0.8))
    assert (conv1.dense_nonzeros, conv1.sparse_nonzeros, conv1.num_sparse_epochs) == (50, 48, 2)
    assert (fc1.handover, fc1.screened_dense, fc1.screened_sparse) == (None, None, None)
    assert gain.bytes_per_nonzero(DENSE) == 6600 / 140
    assert gain.bytes_per_nonzero(SPARSE) == 1100 / 138
    # fc1 is dense at 6 bytes a weight, which leaves 500 bytes for the 48 nonzeros of conv1.
    assert gain.sparse_layer_bytes_per_nonzero == pytest.approx(500 / 48)
    memory = gain.sparse_memory
    assert (memory.weights_first, memory.weights_last) == (6600, 1100)
    assert (memory.process_first, memory.process_last, memory.process_largest) == (
        10_000,
        9000,
        10_000,
    )


def test_a_projection_goes_on_at_the_last_rates() -> None:
    longer = measure_gain(DENSE, SPARSE).project(104)
    assert (longer.dense_seconds, longer.sparse_seconds) == (1040, 228)
    assert longer.ratio == 1040 / 228
    with pytest.raises(OptionError, match=r"--epochs 3 must be at least the runs' 4"):
        measure_gain(DENSE, SPARSE).project(3)


def test_a_layer_that_goes_back_is_dense_again() -> None:
    """The epochs of every layer dense are those after a hand-back too; the phases stay two."""
    back = replace(SPARSE, epochs=(*SPARSE.epochs[:3], replace(SPARSE.epochs[3], sparse_layers=())))
    gain = measure_gain(DENSE, back)
    assert (gain.before.num_epochs, gain.after.num_epochs) == (2, 2)
    assert (gain.all_dense.num_epochs, gain.all_dense.dense_seconds) == (3, 30)
    assert gain.layers[0].screened_dense == pytest.approx((0.2 + 0.4 + 0.9) / 3)
    assert gain.sparse_layer_bytes_per_nonzero is None


def test_a_run_in_which_nothing_became_sparse(capsys) -> None:
    none = replace(SPARSE, epochs=tuple(replace(e, sparse_layers=()) for e in SPARSE.epochs))
    gain = measure_gain(DENSE, none)
    assert (gain.after.num_epochs, gain.after.ratio, gain.all_dense_share) == (0, None, 1)
    print_gain(gain, gain.project(4))
    printed = capsys.readouterr().out
    assert "No layer became sparse" in printed and "from then on" not in printed


def test_no_time_is_refused() -> None:
    still = record([epoch(number, 0.0) for number in range(1, 5)])
    with pytest.raises(ValueError, match="seconds must be > 0"):
        measure_gain(still, SPARSE)


@given(
    seconds=st.lists(
        st.tuples(st.floats(0.01, 100), st.floats(0.01, 100), st.booleans()),
        min_size=1,
        max_size=40,
    )
)
def test_phases_are_parts_of_the_whole(seconds) -> None:
    dense, sparse, ends = [], [], [0.0, 0.0]
    for number, (ours, theirs, is_sparse) in enumerate(seconds, start=1):
        ends = [ends[0] + ours, ends[1] + theirs]
        dense.append(epoch(number, ends[0]))
        sparse.append(epoch(number, ends[1], sparse=["conv1"] if is_sparse else []))
    gain = measure_gain(record(dense), record(sparse))
    assert gain.before.num_epochs + gain.after.num_epochs == gain.whole.num_epochs == len(seconds)
    assert gain.before.num_epochs <= gain.all_dense.num_epochs
    assert gain.before.sparse_seconds + gain.after.sparse_seconds == pytest.approx(
        gain.whole.sparse_seconds
    )
    assert gain.last.num_epochs == -(-len(seconds) // 10)
    assert 0 <= gain.all_dense_seconds_share <= 1 + 1e-12
    same = gain.project(len(seconds))
    assert (same.dense_seconds, same.sparse_seconds) == (
        gain.whole.dense_seconds,
        gain.whole.sparse_seconds,
    )


def test_what_is_printed_and_what_is_written(capsys) -> None:
    gain = measure_gain(DENSE, SPARSE)
    print_gain(gain, gain.project(104))
    printed = capsys.readouterr().out
    for text in (
        "before the first sparse layer (epoch 3)",
        "5.00x",
        "50.0%",
        "2.00x can be gained",
        "10.42 bytes a nonzero",
        "41 of 100",
        "59.00%",
        "6.00x",
        "A projection, not a measurement",
        "104 epochs: about 17 min dense, 4 min sparse",
    ):
        assert text in printed, text
    values = gain_to_dict(gain, gain.project(104))
    assert values["phases"]["last_tenth"]["ratio"] == 5
    assert values["runs"]["sparse"]["test_errors"] == 41
    assert values["projection"]["num_epochs"] == 104


@pytest.mark.slow
def test_figures_show_the_epochs(tmp_path) -> None:
    gain = measure_gain(DENSE, SPARSE)
    time, memory = draw_costs(gain).axes
    lines = {line.get_label(): list(line.get_ydata()) for line in time.lines}
    assert lines["dense"] == [10] * 4 and lines["sparse"] == [10, 11, 5, 2]
    assert next(line for line in memory.lines if line.get_label() == "sparse").get_ydata()[-1] == (
        1100
    )
    shares = draw_shares(gain)
    (line,) = shares.axes[0].lines
    assert list(line.get_ydata()) == pytest.approx([20, 40, 70, 90])
    assert "conv1 from epoch 3" in " ".join(shares.get_supxlabel().split())
    files = save_gain_figures(gain, tmp_path / "gain.v2")
    assert [file.name for file in files] == [
        "gain.v2.png",
        "gain.v2.pdf",
        "gain.v2-screened.png",
        "gain.v2-screened.pdf",
    ]
