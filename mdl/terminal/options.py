"""Options that several commands share, so that they read and behave alike everywhere."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from mdl.terminal.errors import OptionError, option_of
from training.spec.architectures import NETWORKS
from training.spec.built_in_policies import BUILT_IN_POLICIES
from training.spec.policy import read_policy_table
from training.spec.recipes import NO_POLICY

DEFAULT_DELTA = 0.05
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


Twin = Literal["d-local", "d-fc", "s-local", "s-fc"]
"""Larger networks that a network embeds in."""

Device = Literal["auto", "cpu", "cuda"]

CheckpointArgument = Annotated[
    Path, typer.Argument(metavar="CHECKPOINT", help="A checkpoint file, or the run folder of one.")
]
DeviceOption = Annotated[
    Device, typer.Option("--device", help="Where to compute; auto takes CUDA if it is there.")
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else.")
]
FullOption = Annotated[
    bool, typer.Option("--full", help="Print every table and formula, as wide as they are.")
]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Seed of every random choice.")]
BitsOption = Annotated[
    int | None, typer.Option("--bits", metavar="32|16|8", help="b, bits a number (default: 16).")
]
FormatOption = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="float32|bfloat16|float16|e4m3fn|e5m2",
        help="The set of numbers (default: bfloat16 at 16 bits, e4m3fn at 8).",
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
KeyOption = Annotated[
    str | None,
    typer.Option(
        "--key",
        help="Key that the state dict lies under in the file, with dots between nested ones.",
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


PriorOption = Annotated[
    Path | None,
    typer.Option(
        "--prior",
        metavar="NETWORK",
        help="A network fixed before the data, to describe the difference from: what mdl compress "
        "wrote, a checkpoint, or a file of bits.",
    ),
]


NETWORK, DATA, TRAINING = "Network", "Data", "Training"
"""Panels of the help."""

BaseChannelsOption = Annotated[
    int | None,
    typer.Option(
        help="α, channels of the first convolution (quick: 8; tiny-separable 5, d-local 4, d-fc "
        "and tiny-conv 2; paper: 150 for s- networks, 15 for d-, 64 for resnet18).",
        rich_help_panel=NETWORK,
    ),
]
HiddenUnitsOption = Annotated[
    int | None,
    typer.Option(help="Width of 3-fc (quick: 512; paper: 14,533).", rich_help_panel=NETWORK),
]
ImageSizeOption = Annotated[
    int | None,
    typer.Option(
        help="Side in pixels; images are resized (default: the images' own; generated: 32).",
        rich_help_panel=DATA,
    ),
]
NumTrainOption = Annotated[
    int | None,
    typer.Option(
        help="Use the first N images (default: all; generated: 20,000).", rich_help_panel=DATA
    ),
]
NumTestOption = Annotated[
    int | None,
    typer.Option(
        help="Use the first N test images (default: all; generated: 5,000).", rich_help_panel=DATA
    ),
]
LabelColumnOption = Annotated[
    str | None,
    typer.Option(
        "--label-column",
        metavar="COLUMN",
        help="The labels in a table, such as coarse_label (default: what its names say).",
        rich_help_panel=DATA,
    ),
]
SHRINKAGE_HELP = (
    "Total shrinkage under beta-lasso, in place of λ: λ Σ η over the run, in units of the initial "
    "weights. One number, or one for the conv-like and one for the fc layers: 10,2.5 (quick: 10)."
)
BatchSizeOption = Annotated[
    int | None,
    typer.Option(help="Images per step (quick: 128; paper: 512).", rich_help_panel=TRAINING),
]


def parse_shrinkage(text: str) -> tuple[float, float]:
    """What `--shrinkage` gives: for the conv-like layers and for the fc layers.

    Raises:
        BadParameter: Neither one number nor two with a comma between.

    >>> parse_shrinkage("10"), parse_shrinkage("10,2.5")
    ((10.0, 10.0), (10.0, 2.5))
    """
    try:
        conv, *rest = (float(part) for part in text.split(","))
        (fc,) = rest or (conv,)
    except ValueError:
        raise typer.BadParameter(
            f"takes one number such as 10, or two such as 10,2.5, not {text!r}",
            param_hint="--shrinkage",
        ) from None
    return conv, fc


def refuse_options(options: Mapping[str, object], reason: str) -> None:
    """Refuse options that do not fit the rest.

    Args:
        options: Setting to value; None where it was not given.
        reason: What is wrong with those that were.

    Raises:
        BadParameter: One of them was given.
    """
    given = [option_of(name) for name, value in options.items() if value is not None]
    if given:
        raise typer.BadParameter(reason, param_hint=", ".join(given))


def complete_network(incomplete: str) -> list[str]:
    """What a shell may offer for NETWORK.

    >>> complete_network("s-")
    ['s-conv', 's-local', 's-fc']
    """
    return [name for name in NETWORKS if name.startswith(incomplete)]


def read_policy(policy: str | None) -> dict[str, Any]:
    """What `--policy` gives to `recipe_config`: a name, or a file's name and its contents.

    Raises:
        OptionError: Neither a name nor a file that holds a table.
    """
    if policy is None or policy in (NO_POLICY, *BUILT_IN_POLICIES):
        return {"policy": policy}
    path = Path(policy)
    if not path.is_file():
        names = ", ".join((NO_POLICY, *BUILT_IN_POLICIES))
        raise OptionError(f"--policy {policy} is not a file; give a JSON table, or one of {names}")
    try:
        return {"policy": path.name, "policy_table": read_policy_table(path)}
    except ValueError as error:
        raise OptionError(f"--policy {error}") from error
    except OSError as error:
        raise OptionError(f"--policy {policy} cannot be read: {error.strerror}") from error
