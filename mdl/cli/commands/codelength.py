"""`mdl codelength`: how many bits the labels of a data set take, given its images."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from analysis.codes import CodeChoice
from mdl.terminal.options import (
    BitsOption,
    DeviceOption,
    FormatOption,
    FullOption,
    JsonOption,
    LabelColumnOption,
)
from mdl.terminal.progress import CountProgress

if TYPE_CHECKING:
    from analysis.codes.network_code import Codeword
    from training.run.evaluate import EvaluationData

Split = Literal["train", "validation", "test"]


def codelength(
    network: Annotated[
        Path,
        typer.Argument(
            metavar="CHECKPOINT", help="A checkpoint, the run folder of one, or a file of bits."
        ),
    ],
    data: Annotated[
        str | None,
        typer.Option(metavar="DATA", help="Where the data set lies now; a file of bits needs it."),
    ] = None,
    split: Annotated[Split, typer.Option(help="Whose labels are coded.")] = "train",
    bits: BitsOption = None,
    number_format: FormatOption = None,
    code: Annotated[
        CodeChoice | None, typer.Option(help="The code; auto, the default, takes the shortest.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write the labels' bits to this file.")
    ] = None,
    check: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Decode labels that -o wrote, and compare them with the data's."
        ),
    ] = None,
    label_column: LabelColumnOption = None,
    device: DeviceOption = "auto",
    full: FullOption = False,
    json: JsonOption = False,
) -> None:
    """Print how many bits the labels of images take: the network's, and theirs given it.

    The network is written as bits and decoded, and the labels are written by an
    arithmetic coder with the probabilities that it gives, in integers that are
    the same on every machine. Both are decoded and compared. Beside them stand
    the codes that know no network: uniform, and by the classes' frequencies.
    """
    from analysis.codelength.label_file import load_labels, save_labels
    from analysis.codelength.two_part import measure_two_part, network_logits
    from mdl.cli.codelength import Outcome, show
    from mdl.terminal.devices import choose_device

    chosen_device = choose_device(device)
    codeword, images = _load(network, data, label_column, bits, number_format, code)
    with CountProgress() as progress:
        progress.name("evaluating")
        chosen = getattr(images, split)
        logits = network_logits(
            codeword, chosen.images, device=chosen_device, progress=progress.move
        )
    found = measure_two_part(codeword, chosen, logits)
    if out is not None:
        save_labels(found.labels, out)
    if check is not None:
        num_differing = int((load_labels(check, logits).labels != found.labels.labels).sum())
        if num_differing:
            raise ValueError(
                f"{check}: {num_differing:,} of its {found.num_labels:,} labels are not those of "
                f"{images.name}; was it written with this network and these images?"
            )
    outcome = Outcome(
        found=found, network=network, images=images, split=split, out=out, checked=check
    )
    given = {
        "data": data,
        "label_column": label_column,
        "split": None if split == "train" else split,
        "bits": bits,
        "format": number_format,
        "code": code,
    }
    show(outcome, given, full=full, json=json)


def _load(
    network: Path,
    data: str | None,
    label_column: str | None,
    bits: int | None,
    number_format: str | None,
    code: str | None,
) -> "tuple[Codeword, EvaluationData]":
    """The network in bits, and the images, of a checkpoint or of a file of bits."""
    from analysis.certify.errors import counting_bytes
    from analysis.codes.bit_file import is_bit_file, load_codeword
    from analysis.codes.checkpoint_message import described_codeword
    from mdl.cli.bound import choose_format
    from training.checkpoint.checkpoint import load_checkpoint
    from training.data.image_set import check_network
    from training.data.loading import load_dataset
    from training.run.evaluate import evaluation_data, split_dataset
    from training.spec.config import DataConfig

    if not is_bit_file(network):
        if label_column is not None:
            raise typer.BadParameter(
                f"{network} is not a file of bits", param_hint="--label-column"
            )
        form = choose_format(bits, number_format)
        loaded = load_checkpoint(network)
        images = evaluation_data(loaded, source=data)
        return described_codeword(loaded, form, code or "auto"), images
    given = {"--bits": bits, "--format": number_format, "--code": code}
    if any(given.values()):
        names = ", ".join(name for name, value in given.items() if value)
        raise typer.BadParameter(f"{network} is a file of bits already", param_hint=names)
    if data is None:
        raise ValueError(f"{network} does not say what data it is about; pass --data")
    codeword = load_codeword(network, beside=counting_bytes)
    spec, inputs = codeword.message.network, codeword.message.known_inputs
    config = DataConfig(source=data, image_size=spec.image_size, label_column=label_column)
    dataset = load_dataset(config)
    check_network(dataset, spec)
    return codeword, split_dataset(dataset, config, inputs)
