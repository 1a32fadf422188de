"""`mdl codelength`: how many bits the labels of a data set take, given its images."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from analysis.codes import CodeChoice
from mdl.terminal import console
from mdl.terminal.options import (
    BaseChannelsOption,
    BatchSizeOption,
    BitsOption,
    Device,
    DeviceOption,
    FormatOption,
    FullOption,
    HiddenUnitsOption,
    ImageSizeOption,
    JsonOption,
    LabelColumnOption,
    NumTrainOption,
    complete_network,
    parse_shrinkage,
    refuse_options,
)
from mdl.terminal.progress import CountProgress
from training.spec.config import Method, Precision
from training.spec.recipes import RecipeName

if TYPE_CHECKING:
    from analysis.codes.network_code import Codeword
    from training.run.evaluate import EvaluationData

Split = Literal["train", "validation", "test"]
PREQUENTIAL = "Prequential: a network that learns as it codes"


def codelength(
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
    split: Annotated[
        Split | None, typer.Option(help="Whose labels are coded (default: train).")
    ] = None,
    bits: BitsOption = None,
    number_format: FormatOption = None,
    code: Annotated[
        CodeChoice | None, typer.Option(help="The code; auto, the default, takes the shortest.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="Write the labels' bits to this file; with --prequential: the folder of blocks.",
        ),
    ] = None,
    check: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Decode labels that -o wrote, and compare them with the data's."
        ),
    ] = None,
    label_column: LabelColumnOption = None,
    prequential: Annotated[
        str | None,
        typer.Option(
            metavar="NETWORK",
            help="Train this network on the labels so far, from scratch for each block.",
            autocompletion=complete_network,
            rich_help_panel=PREQUENTIAL,
        ),
    ] = None,
    first: Annotated[
        int | None,
        typer.Option(
            min=2,
            help="Labels of the first block; the others double (default: 128).",
            rich_help_panel=PREQUENTIAL,
        ),
    ] = None,
    test: Annotated[
        bool,
        typer.Option(
            "--test",
            help="Train once more, on all labels, and count the errors on the test images.",
            rich_help_panel=PREQUENTIAL,
        ),
    ] = False,
    compare: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FOLDER",
            help="Set folders of blocks side by side, each made with --test: codelengths and test "
            "errors. Once for each folder.",
            rich_help_panel=PREQUENTIAL,
        ),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            help="Draw bits per label by images seen, or with --compare by test error, into a .png "
            "or .pdf file.",
            rich_help_panel=PREQUENTIAL,
        ),
    ] = None,
    recipe: Annotated[
        RecipeName | None,
        typer.Option(help="As mdl train has it (default: quick).", rich_help_panel=PREQUENTIAL),
    ] = None,
    method: Annotated[
        Method | None, typer.Option(help="As mdl train has it.", rich_help_panel=PREQUENTIAL)
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(
            help="Passes over the images so far (quick: 60).", rich_help_panel=PREQUENTIAL
        ),
    ] = None,
    lr: Annotated[
        float | None, typer.Option(help="As mdl train has it.", rich_help_panel=PREQUENTIAL)
    ] = None,
    shrinkage: Annotated[
        str | None,
        typer.Option(metavar="X[,Y]", help="As mdl train has it.", rich_help_panel=PREQUENTIAL),
    ] = None,
    crop: Annotated[
        int | None, typer.Option(help="As mdl train has it.", rich_help_panel=PREQUENTIAL)
    ] = None,
    precision: Annotated[
        Precision | None, typer.Option(help="As mdl train has it.", rich_help_panel=PREQUENTIAL)
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            help="Seed of training, and of the images' order (default: 0).",
            rich_help_panel=PREQUENTIAL,
        ),
    ] = None,
    batch_size: BatchSizeOption = None,
    base_channels: BaseChannelsOption = None,
    hidden_units: HiddenUnitsOption = None,
    image_size: ImageSizeOption = None,
    num_train: NumTrainOption = None,
    device: DeviceOption = "auto",
    full: FullOption = False,
    json: JsonOption = False,
) -> None:
    """Print how many bits the labels of images take: the network's, and theirs given it.

    The network is written as bits and decoded, and the labels are written by an
    arithmetic coder with the probabilities that it gives, in integers that are
    the same on every machine. Both are decoded and compared. Beside them stand
    the codes that know no network: uniform, and by the classes' frequencies.

    With --prequential NETWORK no network is sent: labels come in blocks that
    double, each coded by a network trained on those before. Blocks are kept in
    the folder of --out, and the same command goes on after a stop. --compare sets
    such folders side by side: codelength against test error.
    """
    training = {
        "recipe": recipe,
        "method": method,
        "epochs": epochs,
        "lr": lr,
        "shrinkage": shrinkage,
        "crop": crop,
        "precision": precision,
        "seed": seed,
        "batch_size": batch_size,
        "base_channels": base_channels,
        "hidden_units": hidden_units,
    }
    sizes = {"image_size": image_size, "num_train": num_train}
    two_part = {
        "checkpoint": network,
        "split": split,
        "bits": bits,
        "format": number_format,
        "code": code,
        "check": check,
        "full": full or None,
    }
    blocks = {"first": first, "test": test or None, **training, "image_size": image_size}
    if compare:
        others: dict[str, object] = {"data": data, "out": out, "label_column": label_column}
        others |= {"prequential": prequential, "num_train": num_train, **two_part, **blocks}
        refuse_options(others, "does not go with --compare")
        from mdl.cli.codelength_comparison import compare_codelengths

        _check_plot(plot)
        compare_codelengths(compare, plot, json=json)
        return
    if prequential is not None:
        refuse_options(two_part, "does not go with --prequential")
        if out is None:
            raise typer.BadParameter("--prequential needs a folder", param_hint="--out")
        place = {"source": data, "label_column": label_column, **sizes}
        raise typer.Exit(
            _prequential(
                prequential, out, first, plot, training, place, device, tests=test, json=json
            )
        )
    refuse_options({"plot": plot, **blocks}, "goes with --prequential")
    if network is None:
        raise typer.BadParameter("give one, or --prequential NETWORK", param_hint="CHECKPOINT")
    split = split or "train"
    from analysis.codelength.label_file import load_labels, save_labels
    from analysis.codelength.two_part import measure_two_part, network_logits
    from mdl.cli.codelength import Outcome, show
    from mdl.terminal.devices import choose_device

    chosen_device = choose_device(device)
    codeword, images = _load(network, data, label_column, num_train, bits, number_format, code)
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
        "num_train": num_train,
        "split": None if split == "train" else split,
        "bits": bits,
        "format": number_format,
        "code": code,
    }
    show(outcome, given, full=full, json=json)


def _prequential(
    network: str,
    out: Path,
    first: int | None,
    plot: Path | None,
    training: dict[str, Any],
    place: dict[str, Any],
    device: Device,
    *,
    tests: bool,
    json: bool,
) -> int:
    """Code prequentially; the exit code."""
    from mdl.cli.prequential import prequential_config, run_prequential
    from mdl.terminal.devices import choose_device
    from training.distributed.run_options import RunOptions
    from training.run.precision import choose_precision
    from training.spec.config import DataConfig

    _check_plot(plot)
    given = {**training, **{name: value for name, value in place.items() if name != "source"}}
    again = console.command(
        "codelength",
        prequential=network,
        data=place["source"],
        out=out,
        first=first,
        test=tests or None,
        plot=plot,
        device=None if device == "auto" else device,
        **given,
    )
    chosen = choose_device(device)
    settings = {name: value for name, value in training.items() if name != "recipe"}
    settings["precision"] = settings["precision"] or choose_precision(chosen)[0]
    if settings["shrinkage"] is not None:
        settings["shrinkage"] = parse_shrinkage(settings["shrinkage"])
    known = {name: value for name, value in place.items() if value is not None}
    config = prequential_config(
        network, training["recipe"] or "quick", settings, DataConfig(**known)
    )
    options = RunOptions(device=chosen)
    options.check(config)
    return run_prequential(
        config, out, options, first=first or 128, tests=tests, again=again, plot=plot, json=json
    )


def _check_plot(plot: Path | None) -> None:
    """Refuse a picture of an unknown kind before any work is done."""
    from figures.style.look import check_figure_path

    if plot is None:
        return
    try:
        check_figure_path(plot)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--plot") from error


def _load(
    network: Path,
    data: str | None,
    label_column: str | None,
    num_train: int | None,
    bits: int | None,
    number_format: str | None,
    code: str | None,
) -> "tuple[Codeword, EvaluationData]":
    """The network in bits, and the images, of a checkpoint or of a file of bits."""
    from analysis.codes.bit_file import is_bit_file
    from analysis.codes.checkpoint_message import described_codeword
    from mdl.cli.bound import choose_format, load_bit_images, load_own_bits, needed_source
    from training.checkpoint.checkpoint import load_checkpoint
    from training.run.evaluate import evaluation_data

    if not is_bit_file(network):
        only_bits = {"label_column": label_column, "num_train": num_train}
        refuse_options(only_bits, f"{network} is not a file of bits")
        form = choose_format(bits, number_format)
        loaded = load_checkpoint(network)
        images = evaluation_data(loaded, source=data)
        return described_codeword(loaded, form, code or "auto"), images
    refuse_options(
        {"bits": bits, "format": number_format, "code": code},
        f"{network} is a file of bits already",
    )
    codeword = load_own_bits(network)
    source = needed_source(network, data)
    return codeword, load_bit_images(codeword, source, label_column, num_train=num_train)
