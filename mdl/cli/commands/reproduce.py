"""`mdl reproduce`: the paper's tables and figures from stored runs, training what is missing."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mdl.terminal import console
from mdl.terminal.options import Device, DeviceOption, JsonOption, read_policy
from training.spec.config import Precision

if TYPE_CHECKING:
    from mdl.experiments.reproduce.artefact import Artefact
    from mdl.experiments.reproduce.scale import Scale
    from mdl.experiments.store.result_store import ResultStore

RUN = "Run"
_STORE = Path("experiments")
ALL = "all"
NAMES = (
    "table1",
    "table2",
    "table3",
    "table4",
    "figure1",
    "figure2",
    "figure3",
    "figure4",
    "figure5",
    "figure6",
    "figure7",
    "figure8",
    "figure9",
    "mdl-view",
    "ledger",
    "locality",
    "training",
    "screening",
    "gain-map",
    "carry-over",
    "claims",
)
"""In the order in which `all` draws them."""


ScaleName = Literal["smoke", "laptop", "paper"]


def reproduce(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME",
            help="table1 to table4, figure1 to figure9, mdl-view, ledger, locality, training, "
            "screening, gain-map, carry-over, claims, or all.",
        ),
    ],
    scale: Annotated[
        ScaleName,
        typer.Option(
            help="smoke: minutes. laptop: hours on two cores. paper: its own sizes, for a cluster. "
            "What is reduced stands under every table."
        ),
    ] = "laptop",
    data: Annotated[
        list[str] | None,
        typer.Option(
            metavar="DATA",
            help="A hub name, a folder, glyphs or leaves; give it several times for a column or "
            "panel each (default: cifar10).",
        ),
    ] = None,
    store: Annotated[
        Path, typer.Option(help="Folder of results; what is there is not trained again.")
    ] = _STORE,
    out: Annotated[
        Path | None, typer.Option(help="Folder for tables and figures (default: STORE/SCALE-DATA).")
    ] = None,
    page: Annotated[
        Path | None,
        typer.Option(help="A Markdown page whose tables are drawn anew, between their markers."),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Say how many runs are missing and how long they take."),
    ] = False,
    only_draw: Annotated[
        bool,
        typer.Option("--only-draw", help="Train nothing; draw what is there, dashes for the rest."),
    ] = False,
    workers: Annotated[int, typer.Option(min=1, help="Runs at once.", rich_help_panel=RUN)] = 1,
    threads: Annotated[
        int | None,
        typer.Option(
            min=1, help="Threads of a run (default: the libraries').", rich_help_panel=RUN
        ),
    ] = None,
    precision: Annotated[
        Precision | None,
        typer.Option(
            help="Of the matrix products; the same on every machine (default: the scale's: bf16, "
            "of gain-map at laptop fp32).",
            rich_help_panel=RUN,
        ),
    ] = None,
    policy: Annotated[
        str | None,
        typer.Option(
            metavar="POLICY",
            help="Of the runs that have one (scale paper, gain-map): a name as of mdl train, or a "
            "Fast AutoAugment table, JSON (default: AutoAugment's).",
            rich_help_panel=RUN,
        ),
    ] = None,
    device: DeviceOption = "auto",
    full: Annotated[
        bool, typer.Option("--full", help="Print every table, or every run of --dry-run.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Reproduce tables and figures of the paper, with its own numbers beside ours.

    Every finished run is kept, so nothing is trained twice, and the same command resumes where it
    was stopped.
    """
    if dry_run and (only_draw or page is not None):
        other = "--only-draw" if only_draw else "--page"
        raise typer.BadParameter(f"choose one of --dry-run and {other}")
    _check_paths(store, out, page, only_draw=only_draw)

    try:
        asked = chosen_names(names)
        chosen = _choose_scale(scale, data or [], precision, policy, asked)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error

    from mdl.experiments.artefacts.catalogue import ARTEFACTS
    from mdl.experiments.reproduce.reproduction import without_results
    from mdl.experiments.store.result_store import ResultStore

    artefacts = [ARTEFACTS[name] for name in asked]
    results = ResultStore(store)
    options = _options(data or [], store, precision, policy)
    again = _command(names, scale, options)
    if dry_run:
        elsewhere = _command(names, scale, _options(["FOLDER"], store, precision, policy))
        _tell_plan(artefacts, chosen, results, again, elsewhere, full=full, json=json)
        return

    from mdl.experiments.engines.local_engine import LocalEngine
    from mdl.experiments.reproduce.reproduction import (
        Reproduction,
        draw_all,
        draw_page,
        print_answers,
        print_drawn,
        train_all,
    )

    ended = Reproduction(failed={}, signal_number=None)
    if not only_draw:
        _say_if_emulated(
            chosen.gain_precision if asked == ["gain-map"] else chosen.precision, device
        )
        ended = train_all(
            artefacts, chosen, results, LocalEngine(workers=workers, threads=threads, device=device)
        )
        if ended.signal_number is not None:
            console.stderr().print("Stopped; all is saved. The same command resumes.", markup=False)
            raise typer.Exit(128 + ended.signal_number)
    sources = (Path(one.data.source).name for one in chosen.by_data_set())
    folder = store / "-".join((chosen.name, *sources)) if out is None else out
    drawn = draw_all(artefacts, chosen, results, folder)
    if page is not None:
        draw_page(page, artefacts, chosen, results)
    if json:
        console.print_json(drawn.as_json() | {"scale": chosen.name, "failed": ended.failed})
    else:
        print_drawn(drawn) if full else print_answers(drawn, folder)
        if page is not None:
            console.stdout().print(f"Tables of {page} are drawn anew.", markup=False)
        is_whole = not any(drawn.num_missing.values())
        kept = options if chosen.has_policy else _options(data or [], store, precision, None)
        console.print_next(_after(asked, scale, kept) if is_whole else f"{again} --dry-run")
    if only_draw and any(drawn.num_missing.values()):
        _print_notes(without_results(chosen, results))
    for key, message in ended.failed.items():
        console.stderr().print(f"error: run {key} failed: {message}", markup=False)
    raise typer.Exit(1 if ended.failed else 0)


def chosen_names(names: Sequence[str]) -> list[str]:
    """The names given, each once and in order; `all` stands for every one.

    Raises:
        ValueError: A name that there is not.

    >>> chosen_names(["figure3", "table2", "figure3"])
    ['table2', 'figure3']
    """
    for name in names:
        if name not in (*NAMES, ALL):
            raise ValueError(f"NAME must be one of {', '.join((*NAMES, ALL))}, not {name!r}")
    return [name for name in NAMES if name in names or ALL in names]


def _choose_scale(
    name: str,
    data: Sequence[str],
    precision: Precision | None,
    policy: str | None,
    asked: Sequence[str],
) -> "Scale":
    """The scale on the data sets, with the policy that is given.

    Raises:
        ValueError: What `scale_on` refuses, or a policy that no run would have.
    """
    from mdl.experiments.reproduce.scales import scale_on

    table = None if policy is None else read_policy(policy)
    scale = scale_on(name, tuple(data), precision=precision, policy=table)
    if policy is not None and not scale.has_policy and "gain-map" not in asked:
        raise ValueError(
            f"--policy: at scale {name} only gain-map has runs with a policy; leave it out"
        )
    return scale


def _check_paths(store: Path, out: Path | None, page: Path | None, *, only_draw: bool) -> None:
    if page is not None and not page.is_file():
        raise typer.BadParameter(f"--page {page} is not a file; give a Markdown page")
    for option, folder in (("--store", store), ("--out", out)):
        if folder is not None and folder.exists() and not folder.is_dir():
            raise typer.BadParameter(f"{option} {folder} is not a folder")
    if only_draw and store != _STORE and not store.exists():
        raise typer.BadParameter(
            f"--store {store} is not there; pass the folder of an earlier reproduction, or leave "
            "out --only-draw"
        )


def _tell_plan(
    artefacts: "list[Artefact]",
    scale: "Scale",
    store: "ResultStore",
    again: str,
    elsewhere: str,
    *,
    full: bool,
    json: bool,
) -> None:
    """What --dry-run prints; `elsewhere` is the command to run where images cannot be had."""
    from mdl.experiments.reproduce.dry_run import plan_dry_run, print_dry_run, print_short_dry_run
    from mdl.experiments.reproduce.reproduction import lost_images

    lost = lost_images(scale)
    plan = plan_dry_run(artefacts, scale, store)
    if json:
        console.print_json({"scale": scale.name} | plan.as_json())
    else:
        print_dry_run(plan) if full else print_short_dry_run(plan)
        is_done = not plan.total()["num_missing"]
        console.print_next(
            f"{again} --only-draw" if is_done and not full else elsewhere if lost else again
        )
    _print_notes(lost)


def _print_notes(notes: list[str]) -> None:
    for note in notes:
        console.stderr().print(f"note: {note}", markup=False)


def _say_if_emulated(precision: Precision, device: Device) -> None:
    from mdl.terminal.devices import choose_device, say_if_emulated

    say_if_emulated(precision, choose_device(device))


def _options(
    data: list[str], store: Path, precision: Precision | None, policy: str | None
) -> list[str]:
    options = [part for source in data for part in ("--data", source)]
    if policy is not None:
        options += ["--policy", policy]
    if store != _STORE:
        options += ["--store", str(store)]
    return options if precision is None else [*options, "--precision", precision]


def _command(names: list[str], scale: ScaleName, options: list[str]) -> str:
    return shlex.join(["mdl", "reproduce", *names, "--scale", scale, *options])


def _after(drawn: list[str], scale: ScaleName, options: list[str]) -> str:
    """What to look at once these are drawn: what the claims, or a larger scale, would take."""
    if "claims" not in drawn:
        return f"{_command(['claims'], scale, options)} --dry-run"
    larger: ScaleName = "laptop" if scale == "smoke" else "paper"
    return f"{_command(['all'], larger, options)} --dry-run"
