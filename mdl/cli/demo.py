"""What `mdl demo` does: trains three networks, compresses one, certifies it, draws a page."""

import math
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from rich.progress import BarColumn, TimeElapsedColumn

from analysis.bounds.bounds import percent_up
from analysis.certify.certificate import Certificate
from analysis.certify.certify import certify
from analysis.certify.folder import check_folder
from analysis.certify.verify import verify
from analysis.compress.compression import Progress as CompressProgress
from analysis.compress.qat_training import QATEpoch
from analysis.quantize.formats import find_format
from mdl.cli.compress import BITS_FILE, CHECKPOINT_FILE, compression_report, write_compression
from mdl.cli.compress_jobs import Wishes, plan_checkpoint
from mdl.report.measurements import MeasuredRun, measure_run
from mdl.report.overview import METHODS, summarize_run
from mdl.report.page import write_page
from mdl.report.run_files import read_runs
from mdl.terminal import console
from mdl.terminal.bound_tables import is_vacuous
from mdl.terminal.progress import ProgressBar
from training.data.loading import Dataset, load_dataset
from training.distributed.run_options import RunOptions
from training.errors import TrainingError
from training.run.loop import run_training
from training.run.progress import EpochMetrics
from training.run.provenance import collect_versions
from training.run.run_folder import new_run_folder
from training.spec.config import DataConfig, Method, TrainConfig
from training.spec.recipes import recipe_config
from training.system.files import write_text_atomically

REPORT_FILE = "report.html"
CERTIFICATE = "certificate"
SHORT = "short"
DELTA = 0.05
_STEPS = 6
_IMAGE_SIZE, _NUM_TRAIN, _NUM_TEST, _CROP = 12, 30_000, 2_000, 1
_WIDTH, _EPOCHS, _BATCH_SIZE = 2, 9, 128
_SHORT_EPOCHS, _SHORT_BATCH, _SHORT_LR = 4, 64, 0.02
_BITS, _SHORT_BITS = 16, 8
_CLOSE = 2 * math.sqrt(0.5 / _NUM_TEST)  # accuracies: two deviations of a difference, at most
_ABOUT = (
    "Three networks of mdl train on the same drawn digits: s-conv is convolutional by design, the "
    "units of s-fc see all pixels. Compare its bits and filters by SGD and by β-lasso. The last, "
    "short, is s-conv after mdl compress: few bits, and what they prove about its true error."
)
_NETWORKS: tuple[tuple[str, Method, str], ...] = (
    ("s-conv", "sgd", "units see nearby pixels, by design"),
    ("s-fc", "sgd", "as wide, but every unit sees every pixel"),
    ("s-fc", "beta-lasso", "a weight stays only if it helps"),
)


@dataclass(frozen=True, kw_only=True)
class TrainedRow:
    """One of the three networks in a row.

    Attributes:
        title: Network and method.
        test_accuracy: A fraction.
        num_nonzeros: Of its first layer.
        num_weights: Likewise.
        description_bits: Of its shortest description at 16 bits a number.
        radius_ratio: Half-mass radius of its filters over that of chance, the median; None where
            no filter has enough nonzeros.
        bound: On its true error; at 1 it is vacuous. None where it was not computed.
    """

    title: str
    test_accuracy: float
    num_nonzeros: int
    num_weights: int
    description_bits: int
    radius_ratio: float | None
    bound: float | None


@dataclass(frozen=True, kw_only=True)
class Demonstration:
    """What the demo found: the three networks, and the certificate of the short one."""

    trained: tuple[TrainedRow, ...]
    certificate: Certificate

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "trained": [asdict(row) for row in self.trained],
            "certificate": self.certificate.to_dict(),
        }


class _Bar(ProgressBar, CompressProgress):
    """The bar of one step: told of a training, of a compression and of images counted."""

    requested = False  # nobody asks the training to stop: Ctrl-C ends it

    def __init__(self) -> None:
        super().__init__("", BarColumn(), TimeElapsedColumn())
        self._num_begun = 0

    def begin(self, words: str) -> None:
        """Print what the next step shows."""
        self._num_begun += 1
        self.print(f"{self._num_begun}/{_STEPS} {words}")
        self.move(0, 1)

    def on_step(self, step: int, num_steps: int) -> None:
        """Of a training."""
        self.move(step, num_steps)

    def on_epoch(self, metrics: EpochMetrics | QATEpoch, num_epochs: int = 0) -> None:
        """Of a training, whose steps move the bar, or of a compression."""
        if num_epochs:
            self.move(metrics.epoch, num_epochs)

    def on_note(self, line: str) -> None:
        """Nothing: the demo's lines are counted."""

    def on_count(self, done: int, total: int) -> None:
        """Of errors counted exactly."""
        self.move(done, total)


def demonstrate(out: Path, *, seed: int) -> Demonstration:
    """Train, compress, certify, verify and write the page, all in a new folder.

    The folder appears whole or not at all.

    Raises:
        OSError: The folder is there and not empty, or it cannot be written.
        TrainingError: The certificate did not verify.
    """
    check_folder(out)
    torch.set_num_threads(1)  # products this small lose more by waiting than they gain
    data = DataConfig(image_size=_IMAGE_SIZE, num_train=_NUM_TRAIN, num_test=_NUM_TEST, seed=seed)
    with _moved_when_whole(out) as folder, _Bar() as bar:
        bar.begin(f"Drawing {_NUM_TRAIN + _NUM_TEST:,} pictures of digits on cluttered backgrounds")
        dataset = load_dataset(data)
        runs = [
            _train(folder, config, dataset, words, bar) for config, words in _configs(data, seed)
        ]
        bar.begin("Compressing s-conv: its weights become -1, 0 or 1 times a step")
        _compress(runs[0], folder / SHORT, seed, bar)
        bar.begin("Certifying: decode the bits, count errors, bound; then verify from scratch")
        certificate = certify(
            folder / SHORT / BITS_FILE,
            data=data,
            folder=folder / CERTIFICATE,
            delta=DELTA,
            progress=bar.move,
        )
        verification = verify(folder / CERTIFICATE, progress=bar.move)
        if not verification.ok:
            raise TrainingError("; ".join(verification.differences))
        *trained, short = _measure([*runs, folder / SHORT / CHECKPOINT_FILE])
        page = write_page([*trained, short], "mdl demo", _ABOUT)
        write_text_atomically(folder / REPORT_FILE, page)
    return Demonstration(trained=tuple(map(_row, trained)), certificate=certificate)


def _configs(data: DataConfig, seed: int) -> Iterator[tuple[TrainConfig, str]]:
    """The three trainings, each with what is to be said of it."""
    for network, method, words in _NETWORKS:
        config = recipe_config(
            "quick",
            network,
            data=data,
            crop=_CROP,
            method=method,
            base_channels=_WIDTH,
            epochs=_EPOCHS,
            batch_size=_BATCH_SIZE,
            precision="fp32",
            seed=seed,
        )
        yield config, words


def _train(folder: Path, config: TrainConfig, dataset: Dataset, words: str, bar: _Bar) -> Path:
    """Train one network; its run folder."""
    bar.begin(f"Training {config.network} by {METHODS[config.method]}: {words}")
    out = folder / f"{config.network}-{config.method}"
    with new_run_folder(config.network, out=out) as run:
        run.write_config({"config": config.to_dict(), "versions": collect_versions()})
        run_training(
            config=config, dataset=dataset, folder=run, options=RunOptions(), progress=bar, stop=bar
        )
    return run.path


def _compress(run: Path, folder: Path, seed: int, bar: _Bar) -> None:
    """Compress a trained network, and write what `mdl compress` writes."""
    wishes = Wishes(
        epochs=_SHORT_EPOCHS,
        levels=(1,),
        batch_size=_SHORT_BATCH,
        lr=_SHORT_LR,
        trials=0,
        width=None,
        seed=seed,
        delta=DELTA,
        precision="fp32",
    )
    job = plan_checkpoint(run, None, find_format(_SHORT_BITS, None), wishes)
    compression = job.run(bar)
    report = compression_report(job, compression) | {"seed": seed, "recipe": None}
    write_compression(folder, job, compression, report, plot=False)


def _measure(paths: Sequence[Path]) -> list[MeasuredRun]:
    """Filters, bits and bounds of each run; the last is the short network."""
    *runs, short = read_runs(paths)
    runs.append(replace(short, name=SHORT))
    return [
        measure_run(
            run,
            find_format(_SHORT_BITS if run.name == SHORT else _BITS, None),
            source=None,
            with_bound=True,
            device="cpu",
            tell=lambda _: None,
        )
        for run in runs
    ]


@contextmanager
def _moved_when_whole(out: Path) -> Iterator[Path]:
    """A new folder beside `out` that takes its place at the end, or is gone."""
    target = out.resolve()
    folder = target.with_name(f".{target.name}.{secrets.token_hex(6)}.tmp")
    try:
        folder.mkdir()
        yield folder
        folder.replace(target)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _row(measured: MeasuredRun) -> TrainedRow:
    summary, checkpoint = summarize_run(measured), measured.run.checkpoint
    if checkpoint is None:
        raise TrainingError(f"{measured.run.name} left no checkpoint")
    first, metrics = checkpoint.network.layers[0], checkpoint.metrics
    return TrainedRow(
        title=f"{checkpoint.network.name} by {METHODS[measured.run.config['method']]}",
        test_accuracy=1 - metrics["test_errors"] / metrics["num_test"],
        num_nonzeros=checkpoint.num_nonzeros[first.name],
        num_weights=first.num_weights,
        description_bits=summary["description_bits"],
        radius_ratio=summary["filter_ratio"],
        bound=summary["bound"],
    )


def print_demonstration(found: Demonstration, out: Path) -> None:
    """Print what is proved, the three networks, what they show, and what to run next."""
    output = console.stdout()
    for line in answer(found.certificate):
        output.print(line, markup=False)
    console.print_table(
        "The three trained networks; bits: of their description, in 16-bit numbers",
        ("network", "test accuracy", "layer 1 nonzeros", "bits", "radius/chance"),
        [
            (
                row.title,
                f"{row.test_accuracy:.2%}",
                f"{row.num_nonzeros:,}",
                f"{row.description_bits:,}",
                "" if row.radius_ratio is None else f"{row.radius_ratio:.2f}",
            )
            for row in found.trained
        ],
    )
    for line in findings(found.trained):
        output.print(line, markup=False)
    output.print(f"Filters and bits in pictures: {out / REPORT_FILE}", markup=False)
    console.print_next(
        console.command("verify", out / CERTIFICATE),
        console.command("bound", out / "s-fc-beta-lasso"),
        console.command("train", "s-fc"),
    )


def answer(made: Certificate) -> list[str]:
    """What the certificate proves, then what the test images and a guess come to."""
    bits, guessing = f"{made.description_bits:,} bits", 1 - 1 / made.spec.num_classes
    if is_vacuous(made.bound):
        lines = [f"Vacuous: {bits} prove nothing about the true error of the network."]
    else:
        lines = [
            f"A network of {bits}: with probability {1 - made.delta:.0%} its true error is at most "
            f"{percent_up(made.bound)}."
        ]
    if made.test is not None:
        error = made.test.num_errors / made.test.num_samples
        lines.append(
            f"That took no test images; on {made.test.num_samples:,} of them its error is "
            f"{error:.2%} (guessing: {guessing:.0%})."
        )
    return lines


def findings(rows: Sequence[TrainedRow]) -> list[str]:
    """What the three networks show, no more than their numbers say.

    Args:
        rows: s-conv, s-fc by SGD, s-fc by β-lasso.
    """
    _, sgd, lasso = rows
    ratio = sgd.description_bits / lasso.description_bits
    if ratio > 1:
        lines = [f"β-lasso's description of s-fc is {ratio:.1f} times shorter than SGD's."]
    else:
        lines = ["β-lasso's description of s-fc is no shorter than SGD's here."]
    if sgd.radius_ratio is None or lasso.radius_ratio is None:
        lines.append("Too few weights are left to say how local its filters are.")
    elif lasso.radius_ratio < sgd.radius_ratio:
        lines.append("Its filters are more local, though nothing tells it which pixels are near.")
    else:
        lines.append("Its filters are no more local here.")
    gain = lasso.test_accuracy - sgd.test_accuracy
    if abs(gain) < _CLOSE:
        lines.append("It is right as often, as far as so few test images can tell.")
    elif gain > 0:
        lines.append("It is right more often, too, as in the paper.")
    else:
        lines.append("It is right less often here; in the paper, with more training, more often.")
    return lines
