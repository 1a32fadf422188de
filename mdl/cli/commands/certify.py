"""`mdl certify`: a network's bits, its errors, and what they prove, for anyone to re-check."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from analysis.codes import CodeChoice
from mdl.terminal import console
from mdl.terminal.options import (
    BitsOption,
    DeltaOption,
    DeviceOption,
    FormatOption,
    FullOption,
    JsonOption,
    LabelColumnOption,
    PriorOption,
    refuse_options,
)
from mdl.terminal.progress import CountProgress

_OF_BITS = "for a file of bits"
TARGET = "Any classifier"
Split = Literal["test", "validation", "training"]


def certify(
    out: Annotated[Path, typer.Option("--out", "-o", help="The new folder of the certificate.")],
    network: Annotated[
        Path | None,
        typer.Argument(
            metavar="CHECKPOINT", help="A checkpoint, the run folder of one, or a file of bits."
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(metavar="DATA", help="Where the data set lies now; a file of bits needs it."),
    ] = None,
    bits: BitsOption = None,
    number_format: FormatOption = None,
    code: Annotated[
        CodeChoice | None, typer.Option(help="The code; auto, the default, takes the shortest.")
    ] = None,
    shorten: Annotated[
        bool,
        typer.Option(
            "--shorten/--as-it-is", help="First make it shorter without changing its function."
        ),
    ] = True,
    delta: DeltaOption = 0.05,
    count_validation: Annotated[
        bool,
        typer.Option(
            "--count-validation", help="Validation images are among the m samples; decide first."
        ),
    ] = False,
    held_out: Annotated[
        Split | None,
        typer.Option(help="You state: these images had no part in training or choosing."),
    ] = None,
    images: Annotated[
        str | None, typer.Option(metavar="DATA", help="Data set of --held-out, if another one.")
    ] = None,
    target: Annotated[
        Path | None,
        typer.Option(
            metavar="PREDICTIONS",
            help="Any classifier's, on --held-out: a .csv, .npz or .parquet of class numbers or "
            "names.",
            rich_help_panel=TARGET,
        ),
    ] = None,
    surrogate: Annotated[
        Path | None,
        typer.Option(
            metavar="CHECKPOINT",
            help="The short network by way of which the target is bounded, for CHECKPOINT.",
            rich_help_panel=TARGET,
        ),
    ] = None,
    prior: PriorOption = None,
    label_column: LabelColumnOption = None,
    num_train: Annotated[
        int | None, typer.Option(min=1, help=f"First N training images, {_OF_BITS}.")
    ] = None,
    num_test: Annotated[
        int | None, typer.Option(min=1, help=f"First N test images, {_OF_BITS}.")
    ] = None,
    validation: Annotated[
        int | None, typer.Option(min=0, help=f"Training images held out, {_OF_BITS}.")
    ] = None,
    data_seed: Annotated[
        int | None,
        typer.Option(min=0, help=f"Seed of generated images and of validation, {_OF_BITS}."),
    ] = None,
    device: DeviceOption = "auto",
    full: FullOption = False,
    json: JsonOption = False,
) -> None:
    """Write a certificate: a folder with the network's bits and what they prove.

    The bits are decoded, the errors of the decoded network are counted on the m
    training images, and the binomial tail bounds its true error. With --held-out
    the bound is the better of this one and of that by errors on held-out images,
    each at δ/2. Any other classifier is bounded as it is, from its predictions on
    these images: by the surrogate's bound, and how often the two differ.

    With --prior the bits are the difference from a network that has not seen the
    counted images. If it was trained with --validation N on this data set, these
    N alone are counted.
    """
    from analysis.certify.certify import certify as make_certificate
    from analysis.certify.folder import check_folder
    from analysis.codes.bit_file import is_bit_file
    from mdl.cli.bound import choose_format
    from mdl.terminal.answers import answer_certificate
    from mdl.terminal.bound_tables import print_certificate
    from mdl.terminal.devices import choose_device
    from mdl.terminal.fresh_answers import answer_fresh
    from training.spec.config import GENERATED, DataConfig

    network = _named_network(network, target, surrogate)
    check_folder(out)
    chosen_device = choose_device(device)
    place: DataConfig | str | None = data
    if is_bit_file(network):
        refuse_options(
            {"bits": bits, "format": number_format, "code": code},
            f"{network} is a file of bits already",
        )
        if data is None:
            raise ValueError(f"{network} does not say what data it is about; pass --data")
        place = DataConfig(
            source=data,
            label_column=label_column,
            num_train=num_train,
            num_test=num_test,
            validation=validation or 0,
            seed=data_seed or 0,
        )
    else:
        drawn = {
            "label_column": label_column,
            "num_train": num_train,
            "num_test": num_test,
            "validation": validation,
            "data_seed": data_seed,
        }
        refuse_options(
            drawn, f"{network} is a checkpoint, which says itself what data it was trained on"
        )
    choose_format(bits, number_format)  # refuses a bad pair by the options' names
    with CountProgress() as progress:
        certificate = make_certificate(
            network,
            data=place,
            folder=out,
            bits=bits,
            number_format=number_format,
            code=code or "auto",
            canonical=shorten,
            delta=delta,
            count_validation=count_validation,
            held_out=held_out,
            images=images,
            target=target,
            prior=prior,
            device=chosen_device,
            progress=progress.move,
        )
    if json:
        extra = {"certificate": str(out), "num_repeated": certificate.num_repeated}
        console.print_json(extra | certificate.to_dict())
        return
    source, column = (data, label_column)
    if not is_bit_file(network) and certificate.data.name not in GENERATED:
        recorded = _recorded_data(network)
        source, column = data or recorded["source"], recorded["label_column"]
    next_ = [console.command("verify", out, data=source, images=images, label_column=column)]
    way_out = ""
    is_weak = certificate.bound > 1 - 1 / certificate.spec.num_classes
    if is_weak and certificate.fresh is None and prior is None and not is_bit_file(network):
        way_out = " mdl compress shortens it."
        short = console.new_name(f"{network.stem}-short" if network.is_dir() else "short")
        next_.insert(0, console.command("compress", network, out=short, data=data))
    if full:
        print_certificate(certificate)
    if certificate.fresh is not None:
        name = "the target" if target is None else target.name
        answer_fresh(certificate, str(out), target=name, next_=next_)
    elif full:
        console.print_next(*next_)
    else:
        answer_certificate(certificate, str(out), way_out=way_out, next_=next_)


def _named_network(network: Path | None, target: Path | None, surrogate: Path | None) -> Path:
    """The network whose bits are counted: the one to certify, or the target's surrogate."""
    if (target is None) != (surrogate is None):
        raise typer.BadParameter(
            "a target and its surrogate go together", param_hint="--target, --surrogate"
        )
    if network is not None and surrogate is not None:
        raise typer.BadParameter(
            f"the target is bounded by way of {surrogate}; leave out {network}",
            param_hint="CHECKPOINT",
        )
    found = network or surrogate
    if found is None:
        raise typer.BadParameter(
            "give one, or --target PREDICTIONS --surrogate CHECKPOINT", param_hint="CHECKPOINT"
        )
    return found


def _recorded_data(checkpoint: Path) -> dict[str, Any]:
    """How the images were loaded in training; the certificate itself does not say."""
    from training.checkpoint.checkpoint import load_checkpoint

    return load_checkpoint(checkpoint).known_data.config
