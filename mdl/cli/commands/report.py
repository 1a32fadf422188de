"""`mdl report`: one HTML page about one run or several."""

from pathlib import Path
from typing import Annotated

import typer

from mdl.terminal import console
from mdl.terminal.options import BitsOption, DeviceOption, JsonOption


def report(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN", help="Run folders of mdl train, or checkpoint files."),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="The page, .html; an older one is replaced.")
    ] = Path("report.html"),
    title: Annotated[str | None, typer.Option(help="Heading of the page.")] = None,
    bits: BitsOption = None,
    no_bound: Annotated[
        bool, typer.Option("--no-bound", help="Leave the bounds out: counting the errors is slow.")
    ] = False,
    data: Annotated[
        str | None, typer.Option(metavar="DATA", help="Where the data set of the runs lies now.")
    ] = None,
    device: DeviceOption = "auto",
    json: JsonOption = False,
) -> None:
    """Write one page of HTML about runs, side by side, to look at in a browser.

    It shows their settings and what differs, curves, nonzeros by layer, filters
    and how local they are, where the bits go and what they prove. The page is
    one file that asks the network for nothing. A run that is still going on, or
    was stopped, is shown as far as it came.
    """
    from mdl.cli.bound import choose_format
    from mdl.report.markup import MAX_RUNS
    from mdl.report.measurements import measure_run
    from mdl.report.overview import summarize_run
    from mdl.report.page import write_page
    from mdl.report.run_files import read_runs
    from mdl.terminal.devices import choose_device
    from training.system.files import write_text_atomically

    _check_out(out)
    if len(runs) > MAX_RUNS:
        raise typer.BadParameter(
            f"a page has room for {MAX_RUNS} runs, not {len(runs)}; write several pages",
            param_hint="RUN",
        )
    if no_bound and data is not None:
        raise typer.BadParameter(
            "only the bounds need the images; leave out --data or --no-bound", param_hint="--data"
        )
    number_format = choose_format(bits, None)
    chosen_device = choose_device(device)
    found = read_runs(runs)
    log = console.stderr()
    measured = [
        measure_run(
            run,
            number_format,
            source=data,
            with_bound=not no_bound,
            device=chosen_device,
            tell=lambda line: log.print(line, markup=False),
        )
        for run in found
    ]
    page = write_page(measured, title)
    write_text_atomically(out, page)
    if json:
        console.print_json(
            {
                "page": str(out),
                "num_bytes": len(page.encode()),
                "bits_per_number": number_format.bits_per_weight,
                "runs": [summarize_run(run) for run in measured],
            }
        )
        return
    console.print_answer(
        f"Page: {out}",
        f"Open it in a browser ({len(page.encode()) / 1e6:.2f} MB).",
        next_=[console.command("nonzeros", runs[0])],
    )


def _check_out(out: Path) -> None:
    if out.suffix.lower() not in (".html", ".htm"):
        raise typer.BadParameter(
            f"a page's file name must end in .html, not {out.name!r}", param_hint="--out"
        )
    if not out.parent.is_dir():
        raise typer.BadParameter(
            f"there is no folder {out.parent}; make it first", param_hint="--out"
        )
