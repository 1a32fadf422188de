"""What `mdl bound` takes from options, and its way with networks whose code is external."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import typer

from analysis.bounds.bounds import ErrorCount, compare_bounds
from analysis.certify.errors import counting_bytes
from analysis.codes.bit_file import load_codeword
from analysis.codes.network_code import Codeword
from analysis.describe.bound_report import BoundReport
from analysis.describe.external_network import describe_tensors
from analysis.describe.external_report import report_external
from analysis.describe.folded_norms import BN_EPS
from analysis.describe.validity import note_given_errors
from analysis.quantize.formats import NumberFormat, find_format
from mdl.terminal import console
from mdl.terminal.answers import answer_external, answer_external_bits
from mdl.terminal.bound_tables import print_external, print_external_bits
from mdl.terminal.options import DEFAULT_DELTA, refuse_options
from mdl.terminal.progress import ReadingProgress
from training.checkpoint.lazy import open_checkpoint
from training.data.image_set import check_network
from training.data.loading import load_dataset
from training.errors import CheckpointError
from training.run.evaluate import EvaluationData, split_dataset
from training.spec.config import DataConfig
from training.tensor_files.open import open_tensor_file

DEFAULT_FORMAT = find_format().name


@dataclass(frozen=True, kw_only=True)
class GivenCounts:
    """What the options say of errors that were counted elsewhere; None where they do not.

    Attributes:
        samples: m.
        train_errors: e on them.
        test_errors: On a test set.
        test_samples: Of it.
    """

    samples: int | None = None
    train_errors: int | None = None
    test_errors: int | None = None
    test_samples: int | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing was given."""
        return self == GivenCounts()

    def read(self, file: Path) -> tuple[ErrorCount, ErrorCount | None]:
        """The errors on the training samples, and on the test set if there is one.

        Args:
            file: What they are needed for.

        Raises:
            typer.Exit: They are missing; why they are needed has been printed.
            typer.BadParameter: They are no counts.
        """
        if self.samples is None or self.train_errors is None:
            console.stderr().print(
                f"error: {file}: without the network's code its errors cannot be counted here; "
                "give --samples M and --train-errors E, counted on its training set with the "
                "decoded network (mdl encode FILE -o net.mdl, mdl decode net.mdl --state-dict "
                "decoded.pt), or --lengths-only",
                markup=False,
            )
            raise typer.Exit(2)
        try:
            train = ErrorCount(num_errors=self.train_errors, num_samples=self.samples)
            if self.test_errors is None and self.test_samples is None:
                return train, None
            if self.test_errors is None or self.test_samples is None:
                raise ValueError("the errors on a test set and its samples must be given together")
            return train, ErrorCount(num_errors=self.test_errors, num_samples=self.test_samples)
        except ValueError as error:
            hint = "--samples, --train-errors, --test-samples, --test-errors"
            raise typer.BadParameter(str(error), param_hint=hint) from error


def choose_format(bits: int | None, number_format: str | None) -> NumberFormat:
    """The set R_b that --bits and --format ask for; bfloat16 if neither does."""
    try:
        return find_format(bits, number_format)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--bits, --format") from error


def refuse_external_options(checkpoint: Path, **options: object) -> None:
    """Refuse options about another program's network where there is none.

    Raises:
        typer.BadParameter: One of them was given.
    """
    refuse_options(options, f"{checkpoint} is not another program's network")


def needed_source(file: Path, source: str | None) -> str:
    """The data set that a file of bits is asked about.

    Raises:
        ValueError: None is named.
    """
    if source is None:
        raise ValueError(f"{file} does not say what data it is about; pass --data")
    return source


def load_own_bits(file: Path) -> Codeword:
    """The network that a file of bits stands for by itself.

    Raises:
        CheckpointError: It cannot be read, or its bits are relative to a prior.
    """
    codeword = load_codeword(file, beside=counting_bytes)
    if codeword.prior_sha256 is not None:
        raise CheckpointError(
            f"{file}: its bits are relative to a prior, and say nothing without it; "
            "mdl certify --prior says what they prove with it"
        )
    return codeword


def load_bit_images(
    codeword: Codeword, source: str, label_column: str | None, *, num_train: int | None = None
) -> EvaluationData:
    """The images of a data set, as the network of a file of bits takes them.

    Args:
        codeword: The file's bits.
        source: The data set.
        label_column: Its column of labels; None for the usual one.
        num_train: The first so many training images; None for all.

    Raises:
        ValueError: The network's code is external, or the images do not fit.
    """
    network, inputs = codeword.message.network, codeword.message.known_inputs
    config = DataConfig(
        source=source, image_size=network.image_size, label_column=label_column, num_train=num_train
    )
    dataset = load_dataset(config)
    check_network(dataset, network)
    return split_dataset(dataset, config, inputs)


def show_external(
    checkpoint: Path,
    number_format: NumberFormat,
    delta: float,
    given: GivenCounts | None,
    *,
    key: str | None,
    fixed: Sequence[str] | None,
    bn_eps: float | None,
    full: bool,
    json: bool,
) -> None:
    """Describe the tensors of a file, and bound their network's error if errors were given.

    Raises:
        typer.Exit: Something makes every bound invalid; it has been printed.
    """
    with open_tensor_file(checkpoint, key) as file, ReadingProgress() as progress:
        train, test = (None, None) if given is None else given.read(checkpoint)
        network = describe_tensors(
            file, bn_eps=BN_EPS if bn_eps is None else bn_eps, fixed=fixed or ()
        )
        report = report_external(
            network,
            number_format,
            delta=delta,
            train=train,
            test=test,
            on_progress=progress.on_bytes,
        )
    same: dict[str, object] = {"bn_eps": bn_eps}
    form = None if number_format.name == DEFAULT_FORMAT else number_format.name
    encode = console.command(
        "encode", checkpoint, out="net.mdl", format=form, key=key, fixed=fixed, **same
    )
    next_ = (encode, console.command("decode", "net.mdl", state_dict="decoded.pt", **same))
    if json:
        console.print_json(report.to_dict())
    elif full:
        print_external(report)
        console.print_next(*next_)
    else:
        answer_external(report, next_=next_)
    if any(finding.severity == "invalid" for finding in report.findings):
        raise typer.Exit(1)


def show_external_bits(
    codeword: Codeword, file: Path, delta: float, given: GivenCounts, *, full: bool, json: bool
) -> None:
    """Bound the error of a network whose tensors were read off a file of bits."""
    train, _ = given.read(file)
    bounds = compare_bounds(train.num_errors, train.num_samples, codeword.num_bits, delta)
    note = note_given_errors(train)
    if json:
        console.print_json(
            {
                "checkpoint": str(file),
                "errors": "given",
                "code": codeword.code,
                "description_bits": codeword.num_bits,
                "ledger": [entry.to_dict() for entry in codeword.ledger.entries],
                "num_errors": train.num_errors,
                "num_samples": train.num_samples,
                "delta": delta,
                "bounds": {"bits": {bound.name: bound.to_dict() for bound in bounds}},
                "bound": bounds[-1].value,
                "findings": [note.to_dict()],
            }
        )
        return
    if full:
        print_external_bits(codeword, train, bounds, note, delta=delta)
    else:
        answer_external_bits(codeword, file.name, train, bounds, note, delta=delta)


def bound_command(checkpoint: Path, **options: object) -> str:
    """`mdl bound` of a checkpoint; of its lengths alone where it does not say what its data are.

    Args:
        checkpoint: A checkpoint of mdl.
        options: Of the command.
    """
    with open_checkpoint(checkpoint) as opened:
        lengths_only = opened.fields.get("data") is None
    return console.command("bound", checkpoint, lengths_only=lengths_only, **options)


def next_commands(
    report: BoundReport,
    file: Path,
    data: str | None,
    place: tuple[str, str | None],
    *,
    is_bits: bool,
    full: bool,
) -> list[str]:
    """What to run after `mdl bound`, about the same network in the same numbers.

    Args:
        report: What it found.
        file: The checkpoint or the file of bits.
        data: What --data said, or None.
        place: Where the images are, and their column of labels if one was named.
        is_bits: Whether it is a file of bits.
        full: Whether all tables have been printed.
    """
    delta = None if report.delta == DEFAULT_DELTA else report.delta
    form = report.number_format.name
    source, column = place
    same: dict[str, object] = {
        "data": data,
        "label_column": column if is_bits else None,
        "format": None if is_bits or form == DEFAULT_FORMAT else form,
        "delta": delta,
    }
    certify = console.command("certify", file, out=console.new_name("cert"), **same)
    others = [] if full else [console.command("bound", file, full=True, **same)]
    if report.bound.beats_guessing(report.spec.num_classes):
        return [certify, *others]
    tight = console.new_name("tight")
    recipe = console.command(
        "compress", recipe="mnist-tight", data=source, label_column=column, out=tight, delta=delta
    )
    if is_bits:
        return [recipe, *others]
    short = console.new_name(f"{file.stem}-short" if file.is_dir() else "short")
    compress = console.command("compress", file, out=short, data=data, delta=delta)
    return [compress, recipe, *others]
