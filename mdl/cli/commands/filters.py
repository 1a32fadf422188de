"""`mdl filters`: pictures of first-layer filters, and how local they are, in numbers."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mdl.terminal import console
from mdl.terminal.options import OTHERS, FullOption, JsonOption, KeyOption, SeedOption

if TYPE_CHECKING:
    from figures.filters import FilterPanel
    from mdl.cli.filter_report import MeasuredFilters


def filters(
    checkpoints: Annotated[
        list[Path],
        typer.Argument(metavar="CHECKPOINT", help="Checkpoint files, or their run folders."),
    ],
    compare: Annotated[
        bool, typer.Option("--compare", help="Draw the checkpoints side by side, in one picture.")
    ] = False,
    num: Annotated[int, typer.Option(min=1, help="Filters to draw of each checkpoint.")] = 36,
    min_nonzeros: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Choose among filters with N nonzeros or more (default: 20, or half of the "
            "fullest filter's where none has 20).",
        ),
    ] = None,
    unpermute: Annotated[
        bool,
        typer.Option(
            help="Undo the pixel permutation of --permute-pixels, so that filters lie on the "
            "images as they were."
        ),
    ] = True,
    out: Annotated[
        Path | None,
        typer.Option(
            help="The picture, .png or .pdf; if not given, filters.png beside the checkpoint, or "
            "with --compare filters-compare.png beside the first."
        ),
    ] = None,
    seed: SeedOption = 0,
    key: KeyOption = None,
    layer: Annotated[
        str | None,
        typer.Option(
            help="Name of its first layer (default: the first that sees an image by its shape).",
            rich_help_panel=OTHERS,
        ),
    ] = None,
    image_size: Annotated[
        int | None,
        typer.Option(min=1, help="Side of its images in pixels.", rich_help_panel=OTHERS),
    ] = None,
    channels: Annotated[
        int | None, typer.Option(min=1, help="Channels of its images.", rich_help_panel=OTHERS)
    ] = None,
    full: FullOption = False,
    json: JsonOption = False,
) -> None:
    """Draw first-layer filters chosen at random, and measure how local they are.

    The half-mass radius of a filter is the distance in pixels from its centre
    of mass within which half of its |weight| lies. By chance means with the
    filter's pixels shuffled over the image. A ratio of the two below 1 is local.
    The column local has the share of filters whose radius is below the 5% quantile
    of chance: 5% by chance. Dense filters pass that test by small differences.

    Several checkpoints make a picture each; --compare makes one for all. Of another
    program's network, the first layer is told by its shape: kernels, or as many
    inputs as an image has pixels.
    """
    from figures.filters import draw_filters
    from figures.style.look import check_figure_path, figure_style, save_figure
    from mdl.cli import filter_report
    from mdl.cli.bound import bound_command

    if compare and len(checkpoints) == 1:
        raise typer.BadParameter("takes two checkpoints or more", param_hint="--compare")
    if out is not None:
        check_figure_path(out)
        if not out.parent.is_dir():
            raise ValueError(f"--out {out}: there is no folder {out.parent}; make it first")
        if len(checkpoints) > 1 and not compare:
            raise ValueError(
                f"--out names one picture, but there are {len(checkpoints)} checkpoints; add "
                "--compare to draw them side by side"
            )
    external = filter_report.ExternalImages(
        key=key, layer=layer, image_size=image_size, channels=channels
    )
    measured = [
        filter_report.measure_filters(
            path,
            num=num,
            min_nonzeros=min_nonzeros,
            unpermute=unpermute,
            seed=seed,
            external=external,
        )
        for path in checkpoints
    ]
    pictures = [measured] if compare else [[one] for one in measured]
    files = [out or _default_picture(group, compare=compare) for group in pictures]
    for group, file in zip(pictures, files, strict=True):
        with figure_style():
            figure = draw_filters(_panels(group))
        save_figure(figure, file)
    if json:
        report = {
            "checkpoints": [filter_report.filters_to_dict(one) for one in measured],
            "figures": [str(file) for file in files],
            "min_nonzeros": min(one.sample.min_nonzeros for one in measured),
            "seed": seed,
        }
        console.print_json(report)
        return
    notes = [filter_report.describe_shortage(one) for one in measured if one.num_drawn < num]
    if len(checkpoints) > 1 and not compare:
        next_ = [console.command("filters", *checkpoints, compare=True)]
    else:
        first = checkpoints[0]
        next_ = [
            console.command("nonzeros", first, key=key),
            console.command("bound", first, key=key, lengths_only=True)
            if measured[0].is_external
            else bound_command(first),
        ]
    if not full:
        filter_report.answer_filters(measured, files, notes, next_=next_)
        return
    for one in measured:
        filter_report.print_filters(one)
    filter_report.print_summaries(measured)
    for line in (*notes, *(f"Picture: {file}" for file in files)):
        console.stdout().print(line, markup=False)
    console.print_next(*next_)


def _checkpoint_file(path: Path) -> Path:
    return path / "checkpoint.pt" if path.is_dir() else path


def _default_picture(group: list["MeasuredFilters"], *, compare: bool) -> Path:
    """filters.png in the run folder; NAME-filters.png beside a checkpoint of another name."""
    file = _checkpoint_file(group[0].path)
    if compare:
        return file.with_name("filters-compare.png")
    prefix = "" if file.name == "checkpoint.pt" else f"{file.stem}-"
    return file.with_name(f"{prefix}filters.png")


def _panels(group: list["MeasuredFilters"]) -> list["FilterPanel"]:
    """What to draw. Kernels fill their tiles where nothing but convolutions is drawn."""
    from analysis.filters.filters import kernel_window
    from figures.filters import FilterPanel
    from mdl.cli.filter_report import describe_filters

    only_kernels = all(
        one.sample.layer.kind == "conv" and one.sample.permutation_seed is None for one in group
    )
    panels = []
    for one in group:
        images = one.sample.images[: one.num_drawn]
        if only_kernels:
            rows, columns = kernel_window(one.sample.layer)
            images = images[:, :, rows, columns]
        panels.append(FilterPanel(title=one.title, note=describe_filters(one), filters=images))
    return panels
