"""`mdl sparse`: what a run gained from its sparse layers, beside the same run without."""

from pathlib import Path
from typing import Annotated

import typer

from mdl.terminal import console
from mdl.terminal.options import FullOption, JsonOption


def sparse(
    dense_run: Annotated[
        Path, typer.Argument(metavar="DENSE_RUN", help="Run folder of mdl train --sparse never.")
    ],
    sparse_run: Annotated[
        Path,
        typer.Argument(
            metavar="SPARSE_RUN",
            help="Run folder of the same training with --sparse auto or always.",
        ),
    ],
    epochs: Annotated[
        int, typer.Option(min=1, help="Epochs of the longer run that is projected.")
    ] = 4000,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="Draw time and memory by epoch to this .png or .pdf, and screened rows to "
            "NAME-screened; each is written as both.",
        ),
    ] = None,
    full: FullOption = False,
    json: JsonOption = False,
) -> None:
    """Compare a run with sparse layers with the same run without.

    Sparse layers compute with their nonzeros alone. A screened row is one in which a bound shows
    that no zero weight can come back, so that it needs no work.

    Both must be finished, of the same settings, on the same machine: one of
    mdl train --sparse never, one of --sparse auto or always.
    """
    if out is not None:
        _check_out(out)

    from mdl.experiments.sparse_gain.gain import measure_gain
    from mdl.experiments.sparse_gain.record import read_pair
    from mdl.experiments.sparse_gain.report import answer_gain, gain_to_dict, print_gain

    gain = measure_gain(*read_pair(dense_run, sparse_run))
    projection = gain.project(epochs)
    files: list[Path] = []
    if out is not None:
        from mdl.experiments.sparse_gain.report import save_gain_figures

        files = save_gain_figures(gain, out.with_suffix(""))
    if json:
        figures = {"figures": [str(file) for file in files]}
        console.print_json(gain_to_dict(gain, projection) | figures)
        return
    pictures = [f"Picture: {file}" for file in files]
    again = {"out": None if files else "sparse.png"}
    next_ = console.command("report" if files else "sparse", dense_run, sparse_run, **again)
    if full:
        print_gain(gain, projection)
        for line in pictures:
            console.stdout().print(line, markup=False)
        console.print_next(next_)
    else:
        answer_gain(gain, projection, notes=pictures, next_=[next_])


def _check_out(out: Path) -> None:
    from figures.style.look import check_figure_path

    try:
        check_figure_path(out)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--out") from error
    if not out.parent.is_dir():
        raise typer.BadParameter(
            f"there is no folder {out.parent}; make it first", param_hint="--out"
        )
