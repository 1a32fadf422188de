"""`mdl certify`: a network's bits, its errors, and what they prove, for anyone to re-check."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mdl.cli.commands.encode import Code
from mdl.terminal import console
from mdl.terminal.certificate_tables import print_certificate
from mdl.terminal.options import (
    BitsOption,
    DeltaOption,
    Device,
    DeviceOption,
    FormatOption,
    JsonOption,
)
from mdl.terminal.progress import CountProgress

if TYPE_CHECKING:
    from analysis.certify.images import CertifiedData, CertifiedImages
    from analysis.codes.network_code import Codeword
    from training.spec.config import DataConfig

_OF_BITS = "for a file of bits"


def certify(
    network: Annotated[
        Path,
        typer.Argument(
            metavar="CHECKPOINT", help="A checkpoint, the run folder of one, or a file of bits."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The new folder of the certificate.")],
    data: Annotated[
        str | None, typer.Option(help="Where the data set lies now; a file of bits needs it.")
    ] = None,
    bits: BitsOption = None,
    number_format: FormatOption = None,
    code: Annotated[
        Code | None, typer.Option(help="The code; auto, the default, takes the shortest.")
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
        int | None, typer.Option(min=0, help=f"Seed of glyphs and of validation, {_OF_BITS}.")
    ] = None,
    device: DeviceOption = Device.auto,
    json: JsonOption = False,
) -> None:
    """Write a certificate: a folder with the network's bits and what they prove.

    The bits are decoded, the errors of the decoded network are counted on the m
    training images, and the binomial tail bounds its true error.
    """
    from analysis.certify.certificate import make_certificate
    from analysis.certify.folder import check_folder, write_certificate
    from analysis.codes.frame import is_bit_file
    from mdl.cli.bound.bit_file import bit_file_config
    from mdl.terminal.devices import choose_device

    check_folder(out)
    chosen_device = choose_device(device)
    drawn = {
        "--num-train": num_train,
        "--num-test": num_test,
        "--validation": validation,
        "--data-seed": data_seed,
    }
    if is_bit_file(network):
        _refuse_options(
            {"--bits": bits, "--format": number_format, "--code": code}, "is a file of bits already"
        )
        from analysis.codes.bit_file import load_codeword

        codeword = load_codeword(network)
        config = bit_file_config(
            codeword,
            network,
            data,
            num_train=num_train,
            num_test=num_test,
            validation=validation or 0,
            seed=data_seed or 0,
        )
        record, images = _load(config, None, count_validation)
    else:
        _refuse_options(drawn, "is a checkpoint, which says itself what data it was trained on")
        codeword = _encode(network, bits, number_format, code or Code.auto, shorten=shorten)
        record, images = _load_recorded(network, data, count_validation)
    with CountProgress() as progress:
        certificate = make_certificate(
            codeword, record, images, delta=delta, device=chosen_device, progress=progress.move
        )
    write_certificate(certificate, codeword, out)
    if json:
        console.print_json({"certificate": str(out)} | certificate.to_dict())
        return
    print_certificate(certificate)
    is_glyphs = certificate.data.name == "glyphs"
    console.print_next(f"mdl verify {out}" + ("" if is_glyphs else f" --data {data or 'DATA'}"))


def _refuse_options(options: Mapping[str, object], reason: str) -> None:
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise typer.BadParameter(f"the file {reason}", param_hint=", ".join(given))


def _encode(
    path: Path, bits: int | None, number_format: str | None, code: Code, *, shorten: bool
) -> "Codeword":
    """The codeword as the decoder gives it back."""
    from analysis.codes.bit_file import decode_whole
    from analysis.codes.network_code import encode_network
    from mdl.cli.bound.messages import read_message

    message = read_message(path, bits=bits, number_format=number_format, canonical=shorten)
    return decode_whole(encode_network(message, code.value).data)


def _load_recorded(
    path: Path, data: str | None, count_validation: bool
) -> "tuple[CertifiedData, CertifiedImages]":
    """The images that a checkpoint names, and no others."""
    from training.checkpoint.checkpoint import load_checkpoint
    from training.errors import CheckpointError
    from training.spec.config import DataConfig

    record = load_checkpoint(path).data
    if record is None:
        raise CheckpointError(
            f"{path}: it does not say what data it was trained on, so m is not known; use a "
            "checkpoint that mdl train wrote"
        )
    config = DataConfig(**record.config)
    config = replace(config, source=data or config.source)
    found, images = _load(config, record.fingerprint, count_validation)
    expected = record.num_samples + (record.num_validation if count_validation else 0)
    if len(images.samples) != expected:
        raise CheckpointError(
            f"{path}: it says that training saw {record.num_samples} images, but its data set has "
            f"{len(images.samples)} for it; the errors cannot be counted"
        )
    return found, images


def _load(
    config: "DataConfig", fingerprint: str | None, count_validation: bool
) -> "tuple[CertifiedData, CertifiedImages]":
    from analysis.certify.images import load_images
    from training.errors import DataError

    found, images = load_images(config, count_validation=count_validation)
    if fingerprint is not None and found.fingerprint != fingerprint:
        raise DataError(
            f"{config.source}: these are not the images that the checkpoint was trained on "
            f"(fingerprint {fingerprint[:12]}, not {found.fingerprint[:12]}); pass --data with "
            "the original data set"
        )
    return found, images
