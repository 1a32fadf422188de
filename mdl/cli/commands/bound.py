"""`mdl bound`: a checkpoint's description length and what it proves about the true error."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mdl.terminal import console
from mdl.terminal.options import (
    OTHERS,
    BitsOption,
    BnEpsOption,
    CheckpointArgument,
    DeltaOption,
    Device,
    DeviceOption,
    FixedOption,
    FormatOption,
    FullOption,
    JsonOption,
    KeyOption,
    LabelColumnOption,
    refuse_options,
)

if TYPE_CHECKING:
    from analysis.describe.bound_report import BoundReport
    from analysis.quantize.formats import NumberFormat
    from mdl.cli.bound import GivenCounts
    from training.checkpoint.checkpoint import Checkpoint
    from training.run.evaluate import EvaluationData


def bound(
    checkpoint: CheckpointArgument,
    bits: BitsOption = None,
    number_format: FormatOption = None,
    delta: DeltaOption = 0.05,
    data: Annotated[
        str | None, typer.Option(metavar="DATA", help="Where the same data set lies now.")
    ] = None,
    label_column: LabelColumnOption = None,
    device: DeviceOption = "auto",
    plot: Annotated[
        Path | None, typer.Option(help="Draw where the bits go, into a .png or .pdf file.")
    ] = None,
    lengths_only: Annotated[
        bool,
        typer.Option(
            "--lengths-only", help="Counts and lengths alone, in one pass over the file; no data."
        ),
    ] = False,
    samples: Annotated[
        int | None,
        typer.Option(help="m, training samples behind --train-errors.", rich_help_panel=OTHERS),
    ] = None,
    train_errors: Annotated[
        int | None,
        typer.Option(
            help="Errors of the decoded network (mdl encode, mdl decode --state-dict) on them.",
            rich_help_panel=OTHERS,
        ),
    ] = None,
    test_errors: Annotated[
        int | None, typer.Option(help="Its errors on a test set.", rich_help_panel=OTHERS)
    ] = None,
    test_samples: Annotated[
        int | None, typer.Option(help="Samples of the test set.", rich_help_panel=OTHERS)
    ] = None,
    key: KeyOption = None,
    fixed: FixedOption = None,
    bn_eps: BnEpsOption = None,
    full: FullOption = False,
    json: JsonOption = False,
) -> None:
    """Bound the true error of a network by the length of its description.

    BatchNorm is folded, every number is rounded to b bits, and the network is
    written as bits and decoded. The errors of the decoded network are counted
    on exactly the images that training saw; |d(h)| is the number of bits.
    A file of bits that mdl encode wrote is taken as it is, with --data.

    Another program's network (a state dict, bare or wrapped, .safetensors,
    shards by their index; integers and quantized weights too) can be described
    but not run here: give the errors that you counted, of the decoded network.
    """
    from analysis.codes.bit_file import is_bit_file
    from mdl.cli.bound import GivenCounts, choose_format, refuse_external_options, show_external
    from training.tensor_files.open import is_external

    chosen = choose_format(bits, number_format)
    given = GivenCounts(
        samples=samples,
        train_errors=train_errors,
        test_errors=test_errors,
        test_samples=test_samples,
    )
    is_bits = is_bit_file(checkpoint)
    external = not is_bits and is_external(checkpoint)
    _check_plot(plot, is_possible=not lengths_only and not external)
    if not external:
        refuse_external_options(checkpoint, key=key, fixed=fixed, bn_eps=bn_eps)
    if is_bits:
        refuse_options(
            {"bits": bits, "format": number_format}, f"{checkpoint} is a file of bits already"
        )
        place = (data, label_column)
        _bound_bits(checkpoint, delta, place, device, given, plot, full=full, json=json)
        return
    refuse_options({"label_column": label_column}, f"{checkpoint} is not a file of bits")
    if external:
        known = None if lengths_only else given
        show_external(
            checkpoint,
            chosen,
            delta,
            known,
            key=key,
            fixed=fixed,
            bn_eps=bn_eps,
            full=full,
            json=json,
        )
        return
    if lengths_only:
        _describe(checkpoint, chosen, full=full, json=json)
        return
    if not given.is_empty:
        console.stderr().print(
            "The errors and samples given are not used: this is a checkpoint of mdl train, whose "
            "errors are measured here, on its own images.",
            markup=False,
        )
    _bound_checkpoint(checkpoint, chosen, delta, data, device, plot, full=full, json=json)


def _check_plot(plot: Path | None, *, is_possible: bool) -> None:
    if plot is None:
        return
    from figures.style.look import check_figure_path

    try:
        if not is_possible:
            raise ValueError("only the bits of a network of ours are drawn")
        check_figure_path(plot)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--plot") from error


def _bound_checkpoint(
    file: Path,
    number_format: "NumberFormat",
    delta: float,
    data: str | None,
    device: Device,
    plot: Path | None,
    *,
    full: bool,
    json: bool,
) -> None:
    from analysis.describe.bound_report import report_bound
    from mdl.terminal.devices import choose_device
    from training.checkpoint.checkpoint import load_checkpoint
    from training.run.evaluate import evaluation_data

    chosen_device = choose_device(device)
    loaded = load_checkpoint(file)
    images = evaluation_data(loaded, source=data)
    report = report_bound(loaded, images, number_format, delta=delta, device=chosen_device)
    recorded = loaded.known_data.config
    place = (data or recorded["source"], recorded["label_column"])
    _show(report, file, images, data, place, plot, checkpoint=loaded, full=full, json=json)


def _bound_bits(
    file: Path,
    delta: float,
    place: tuple[str | None, str | None],
    device: Device,
    given: "GivenCounts",
    plot: Path | None,
    *,
    full: bool,
    json: bool,
) -> None:
    from analysis.describe.bound_report import report_codeword
    from mdl.cli.bound import load_bit_images, load_own_bits, needed_source, show_external_bits
    from mdl.terminal.devices import choose_device

    codeword = load_own_bits(file)
    if not codeword.message.can_run:
        show_external_bits(codeword, file, delta, given, full=full, json=json)
        return
    data, label_column = needed_source(file, place[0]), place[1]
    images = load_bit_images(codeword, data, label_column)
    report = report_codeword(codeword, images, delta=delta, device=choose_device(device))
    _show(report, file, images, data, (data, label_column), plot, full=full, json=json)


def _show(
    report: "BoundReport",
    file: Path,
    images: "EvaluationData",
    data: str | None,
    place: tuple[str, str | None],
    plot: Path | None,
    *,
    checkpoint: "Checkpoint | None" = None,
    full: bool,
    json: bool,
) -> None:
    if plot is not None:
        _draw(report, plot)
    if json:
        console.print_json(
            {
                "checkpoint": str(file),
                "errors": "measured",
                "data": images.name,
                "fingerprint": images.fingerprint,
                "plot": None if plot is None else str(plot),
            }
            | report.to_dict()
        )
        return
    from mdl.cli.bound import next_commands
    from mdl.terminal.answers import answer_measured
    from mdl.terminal.bound_tables import print_measured

    is_bits, notes = checkpoint is None, [] if plot is None else [f"Figure: {plot}"]
    if checkpoint is not None and _has_prior(checkpoint):
        notes.append(
            "It was trained from a prior: mdl certify --prior counts the bits of the difference."
        )
    next_ = next_commands(report, file, data, place, is_bits=is_bits, full=full)
    if full:
        print_measured(report, images.name)
        for line in notes:
            console.stdout().print(line, markup=False)
        console.print_next(*next_)
    else:
        of_it = "the checkpoint of these bits" if is_bits else "it"
        whole = checkpoint is None or _is_whole(checkpoint)
        size = "" if whole else ", on all images at their own size"
        way_out = (
            f" mdl compress shortens {of_it}; its recipe trains a short network instead{size}."
        )
        answer_measured(report, images.name, way_out=way_out, notes=notes, next_=next_)


def _has_prior(checkpoint: "Checkpoint") -> bool:
    """Whether mdl compress --prior made it."""
    made = checkpoint.metrics.get("compress")
    return isinstance(made, dict) and "prior_sha256" in made


def _is_whole(checkpoint: "Checkpoint") -> bool:
    """Whether a run took all images of its data set as they are, as recipes of compress do."""
    recorded = checkpoint.known_data.config
    names = ("image_size", "num_train", "validation", "permute_pixels")
    return not any(recorded[name] for name in names)


def _draw(report: "BoundReport", path: Path) -> None:
    from figures.bit_ledger import draw_ledger, group_entries, new_ledger_figure
    from figures.style.look import figure_style, save_figure

    codeword = report.codeword
    with figure_style():
        rows = group_entries(codeword.ledger.entries)
        figure = new_ledger_figure(len(rows))
        title = f"{report.spec.name} in {codeword.num_bits:,} bits, {codeword.code} code"
        draw_ledger(figure.subplots(), rows, title=title)
        save_figure(figure, path)


def _describe(checkpoint: Path, number_format: "NumberFormat", *, full: bool, json: bool) -> None:
    from analysis.describe.description import describe_file
    from mdl.cli.bound import bound_command
    from mdl.terminal.answers import answer_description
    from mdl.terminal.bound_tables import print_description
    from mdl.terminal.progress import ReadingProgress

    with ReadingProgress() as progress:
        description = describe_file(checkpoint, number_format, on_progress=progress.on_bytes)
    if json:
        console.print_json({"checkpoint": str(checkpoint)} | description.to_dict())
        return
    form = None if number_format.name == "bfloat16" else number_format.name
    next_ = bound_command(checkpoint, format=form)
    if "--lengths-only" in next_:
        next_ = console.command("nonzeros", checkpoint)
    if full:
        print_description(description)
        console.print_next(next_)
    else:
        answer_description(description, next_=[next_])
