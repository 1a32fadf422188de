"""`mdl budget`: how many bits a target for the bound leaves at each training error."""

from typing import Annotated

import typer

from mdl.terminal import console
from mdl.terminal.options import DeltaOption, JsonOption, LabelColumnOption


def budget(
    target: Annotated[
        float, typer.Option(help="The bound on the true error to reach, a fraction: 0.2 is 20%.")
    ],
    data: Annotated[
        str | None,
        typer.Option(
            metavar="DATA",
            help="The data set, such as glyphs, leaves or a folder; m is its training images.",
        ),
    ] = None,
    label_column: LabelColumnOption = None,
    samples: Annotated[
        int | None,
        typer.Option(min=1, help="m itself, the number of training images, instead of --data."),
    ] = None,
    train_error: Annotated[
        list[float] | None,
        typer.Option(
            "--train-error",
            help="A training error, a fraction; may be repeated (default: a table).",
        ),
    ] = None,
    delta: DeltaOption = 0.05,
    json: JsonOption = False,
) -> None:
    """Print how many bits a network may take, at each training error, to meet a bound.

    The bound is the binomial tail on m training images. The last column is what
    accuracy is worth: the bits that 1% more training errors would take away.
    """
    from analysis.bounds.bit_budget import DEFAULT_ERRORS, budget_table

    if (data is None) == (samples is None):
        raise typer.BadParameter("give one of the two", param_hint="--data, --samples")
    if not 0 < target < 1:
        raise typer.BadParameter(f"must lie in (0, 1), not {target}", param_hint="--target")
    for error in train_error or ():
        if not 0 <= error <= 1:
            raise typer.BadParameter(f"must lie in [0, 1], not {error}", param_hint="--train-error")
    if label_column is not None and data is None:
        raise typer.BadParameter("goes with --data", param_hint="--label-column")
    num_samples = samples if samples is not None else _count_samples(data or "", label_column)
    rows = budget_table(target, num_samples, delta, train_error or DEFAULT_ERRORS)
    if json:
        console.print_json(
            {
                "target": target,
                "delta": delta,
                "num_samples": num_samples,
                "rows": [row.to_dict() for row in rows],
            }
        )
        return
    if not rows:
        console.print_answer(
            f"No bits at all: every training error given is at or above the target of {target:.2%}."
        )
        return
    first = rows[0]
    most = "no" if first.description_bits is None else f"at most {first.description_bits:,}"
    console.print_answer(
        f"A bound of {target:.2%} leaves {most} bits at {first.error:.2%} training errors "
        f"(m = {num_samples:,}, δ = {delta:g}).",
        table=console.Rows(
            columns=("training errors", "error", "bits at most", "bits that 1% more errors cost"),
            rows=[
                (
                    f"{row.num_errors:,}",
                    f"{row.error:.2%}",
                    "none" if row.description_bits is None else f"{row.description_bits:,}",
                    "" if row.bits_per_point is None else f"{row.bits_per_point:,}",
                )
                for row in rows
            ],
            num_text_columns=0,
        ),
        next_=[
            console.command(
                "compress",
                recipe="mnist-tight",
                data=data or "glyphs",
                label_column=label_column,
                out=console.new_name("tight"),
            )
        ],
    )


def _count_samples(data: str, label_column: str | None) -> int:
    from training.data.loading import load_dataset
    from training.spec.config import DataConfig

    return len(load_dataset(DataConfig(source=data, label_column=label_column)).train)
