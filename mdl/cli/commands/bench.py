"""`mdl bench`: every piece of training and analysis against what this machine can do at best."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Literal

import typer

from mdl.terminal import console
from mdl.terminal.options import DeviceOption, JsonOption

Group = StrEnum(
    "Group",
    [
        "optimizer",
        "step",
        "sparse",
        "qat",
        "augmentation",
        "checkpoint",
        "bound",
        "encode",
        "count",
    ],
)
"""Pieces that are measured together."""

SIZES = "Sizes"
_HEEDED_BY = {
    "--network": ("step",),
    "--width": ("step", "sparse", "qat", "checkpoint", "bound", "encode", "count"),
    "--batch-size": ("step", "sparse", "qat", "augmentation"),
}
"""Which groups an option has a say in."""


def bench(
    quick: Annotated[
        bool,
        typer.Option("--quick", help="Smaller pieces, fewer rounds: under a minute on 2 cores."),
    ] = False,
    only: Annotated[
        list[Group] | None, typer.Option(help="Measure this group alone; may be given again.")
    ] = None,
    rounds: Annotated[
        int | None, typer.Option(min=1, help="Most rounds of each measurement.")
    ] = None,
    device: DeviceOption = "auto",
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads on the CPU (default: torch's choice).")
    ] = None,
    precision: Annotated[
        Literal["bf16", "fp32"] | None,
        typer.Option(help="Of the matrix products (default: what training would choose here)."),
    ] = None,
    network: Annotated[
        list[str] | None,
        typer.Option(help="Networks of the group step; may be given again.", rich_help_panel=SIZES),
    ] = None,
    weights: Annotated[
        int | None,
        typer.Option(min=1, help="Weights of the optimizer's pieces.", rich_help_panel=SIZES),
    ] = None,
    width: Annotated[
        int | None,
        typer.Option(
            min=1, help="α of every network (hidden units of 3-fc).", rich_help_panel=SIZES
        ),
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=2, help="Images per step.", rich_help_panel=SIZES)
    ] = None,
    json: JsonOption = False,
) -> None:
    """Time each piece of the work against its floor on this machine, and against plain torch.

    A floor is the least time that the piece could take: that of the memory copies, matrix products
    or raw files that it cannot do without, measured in the same rounds. "x floor" is the time over
    it; below 1, part of the work stayed in the cache. Under a piece stand plain forms of the same
    work; "speed-up" is how many times as long they take. Times are medians. Each table is printed
    as soon as it is measured.
    """
    groups = tuple(dict.fromkeys(each.value for each in only or Group))
    sizes = {"--network": network, "--width": width, "--batch-size": batch_size}
    _refuse_unheeded([option for option, value in sizes.items() if value], groups)

    import torch

    from mdl.bench.report import run_bench
    from mdl.bench.settings import choose_settings
    from mdl.terminal.devices import choose_device, say_if_emulated

    if threads is not None:
        torch.set_num_threads(threads)
    chosen_device = choose_device(device)
    try:
        settings = choose_settings(
            chosen_device,
            quick=quick,
            rounds=rounds,
            networks=tuple(network or ()),
            num_weights=weights,
            width=width,
            batch_size=batch_size,
            precision=precision,
        )
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--network") from error
    log = console.stderr()
    say_if_emulated(settings.precision, chosen_device)

    def say(piece: str) -> None:
        log.print(f"measuring: {piece}", markup=False)

    if json:
        report = run_bench(settings, groups, on_piece=say)
        console.print_json(report.to_dict() | {"quick": quick})
        return
    from mdl.bench.tables import print_end, print_group, print_start

    report = run_bench(settings, groups, on_piece=say, on_start=print_start, on_group=print_group)
    print_end(report)
    console.print_next("mdl bench" if quick else "mdl bench --json > bench.json", "mdl train s-fc")


def _refuse_unheeded(options: Sequence[str], groups: Sequence[str]) -> None:
    """Refuse an option that would change nothing in the groups that are measured."""
    for option in options:
        *others, last = _HEEDED_BY[option]
        if not {*others, last} & set(groups):
            heeding = f"{', '.join(others)} or {last}" if others else last
            raise typer.BadParameter(
                f"only {heeding} would heed it, which --only leaves out; take {option} away, or "
                f"add --only {last}",
                param_hint=option,
            )
