"""`mdl codelength --prequential`: trains block by block, and says how long the labels are."""

import signal
from collections.abc import Sequence
from dataclasses import asdict
from json import dumps
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, TimeRemainingColumn

from analysis.codelength.label_code import frequency_bits, uniform_bits
from analysis.codelength.prequential import (
    AfterAll,
    Block,
    block_ends,
    code_prequentially,
    count_test_errors,
)
from figures.prequential import PrequentialCurve, draw_prequential
from figures.style.look import figure_style, save_figure
from mdl.terminal import console
from mdl.terminal.progress import ProgressBar
from training.data.image_set import Dataset
from training.data.loading import load_dataset
from training.distributed.run_options import RunOptions
from training.run.progress import EpochMetrics
from training.spec.config import DataConfig, TrainConfig
from training.spec.recipes import recipe_config
from training.system.files import write_text_atomically
from training.system.signals import StopRequest

RESULT_FILE = "result.json"
"""What `--json` prints, but for paths; in the folder of the blocks, for `--compare`."""


class BlockProgress(ProgressBar):
    """Shows the steps of a block's training, and a line a block everywhere; a context manager.

    Args:
        ends: Images seen after each block.
    """

    def __init__(self, ends: Sequence[int]) -> None:
        super().__init__("training", BarColumn(), TimeRemainingColumn())
        self._ends = [0, *ends]

    def on_block(self, number: int, total: int, seconds: float | None) -> None:
        """Print which block comes, and how long all that are left will take."""
        start, end = self._ends[number - 1], self._ends[number]
        left = "" if seconds is None else f"; about {console.duration(seconds)} left in all"
        how = f"trains on {start:,} images, then codes" if start else "codes"
        self.print(f"block {number}/{total}: {how} the next {end - start:,}{left}")

    def on_step(self, step: int, num_steps: int) -> None:
        """Move the bar."""
        self.move(step, num_steps)

    def on_epoch(self, metrics: EpochMetrics) -> None:
        """Nothing."""

    def on_note(self, line: str) -> None:
        """Print a line above the bar."""
        self.print(line)


def run_prequential(
    config: TrainConfig,
    folder: Path,
    options: RunOptions,
    *,
    first: int,
    tests: bool,
    again: str,
    plot: Path | None,
    json: bool,
) -> int:
    """Code the labels of a data set by a network that learns from those before, and print it.

    Args:
        config: From `prequential_config`.
        folder: Where blocks are kept.
        options: Where the networks are trained.
        first: Images of the first block.
        tests: Whether to train once more, on all labels, and count the errors on the test images.
        again: The command that goes on where this one is stopped.
        plot: The file of the curve, or None.
        json: Whether to print JSON alone.

    Returns:
        The exit code: 0, or 128 and the number of the signal that stopped it.
    """
    log = console.stderr()
    log.print(f"Loading {config.data.source} ...", markup=False)
    dataset = load_dataset(config.data)
    ends = block_ends(len(dataset.train), first)
    after: AfterAll | None = None
    with BlockProgress(ends) as progress, StopRequest(f"go on with: {again}") as stop:
        blocks = code_prequentially(
            config,
            dataset,
            folder,
            first=first,
            options=options,
            progress=progress,
            stop=stop,
            on_block=progress.on_block,
        )
        if tests and len(blocks) == len(ends):
            progress.print(f"training on all {ends[-1]:,} images, for the test images")
            after = count_test_errors(
                config, dataset, folder, options=options, progress=progress, stop=stop
            )
    if len(blocks) < len(ends) or (tests and after is None):
        log.print(f"Stopped; blocks kept: {len(blocks)}. Go on with: {again}", markup=False)
        return 128 + (stop.signal_number or signal.SIGTERM)
    values = _values(config, dataset, blocks, after)
    text = dumps(values, indent=2, sort_keys=True, allow_nan=False)
    write_text_atomically(folder / RESULT_FILE, text + "\n")
    if plot is not None:
        _draw(config, dataset, blocks, values, plot)
    if json:
        more = {"folder": str(folder), "plot": None if plot is None else str(plot)}
        console.print_json(values | more)
    else:
        next_ = (
            f"{again} --test" if after is None else console.command("codelength", compare=folder)
        )
        _answer(values, blocks, plot, next_=next_)
    return 0


def prequential_config(
    network: str, recipe: str, settings: dict[str, Any], data: DataConfig
) -> TrainConfig:
    """The training of each block, from a recipe and flags; None leaves the recipe's own.

    Raises:
        ConfigError: Settings that do not fit together.
    """
    config = recipe_config(recipe, network, data=data, **settings)
    config.network_spec(image_size=1, num_classes=2, in_channels=1)
    return config


def _values(
    config: TrainConfig, dataset: Dataset, blocks: Sequence[Block], after: AfterAll | None
) -> dict[str, Any]:
    labels = dataset.train.labels.numpy()
    total = sum(block.num_bits for block in blocks)
    uniform = uniform_bits(labels, dataset.num_classes)
    return {
        "network": config.network,
        "method": config.method,
        "data": dataset.name,
        "fingerprint": dataset.fingerprint,
        "num_labels": len(labels),
        "num_classes": dataset.num_classes,
        "total_bits": total,
        "bits_per_label": total / len(labels),
        "uniform_bits": uniform,
        "frequency_bits": frequency_bits(labels, dataset.num_classes),
        "compression_ratio": uniform / total,
        "test_errors": None if after is None else after.num_errors,
        "num_test": None if after is None else after.num_samples,
        "seconds": sum(block.seconds for block in blocks),
        "blocks": [asdict(block) | {"bits_per_label": block.bits_per_label} for block in blocks],
    }


def _answer(
    values: dict[str, Any], blocks: Sequence[Block], plot: Path | None, *, next_: str
) -> None:
    ratio, m = values["compression_ratio"], values["num_labels"]
    console.print_answer(
        f"{values['network']} on {values['data']}: the {m:,} training labels take "
        f"{values['total_bits']:,} bits, {values['bits_per_label']:,.4g} per label, prequentially; "
        "the uniform code takes "
        f"{values['uniform_bits']:,}, {f'{ratio:.1f} times as many' if ratio > 1 else 'no more'}.",
        f"By class frequencies alone: {values['frequency_bits']:,} bits. Trained in "
        f"{console.duration(values['seconds'])}, from scratch for each block.",
        "No network is sent: who decodes trains the same ones, on a machine that repeats them.",
        *_after_line(values),
        *([] if plot is None else [f"Figure: {plot}"]),
        table=console.Rows(
            columns=("images seen", "labels", "bits", "bits per label", "errors"),
            rows=[
                (
                    f"{block.start:,}",
                    f"{block.end - block.start:,}",
                    f"{block.num_bits:,}",
                    f"{block.bits_per_label:.4f}",
                    f"{block.num_errors / (block.end - block.start):.2%}" if block.start else "",
                )
                for block in blocks
            ],
            last=(
                "all",
                f"{m:,}",
                f"{values['total_bits']:,}",
                f"{values['bits_per_label']:.4f}",
                "",
            ),
            num_text_columns=1,
        ),
        next_=[next_],
    )


def _after_line(values: dict[str, Any]) -> list[str]:
    errors, number = values["test_errors"], values["num_test"]
    if errors is None:
        return []
    return [f"Trained on all labels it errs on {errors / number:.2%} of {number:,} test images."]


def _draw(
    config: TrainConfig,
    dataset: Dataset,
    blocks: Sequence[Block],
    values: dict[str, Any],
    plot: Path,
) -> None:
    curve = PrequentialCurve(
        network=config.network,
        title=f"{dataset.name}, {values['num_labels']:,} labels: {values['total_bits']:,} bits",
        ends=tuple(block.end for block in blocks),
        bits_per_label=tuple(block.bits_per_label for block in blocks),
        uniform=values["uniform_bits"] / values["num_labels"],
    )
    with figure_style():
        save_figure(draw_prequential(curve), plot)
