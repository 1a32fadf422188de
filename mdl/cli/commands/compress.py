"""`mdl compress`: the network whose certified bound is lowest, from a checkpoint or a recipe."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from mdl.terminal import console
from mdl.terminal.options import (
    DATA,
    DEFAULT_DELTA,
    DeltaOption,
    ImageSizeOption,
    JsonOption,
    LabelColumnOption,
    NumTrainOption,
    SeedOption,
    refuse_options,
)

if TYPE_CHECKING:
    from analysis.quantize.formats import NumberFormat

_DEFAULT_BITS = 8


def compress(
    out: Annotated[Path, typer.Option("--out", "-o", help="The new folder of the result.")],
    checkpoint: Annotated[
        Path | None,
        typer.Argument(metavar="CHECKPOINT", help="A checkpoint file, or its run folder."),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            metavar="mnist-tight|cifar10-tight", help="Train a short network from nothing instead."
        ),
    ] = None,
    prior: Annotated[
        Path | None,
        typer.Option(
            metavar="NETWORK",
            help="Start at this network, which has not seen the images, and describe the "
            "difference; the recipe gives the settings. What mdl compress wrote, or its bits.",
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="DATA",
            help="The data set: glyphs, handwriting, leaves, a name such as mnist, or a folder. A "
            "recipe needs it; a checkpoint only where the data have moved.",
        ),
    ] = None,
    label_column: LabelColumnOption = None,
    image_size: ImageSizeOption = None,
    num_train: NumTrainOption = None,
    validation: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Training images that a recipe leaves out: what it makes can be a split prior, "
            "which then says itself which they are.",
            rich_help_panel=DATA,
        ),
    ] = None,
    data_seed: Annotated[
        int | None,
        typer.Option(
            min=0, help="Seed of generated images and of the images left out.", rich_help_panel=DATA
        ),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Epochs of quantization-aware training (default: 10; mnist-tight: 100; "
            "cifar10-tight: 45).",
        ),
    ] = None,
    levels: Annotated[
        list[int] | None,
        typer.Option(
            min=1,
            max=16,
            help="L: weights are -L..L times a step. For a checkpoint it may be repeated and the "
            "best is taken (default: 1, 2 and 4; with a recipe: 1).",
        ),
    ] = None,
    trials: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Changes of one number to try at the end (default: 0; mnist-tight: 1,500; "
            "cifar10-tight: 1,000). Networks of more than 20,000 weights skip them.",
        ),
    ] = None,
    width: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Base channels α of a recipe's network (mnist-tight: 2; cifar10-tight: 5); a "
            "prior has its own.",
        ),
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Images per step (default: 256; cifar10-tight: 64).")
    ] = None,
    lr: Annotated[
        float | None,
        typer.Option(
            help="Learning rate of the training (default: 0.01; mnist-tight: 0.02; "
            "cifar10-tight: 0.007)."
        ),
    ] = None,
    penalty: Annotated[
        float | None,
        typer.Option(
            help="Weight of the bits against the errors while it trains, in units of what the "
            "bound says; less leaves more bits and fewer errors (default: 3)."
        ),
    ] = None,
    crop: Annotated[
        int | None, typer.Option(min=0, help="Padding of a recipe's random crop (default: 0).")
    ] = None,
    flip: Annotated[
        bool | None,
        typer.Option(
            "--flip/--no-flip", help="Mirror a recipe's images while it learns (default: no)."
        ),
    ] = None,
    precision: Annotated[
        Literal["bf16", "fp32"] | None,
        typer.Option(
            help="Of the matrix products of training (default: bf16 where the device has it); "
            "errors are counted exactly."
        ),
    ] = None,
    delta: DeltaOption = 0.05,
    bits: Annotated[
        int | None, typer.Option("--bits", metavar="32|16|8", help="b, bits a number (default: 8).")
    ] = None,
    number_format: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="float32|bfloat16|float16|e4m3fn",
            help="The set of numbers (default: e4m3fn).",
        ),
    ] = None,
    seed: SeedOption = 0,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads to compute with (default: torch's).")
    ] = None,
    plot: Annotated[
        bool, typer.Option("--plot", help="Also draw the curve: compression.png.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Shorten a network where that lowers its certified bound, and write its bits.

    Threshold, number of levels and rounding are chosen by the bound itself; then
    quantization-aware training follows, with the rate penalty that the bound sets.
    A recipe is a network and its settings by name: --recipe trains that network from nothing,
    or, with --prior, from a network that was fixed before the data.

    The folder holds network.mdl (the bits), checkpoint.pt (the decoded network) and
    compression.json (the curve of bits, training errors and bound; where bits go).

    Stopped by Ctrl-C or by the machine, the same command on the same folder continues.
    """
    drawn: dict[str, Any] = {
        "label_column": label_column,
        "image_size": image_size,
        "num_train": num_train,
        "validation": validation,
        "data_seed": data_seed,
    }
    _check_options(checkpoint, recipe, data, prior)
    if checkpoint is not None:
        refuse_options(drawn, "a checkpoint says it itself")
        refuse_options({"width": width, "crop": crop, "flip": flip}, "only a recipe takes it")
    if prior is not None:
        refuse_options({"width": width, "validation": validation}, "the prior has its own")
    if recipe is not None and levels is not None and len(levels) > 1:
        raise typer.BadParameter("a recipe takes one number of levels", param_hint="--levels")
    for name, value in (("--lr", lr), ("--penalty", penalty)):
        if value is not None and not 0 < value < float("inf"):
            raise typer.BadParameter(f"must be > 0, not {value}", param_hint=name)

    import torch

    from mdl.cli.bound import choose_format
    from mdl.cli.compress import carry_out, check_place, print_compression
    from mdl.cli.compress_jobs import Wishes, plan_checkpoint, plan_prior, plan_recipe
    from mdl.terminal.devices import say_if_emulated
    from training.run.precision import choose_precision
    from training.spec.config import DataConfig

    check_place(out)
    is_open = bits is None and number_format is None
    chosen = choose_format(_DEFAULT_BITS if is_open else bits, number_format)
    _check_levels_fit(chosen)
    if threads is not None:
        torch.set_num_threads(threads)
    cpu = torch.device("cpu")
    arithmetic = precision or choose_precision(cpu)[0]
    say_if_emulated(arithmetic, cpu)
    wishes = Wishes(
        epochs=epochs,
        levels=levels,
        batch_size=batch_size,
        lr=lr,
        trials=trials,
        width=width,
        seed=seed,
        delta=delta,
        precision=arithmetic,
        penalty=penalty,
        crop=crop,
        flip=flip,
    )
    if checkpoint is not None:
        job = plan_checkpoint(checkpoint, data, chosen, wishes)
    else:
        config = DataConfig(
            source=data or "",
            label_column=label_column,
            image_size=image_size,
            num_train=num_train,
            validation=validation or 0,
            seed=data_seed or 0,
        )
        if prior is None:
            job = plan_recipe(recipe or "", config, chosen, wishes)
        else:
            job = plan_prior(recipe or "", config, chosen, wishes, prior)
    given = {
        "recipe": recipe,
        "prior": prior,
        "data": data,
        **drawn,
        "epochs": epochs,
        "levels": levels,
        "trials": trials,
        "width": width,
        "batch_size": batch_size,
        "lr": lr,
        "penalty": penalty,
        "crop": crop,
        "flip": flip,
        "no_flip": flip is False,
        "precision": precision,
        "delta": None if delta == DEFAULT_DELTA else delta,
        "bits": bits,
        "format": number_format,
        "seed": seed or None,
        "threads": threads,
    }
    words = ["compress"] if checkpoint is None else ["compress", checkpoint]
    again = console.command(*words, **given, plot=plot, json=json, out=out)
    done = carry_out(out, job, more={"seed": seed, "recipe": recipe}, plot=plot, again=again)
    if isinstance(done, int):
        raise typer.Exit(done)
    compression, report = done
    if json:
        console.print_json(report | {"folder": str(out)})
        return
    print_compression(out, job, compression, report, checkpoint=checkpoint, given=given)


def _check_options(
    checkpoint: Path | None, recipe: str | None, data: str | None, prior: Path | None
) -> None:
    """Refuse what to compress if it is neither a checkpoint nor a recipe with its data set."""
    if (checkpoint is None) == (recipe is None):
        raise typer.BadParameter("give one of the two", param_hint="CHECKPOINT, --recipe")
    if recipe is not None and data is None:
        raise typer.BadParameter(
            "a recipe needs the data set whose training images are the m samples",
            param_hint="--data",
        )
    if prior is not None and recipe is None:
        raise typer.BadParameter("it takes the settings of a --recipe", param_hint="--prior")


def _check_levels_fit(number_format: "NumberFormat") -> None:
    """Refuse numbers among which not every level is."""
    import torch

    from analysis.compress.qat_network import MAX_SHIFT_LEVEL

    levels = torch.arange(MAX_SHIFT_LEVEL + 1.0)
    if not torch.equal(number_format.round(levels), levels):
        raise typer.BadParameter(
            f"{number_format.name} does not hold all levels 0..{MAX_SHIFT_LEVEL} of the "
            "shifts, whatever --levels says; take e4m3fn",
            param_hint="--format",
        )
