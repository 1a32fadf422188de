"""Options of the commands that train: which network, which images, how they are gone through."""

from typing import Annotated

import typer

NETWORK, DATA, TRAINING = "Network", "Data", "Training"
"""Panels of the help."""

BaseChannelsOption = Annotated[
    int | None, typer.Option(help="α, channels of the first convolution.", rich_help_panel=NETWORK)
]
HiddenUnitsOption = Annotated[
    int | None, typer.Option(help="Width of 3-fc.", rich_help_panel=NETWORK)
]
ImageSizeOption = Annotated[
    int | None, typer.Option(help="Side in pixels; images are resized.", rich_help_panel=DATA)
]
NumTrainOption = Annotated[
    int | None, typer.Option(help="Use the first N images.", rich_help_panel=DATA)
]
NumTestOption = Annotated[
    int | None, typer.Option(help="Use the first N test images.", rich_help_panel=DATA)
]
BatchSizeOption = Annotated[
    int | None, typer.Option(help="Images per step. (default: 512)", rich_help_panel=TRAINING)
]
