"""`mdl codelength --compare`: do the networks that learn faster also err less on other images?"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from figures.accuracy import METHOD_TITLES
from figures.codelengths import CodelengthPanel, CodelengthPoint, draw_codelengths
from figures.style.look import figure_style, save_figure
from mdl.cli.prequential import RESULT_FILE
from mdl.terminal import console
from training.errors import CheckpointError
from training.system.checks import MAX_COUNT
from training.system.files import read_text

_TEXTS = ("network", "method", "data", "fingerprint")
_COUNTS = {"num_labels": 1, "total_bits": 1, "uniform_bits": 1, "test_errors": 0, "num_test": 1}
"""Fields of a result, and the least that each number may be."""


@dataclass(frozen=True, kw_only=True)
class Compared:
    """A finished prequential code of a data set's labels.

    Attributes:
        network: Its name.
        method: "sgd" or "beta-lasso".
        data: Name of the data set.
        fingerprint: Of its images.
        num_labels: m.
        total_bits: Of all labels.
        uniform_bits: Of the uniform code.
        test_errors: Of the network that was trained on all labels.
        num_test: Test images.
    """

    network: str
    method: str
    data: str
    fingerprint: str
    num_labels: int
    total_bits: int
    uniform_bits: int
    test_errors: int
    num_test: int

    @property
    def label(self) -> str:
        """Network and method."""
        return f"{self.network}, {METHOD_TITLES.get(self.method, self.method)}"

    @property
    def bits_per_label(self) -> float:
        """Mean."""
        return self.total_bits / self.num_labels

    @property
    def test_error(self) -> float:
        """A fraction."""
        return self.test_errors / self.num_test


def compare_codelengths(folders: Sequence[Path], plot: Path | None, *, json: bool) -> None:
    """Print the codelengths in folders of blocks beside their test errors.

    Args:
        folders: Each written by `mdl codelength --prequential NETWORK --test`.
        plot: The file of the picture, or None.
        json: Whether to print JSON alone.

    Raises:
        CheckpointError: A folder holds no finished code with test errors.
    """
    by_data: dict[tuple[str, str, int], list[Compared]] = {}
    for folder in folders:
        one = _read(folder)
        by_data.setdefault((one.data, one.fingerprint, one.num_labels), []).append(one)
    groups = [sorted(group, key=lambda one: one.total_bits) for group in by_data.values()]
    if plot is not None:
        with figure_style():
            save_figure(draw_codelengths([_panel(group) for group in groups]), plot)
    if json:
        console.print_json(
            {
                "compared": [vars(one) for group in groups for one in group],
                "orders": [
                    {"data": group[0].data, "agree": agree, "pairs": pairs}
                    for group in groups
                    for agree, pairs in [agreeing_pairs(group)]
                ],
                "plot": None if plot is None else str(plot),
            }
        )
        return
    again = console.command("codelength", compare=list(map(str, folders)), plot="codelengths.png")
    console.print_answer(
        [_answer(group) for group in groups],
        *([] if plot is None else [f"Figure: {plot}"]),
        table=_rows(groups),
        next_=[] if plot is not None else [again],
    )


def agreeing_pairs(group: Sequence[Compared]) -> tuple[int, int]:
    """Pairs of networks of which the one with fewer bits has fewer test errors, and all pairs.

    A pair with as many bits, or as many errors, does not agree.
    """
    pairs = list(combinations(group, 2))
    return sum(_agree(one, other) for one, other in pairs), len(pairs)


def _agree(one: Compared, other: Compared) -> bool:
    bits = one.total_bits - other.total_bits
    return bits * (one.test_error - other.test_error) > 0


def _answer(group: Sequence[Compared]) -> str:
    first = group[0]
    shortest = f"{first.label} makes the {first.num_labels:,} labels of {first.data} shortest"
    agree, pairs = agreeing_pairs(group)
    if not pairs:
        return f"{shortest}: {first.total_bits:,} bits."
    return (
        f"{shortest}: {first.total_bits:,} bits. Fewer bits go with fewer test errors in {agree} "
        f"of {pairs} pairs."
    )


def _rows(groups: Sequence[Sequence[Compared]]) -> console.Rows:
    return console.Rows(
        columns=("data", "network", "bits", "bits per label", "of uniform", "test errors"),
        rows=[
            (
                one.data,
                one.label,
                f"{one.total_bits:,}",
                f"{one.bits_per_label:.4f}",
                f"{one.total_bits / one.uniform_bits:.1%}",
                f"{one.test_error:.2%}",
            )
            for group in groups
            for one in group
        ],
        num_text_columns=2,
    )


def _panel(group: Sequence[Compared]) -> CodelengthPanel:
    return CodelengthPanel(
        title=f"{group[0].data}, {group[0].num_labels:,} labels",
        points=tuple(
            CodelengthPoint(
                label=one.label,
                network=one.network,
                method=one.method,
                bits_per_label=one.bits_per_label,
                test_error=one.test_error,
            )
            for one in group
        ),
    )


def _read(folder: Path) -> Compared:
    """What a folder says, each number in its range.

    Raises:
        CheckpointError: It holds no finished code with test errors.
    """
    file = folder / RESULT_FILE
    if not file.exists():
        raise CheckpointError(
            f"{folder}: no finished code; mdl codelength --prequential NETWORK --test -o {folder} "
            "makes one"
        )
    try:
        values = json.loads(read_text(file, what="a codelength", error=CheckpointError))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{file}: not JSON; give the command that made it again") from error
    if isinstance(values, dict) and values.get("test_errors", 0) is None:
        raise CheckpointError(f"{folder}: without test errors; give its command again with --test")
    is_sound = (
        isinstance(values, dict)
        and all(isinstance(values.get(name), str) for name in _TEXTS)
        and all(
            type(values.get(name)) is int and low <= values[name] <= MAX_COUNT
            for name, low in _COUNTS.items()
        )
    )
    if not is_sound or values["test_errors"] > values["num_test"]:
        raise CheckpointError(f"{file}: not the result of a prequential code; make it anew")
    return Compared(**{name: values[name] for name in (*_TEXTS, *_COUNTS)})
