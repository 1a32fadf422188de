"""`mdl train`: from images to a checkpoint."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mdl import console
from mdl.options import Device, DeviceOption, JsonOption
from mdl.training_choices import Method, Normalize, Precision, Recipe, Shard, Sparse

if TYPE_CHECKING:
    from mdl.training_plan import TrainingPlan
    from training.save_schedule import SaveInterval


NETWORK, DATA, TRAINING, RUN = "Network", "Data", "Training", "Run"


def train(
    network: Annotated[
        str | None,
        typer.Argument(
            help="d-conv, d-local, d-fc, s-conv, s-local, s-fc, 3-fc, resnet18 or tiny-conv."
        ),
    ] = None,
    recipe: Annotated[
        Recipe | None,
        typer.Option(help="Named defaults; every flag overrides them. (default: quick)"),
    ] = None,
    base_channels: Annotated[
        int | None,
        typer.Option(help="α, channels of the first convolution.", rich_help_panel=NETWORK),
    ] = None,
    hidden_units: Annotated[
        int | None, typer.Option(help="Width of 3-fc.", rich_help_panel=NETWORK)
    ] = None,
    kernel_size: Annotated[
        int | None, typer.Option(help="Kernel of resnet18, odd.", rich_help_panel=NETWORK)
    ] = None,
    dropout: Annotated[
        float | None,
        typer.Option(help="Dropout on the last two fc layers.", rich_help_panel=NETWORK),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="glyphs, a hub name such as cifar10, or a folder: parquet files, or "
            "train/CLASS/*.png and test/CLASS/*.png. (default: glyphs)",
            rich_help_panel=DATA,
        ),
    ] = None,
    image_size: Annotated[
        int | None, typer.Option(help="Side in pixels; images are resized.", rich_help_panel=DATA)
    ] = None,
    num_train: Annotated[
        int | None, typer.Option(help="Use the first so many images.", rich_help_panel=DATA)
    ] = None,
    num_test: Annotated[
        int | None, typer.Option(help="Use the first so many test images.", rich_help_panel=DATA)
    ] = None,
    validation: Annotated[
        int | None,
        typer.Option(help="Training images held out for selection.", rich_help_panel=DATA),
    ] = None,
    permute_pixels: Annotated[
        int | None,
        typer.Option(help="Seed of one permutation of all pixels.", rich_help_panel=DATA),
    ] = None,
    normalize: Annotated[
        Normalize | None,
        typer.Option(
            help="Constants fixed before the data, or the training set's. (default: fixed)",
            rich_help_panel=DATA,
        ),
    ] = None,
    data_seed: Annotated[
        int | None,
        typer.Option(help="Seed of glyphs and of the validation split.", rich_help_panel=DATA),
    ] = None,
    flip: Annotated[
        bool | None,
        typer.Option(
            "--flip/--no-flip", help="Mirror images; off for digits.", rich_help_panel=DATA
        ),
    ] = None,
    crop: Annotated[
        int | None, typer.Option(help="Padding of the random crop.", rich_help_panel=DATA)
    ] = None,
    cutout: Annotated[
        int | None, typer.Option(help="Side of the cutout square.", rich_help_panel=DATA)
    ] = None,
    policy: Annotated[
        str | None,
        typer.Option(
            help="none, trivial, rand, autoaugment-cifar10, autoaugment-svhn, or a Fast "
            "AutoAugment table, JSON. (default: none; paper recipes: that of the data)",
            rich_help_panel=DATA,
        ),
    ] = None,
    method: Annotated[
        Method | None,
        typer.Option(
            help="Default: beta-lasso for -fc networks, else sgd.", rich_help_panel=TRAINING
        ),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(help="Passes over the images.", rich_help_panel=TRAINING)
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Images a step. (default: 512)", rich_help_panel=TRAINING)
    ] = None,
    lr: Annotated[
        float | None,
        typer.Option(
            help="Learning rate η at the start of its cosine schedule. (default: 0.1)",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    l1_conv: Annotated[
        float | None, typer.Option(help="λ of conv-like layers.", rich_help_panel=TRAINING)
    ] = None,
    l1_fc: Annotated[
        float | None, typer.Option(help="λ of the fc layers.", rich_help_panel=TRAINING)
    ] = None,
    beta: Annotated[
        float | None, typer.Option(help="Threshold is βλ. (default: 50)", rich_help_panel=TRAINING)
    ] = None,
    momentum: Annotated[
        float | None, typer.Option(help="Of sgd.", rich_help_panel=TRAINING)
    ] = None,
    weight_decay: Annotated[
        float | None, typer.Option(help="Of sgd.", rich_help_panel=TRAINING)
    ] = None,
    precision: Annotated[
        Precision | None,
        typer.Option(
            help="Of the matrix products. (default: bf16 where the device has it)",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(help="Seed of all random choices. (default: 0)", rich_help_panel=TRAINING),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="The run folder. (default: the next number in runs/)", rich_help_panel=RUN
        ),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(help="Go on with this run folder, as configured.", rich_help_panel=RUN),
    ] = None,
    save_every: Annotated[
        str,
        typer.Option(
            help="Between checkpoints: epochs (5), steps (500steps) or time (90s, 10m, 2h). Saving "
            "keeps to 2 % of the time, so short intervals are stretched.",
            rich_help_panel=RUN,
        ),
    ] = "1",
    evaluate_every: Annotated[
        int, typer.Option(min=1, help="Epochs between evaluations.", rich_help_panel=RUN)
    ] = 1,
    shard: Annotated[
        Shard,
        typer.Option(
            help="Share the weights out among ranks (FSDP2); auto: where a copy outgrows a card.",
            rich_help_panel=RUN,
        ),
    ] = Shard.auto,
    sparse: Annotated[
        Sparse,
        typer.Option(
            help="Compute with nonzeros alone under beta-lasso; auto: in layers where that is "
            "faster. The weights are the same but for rounding.",
            rich_help_panel=RUN,
        ),
    ] = Sparse.never,
    device: DeviceOption = Device.auto,
    json: JsonOption = False,
) -> None:
    """Train a network and write its checkpoint.

    Ctrl-C saves and stops; --resume goes on to the same weights. On many GPUs and machines:
    torchrun --nproc-per-node GPUS -m mdl train ..., with the same options and results.
    """
    settings = {
        "base_channels": base_channels, "hidden_units": hidden_units, "kernel_size": kernel_size,
        "dropout": dropout, "flip": flip, "crop": crop, "cutout": cutout, "policy": policy,
        "method": _value(method), "epochs": epochs, "batch_size": batch_size, "lr": lr,
        "l1_conv": l1_conv, "l1_fc": l1_fc, "beta": beta, "momentum": momentum,
        "weight_decay": weight_decay, "precision": _value(precision), "seed": seed,
    }  # fmt: skip
    data_settings = {
        "source": data, "image_size": image_size, "num_train": num_train, "num_test": num_test,
        "validation": validation, "permute_pixels": permute_pixels,
        "normalize": _value(normalize), "seed": data_seed,
    }  # fmt: skip
    interval = _parse_interval(save_every)
    given = {"network": network, "recipe": recipe, "out": out} | settings | data_settings
    if resume is not None:
        allowed = ("source",)  # the same images may lie elsewhere now; checked by fingerprint
        extra = [name for name, value in given.items() if value is not None and name not in allowed]
        if extra:
            options = ", ".join(_as_typed(name) for name in extra)
            raise typer.BadParameter(
                f"{options} cannot change a run that goes on; use --resume alone, "
                "with --data, --device, --shard, --sparse, --save-every or --evaluate-every",
                param_hint="--resume",
            )
    elif network is None:
        raise typer.BadParameter("name a network, such as s-fc", param_hint="NETWORK")

    from mdl.launch import launched_ranks
    from mdl.training_plan import plan_new, plan_resumed
    from mdl.training_run import carry_out

    with launched_ranks(device) as (ranks, chosen):

        def make_plan() -> "TrainingPlan":
            if resume is not None:
                return plan_resumed(resume, source=data, ranks=ranks, sharding=shard.value)
            if precision is None:
                settings["precision"] = _choose_precision(device)
            return plan_new(
                network or "", str(recipe or Recipe.quick), settings, data_settings, out=out,
                ranks=ranks, sharding=shard.value,
            )  # fmt: skip

        code = carry_out(
            ranks.from_first(make_plan), ranks=ranks, device=chosen, sharding=shard.value,
            sparsity=sparse.value, save_every=interval, evaluate_every=evaluate_every, as_json=json,
        )  # fmt: skip
    raise typer.Exit(code)


def _as_typed(name: str) -> str:
    return "NETWORK" if name == "network" else "--" + name.replace("_", "-")


def _choose_precision(device: Device) -> str:
    from mdl.devices import choose_device
    from training.arithmetic import choose_precision

    precision, reason = choose_precision(choose_device(device))
    console.stderr().print(f"Arithmetic: {precision}, {reason}.", markup=False)
    return precision


def _parse_interval(text: str) -> "SaveInterval":
    from training.save_schedule import SaveInterval

    try:
        return SaveInterval.parse(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--save-every") from error


def _value(choice: StrEnum | None) -> str | None:
    return None if choice is None else choice.value
