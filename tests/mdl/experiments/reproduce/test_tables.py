"""Means with intervals, cells as they read, and the network of a result."""

import csv
import io
import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mdl.experiments.artefacts.method_runs import network_of
from mdl.experiments.reproduce.scales import SCALES, scale_on
from mdl.experiments.reproduce.tables import (
    Column,
    SeedMean,
    Table,
    cell_text,
    comma_separated,
    difference,
    fill_page,
    markdown,
    print_table,
    seed_mean,
    write_table,
)
from training.spec.architectures import PAPER_NETWORKS
from training.spec.config import DataConfig

TABLE = Table(
    name="small",
    title="A table",
    columns=(
        Column(key="model", title="model"),
        Column(key="test", title="test | %", kind="percent"),
        Column(key="size", title="size", kind="count"),
    ),
    rows=(
        {"model": "a, b", "test": SeedMean(mean=0.5, half_width=0.01, num_seeds=3), "size": 1234},
        {"model": "c", "test": 0.25},
    ),
    notes=("A note.",),
)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=8))
def test_the_interval_is_scipys(values) -> None:
    found = seed_mean(values)
    assert found is not None and found.half_width is not None
    assert found.mean == pytest.approx(np.mean(values))
    assert found.num_seeds == len(values)
    if np.ptp(values) > 1e-9:
        expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
        assert found.mean - found.half_width == pytest.approx(expected.low, abs=1e-9)
        assert found.mean + found.half_width == pytest.approx(expected.high, abs=1e-9)


def test_one_seed_has_no_interval_and_none_no_mean() -> None:
    assert seed_mean([0.3]) == SeedMean(mean=0.3, half_width=None, num_seeds=1)
    assert seed_mean([]) is None


def test_a_bound_is_rounded_up() -> None:
    assert cell_text(0.12341, "bound") == "12.35"
    assert cell_text(0.1234, "bound") == "12.34"
    assert cell_text(0.12341, "percent") == "12.34"


def test_equal_counts_have_no_interval_in_print() -> None:
    assert cell_text(SeedMean(mean=1234.0, half_width=0.0, num_seeds=2), "count") == "1,234"


def test_a_difference_keeps_our_interval() -> None:
    ours = SeedMean(mean=0.8, half_width=0.02, num_seeds=3)
    assert cell_text(difference(ours, 85.19), "points") == "−5.19 ± 2.00"
    assert difference(None, 85.19) is None and difference(ours, None) is None


def test_the_three_files_say_the_same(tmp_path) -> None:
    assert markdown(TABLE).splitlines()[2:6] == [
        "| model | test \\| % | size |",
        "|---|--:|--:|",
        "| a, b | 50.00 ± 1.00 | 1,234 |",
        "| c | 25.00 | – |",
    ]
    rows = list(csv.reader(io.StringIO(comma_separated(TABLE))))
    assert rows == [
        ["model", "test", "test_half_width", "test_num_seeds", "size"],
        ["a, b", "0.5", "0.01", "3", "1234"],
        ["c", "0.25", "", "", ""],
    ]
    paths = write_table(TABLE, tmp_path)
    assert [path.name for path in paths] == ["small.md", "small.csv", "small.json"]
    values = json.loads(paths[2].read_text())
    assert values["rows"][0]["test"] == {"mean": 0.5, "half_width": 0.01, "num_seeds": 3}
    assert values["rows"][1]["size"] is None


@pytest.mark.parametrize("columns", [80, 120])
def test_sentences_are_printed_as_a_list_of_the_screens_width(
    columns: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    claims = replace(TABLE, rows=({"model": "5", "test": "filters are local " * 9, "size": 7},))
    print_table(replace(claims, notes=("A long note. " * 20,)))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= columns
    assert lines[0] == "A table" and lines[1].startswith("5 filters are local")
    assert "    size: 7" in lines
    print_table(TABLE)
    assert "┃" in capsys.readouterr().out


@pytest.mark.parametrize("network", PAPER_NETWORKS)
def test_the_network_of_a_result(network, made_up) -> None:
    config = SCALES["laptop"].config(network)
    spec = network_of(made_up(config))
    assert (spec.name, spec.image_size, spec.num_classes, spec.in_channels) == (network, 16, 10, 3)


@pytest.mark.parametrize("network", ["s-fc", "d-local", "3-fc"])
def test_the_shape_of_unknown_images_is_read_off_the_weights(network, made_up) -> None:
    scale = scale_on("smoke", ("cifar10",))
    config = scale.config(network, data=DataConfig(source="cifar10", image_size=20))
    odd = scale.config(network, data=DataConfig(source="cifar10"))
    result = made_up(config)
    assert network_of(replace(result, config=odd)).image_size == 20
    with pytest.raises(ValueError, match="fit no"):
        network_of(replace(result, num_weights=result.num_weights | {"fc1": 1}))


PAGE = """Before.
<!-- table: a/small -->
old
<!-- end -->
Between.

<!-- table: a/small model test -->
<!-- end -->
<!-- table: b/small -->
another's
<!-- end -->
After."""


def test_the_tables_of_a_page_are_drawn_and_all_else_stays() -> None:
    filled = fill_page(PAGE, {"a/small": TABLE})
    whole = markdown(replace(TABLE, notes=()))
    two = markdown(replace(TABLE, notes=(), columns=TABLE.columns[:2]))
    assert filled == (
        f"Before.\n<!-- table: a/small -->\n{whole}<!-- end -->\nBetween.\n\n"
        f"<!-- table: a/small model test -->\n{two}<!-- end -->\n"
        "<!-- table: b/small -->\nanother's\n<!-- end -->\nAfter."
    )
    assert fill_page(filled, {"a/small": TABLE}) == filled


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("none", "no table of these stands there"),
        (PAGE.replace("a/", "b/"), "no table of these stands there"),
        (PAGE.replace("<!-- end -->\nBetween", "Between"), "has no line <!-- end -->"),
        (PAGE.replace("model test", "model tset"), "no column 'tset'; its columns are model, test"),
    ],
)
def test_a_page_whose_blocks_are_not_right_is_refused(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as refused:
        fill_page(text, {"a/small": TABLE})
    assert "\n" not in str(refused.value)
