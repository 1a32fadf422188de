"""`mdl scaling`: how the numbers of weights grow, as the paper prints it and exactly."""

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mdl.terminal import console
from mdl.terminal.options import FullOption, JsonOption

if TYPE_CHECKING:
    from analysis.scaling.report import ScalingReport


def scaling(
    image_size: Annotated[int, typer.Option(min=1, help="s, side of the images in pixels.")] = 32,
    base_channels: Annotated[
        int | None,
        typer.Option(
            min=1,
            show_default=False,
            help="α of the d- and s- networks (default: 15 for d-, 150 for s-, as in Table 1).",
        ),
    ] = None,
    num_classes: Annotated[int, typer.Option(min=2, help="c, number of classes.")] = 10,
    in_channels: Annotated[int, typer.Option(min=1, help="Channels of the images.")] = 3,
    budget: Annotated[
        float, typer.Option(help="Weights that the widest network may have.", show_default="256e6")
    ] = 256e6,
    v100_memory: Annotated[
        float,
        typer.Option(help="Memory of the V100 in GiB; there are 16 and 32.", show_default="16"),
    ] = 16.0,
    bytes_per_weight: Annotated[
        float,
        typer.Option(
            help="Bytes that training keeps for a weight: 2 for it, 2 for its gradient, 4 for a "
            "float32 copy; momentum adds 4.",
            show_default="8",
        ),
    ] = 8.0,
    latex: Annotated[
        bool, typer.Option("--latex", help="Print the tables for a paper (booktabs) on stdout.")
    ] = False,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw Figure 1 into FILE (.png or .pdf).")
    ] = None,
    full: FullOption = False,
    json: JsonOption = False,
) -> None:
    """Show how many weights each network has: Tables 3 and 4 as printed, exact, and in numbers.

    Biases and BatchNorm are left out, as in the paper. Where printed and exact differ, the row
    says why.
    """
    from analysis.scaling.report import build_report

    if latex and json:
        raise typer.BadParameter("choose one of --json and --latex", param_hint="--latex")
    if not (math.isfinite(budget) and budget >= 1):
        raise typer.BadParameter(f"must be a number >= 1, not {budget}", param_hint="--budget")
    for option, value in (("--v100-memory", v100_memory), ("--bytes-per-weight", bytes_per_weight)):
        if not (math.isfinite(value) and value > 0):
            raise typer.BadParameter(f"must be a number > 0, not {value}", param_hint=option)
    if plot is not None:
        from figures.style.look import check_figure_path

        try:
            check_figure_path(plot)
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--plot") from error
    report = build_report(
        image_size=image_size,
        num_classes=num_classes,
        in_channels=in_channels,
        base_channels=base_channels,
        budget=budget,
        memory_gib=v100_memory,
        bytes_per_weight=bytes_per_weight,
    )
    if plot is not None:
        _draw_figure(report, base_channels, plot)
    if json:
        console.print_json(report.as_json() | {"plot": None if plot is None else str(plot)})
    elif latex:
        from mdl.cli.scaling_latex import render_latex

        sys.stdout.write(render_latex(report) + "\n")
    else:
        from mdl.terminal.scaling_tables import answer_report, print_report

        figure = "mdl scaling --plot scaling.png" if plot is None else "mdl scaling --latex"
        same = {
            "image_size": image_size if image_size != 32 else None,
            "base_channels": base_channels,
            "num_classes": num_classes if num_classes != 10 else None,
            "in_channels": in_channels if in_channels != 3 else None,
        }
        if full:
            print_report(report)
            console.print_next(figure, "mdl train s-fc")
        else:
            answer_report(report, next_=(console.command("scaling", **same, full=True), figure))


def _draw_figure(report: "ScalingReport", base_channels: int | None, path: Path) -> None:
    from figures.scaling import draw_scaling, scaling_figure
    from figures.style.look import figure_style, save_figure

    data = scaling_figure(
        image_size=report.image_size,
        num_classes=report.num_classes,
        in_channels=report.in_channels,
        base_channels=base_channels,
        memory_gib=report.memory_gib,
        bytes_per_weight=report.bytes_per_weight,
    )
    with figure_style():
        figure = draw_scaling(data)
    save_figure(figure, path)
    console.stderr().print(f"figure: {path}", markup=False)
