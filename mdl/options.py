"""Options that several commands share, so that they read and behave alike everywhere."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


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
