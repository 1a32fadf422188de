"""Options that several commands share, so that they read and behave alike everywhere."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

OTHERS = "Another program's network"
"""The panel of options about networks that mdl has not trained."""


def check_delta(delta: float) -> float:
    """Refuse what is no probability of failure.

    Raises:
        BadParameter: Outside (0, 1).

    >>> check_delta(0.05)
    0.05
    """
    if not 0 < delta < 1:
        raise typer.BadParameter(f"δ must lie in (0, 1), not {delta}")
    return delta


class Device(StrEnum):
    """Where tensors live."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


CheckpointArgument = Annotated[
    Path, typer.Argument(metavar="CHECKPOINT", help="A checkpoint file, or the run folder of one.")
]
DeviceOption = Annotated[
    Device, typer.Option("--device", help="Where to compute; auto takes CUDA if it is there.")
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else.")
]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Seed of every random choice.")]
BitsOption = Annotated[
    int | None, typer.Option("--bits", help="b, bits a number: 32, 16 or 8 (default: 16).")
]
FormatOption = Annotated[
    str | None,
    typer.Option(
        "--format",
        help="The set of numbers: float32, bfloat16, float16, e4m3fn or e5m2 "
        "(default: bfloat16 at 16 bits, e4m3fn at 8).",
    ),
]
DeltaOption = Annotated[
    float,
    typer.Option(
        "--delta", callback=check_delta, help="δ: a bound may fail with this probability."
    ),
]
FixedOption = Annotated[
    list[str] | None,
    typer.Option(
        "--fixed",
        help="Name or pattern of tensors that the code sets without data; not coded.",
        rich_help_panel=OTHERS,
    ),
]
BnEpsOption = Annotated[
    float | None,
    typer.Option(
        "--bn-eps",
        help="ε of its BatchNorms, the same in mdl encode and mdl decode (default: 1e-5).",
        rich_help_panel=OTHERS,
    ),
]
