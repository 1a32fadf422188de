"""`mdl train`: from images to a checkpoint."""

from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mdl.terminal import console
from mdl.terminal.errors import option_of
from mdl.terminal.options import (
    DATA,
    NETWORK,
    SHRINKAGE_HELP,
    TRAINING,
    BaseChannelsOption,
    BatchSizeOption,
    Device,
    DeviceOption,
    HiddenUnitsOption,
    ImageSizeOption,
    JsonOption,
    LabelColumnOption,
    NumTestOption,
    NumTrainOption,
    complete_network,
    parse_shrinkage,
)
from training.spec.config import Method, Normalize, Precision, SaveInterval, Sharding, Sparsity
from training.spec.recipes import RecipeName

if TYPE_CHECKING:
    from mdl.cli.training import TrainingPlan

RUN = "Run"


class Log(StrEnum):
    """Where every epoch is logged beside the run folder; Typer takes no list of a `Literal`."""

    tensorboard = "tensorboard"
    wandb = "wandb"


def train(
    network: Annotated[
        str | None,
        typer.Argument(
            help="d-conv, d-local, d-fc, s-conv, s-local, s-fc, 3-fc, resnet18, tiny-conv or "
            "tiny-separable.",
            autocompletion=complete_network,
        ),
    ] = None,
    recipe: Annotated[
        RecipeName | None,
        typer.Option(help="A named set of settings; every flag overrides them (default: quick)."),
    ] = None,
    base_channels: BaseChannelsOption = None,
    hidden_units: HiddenUnitsOption = None,
    kernel_size: Annotated[
        int | None,
        typer.Option(help="Kernel of resnet18, odd (default: 3).", rich_help_panel=NETWORK),
    ] = None,
    dropout: Annotated[
        float | None,
        typer.Option(
            help="Dropout on the last two fc layers (default: 0).", rich_help_panel=NETWORK
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="DATA",
            help="glyphs, handwriting, leaves, a hub name such as cifar10, or a folder: parquet "
            "files, train/CLASS/*.png and test/CLASS/*.png, .npz, MNIST's idx files or CIFAR's "
            "pickles (default: glyphs).",
            rich_help_panel=DATA,
        ),
    ] = None,
    label_column: LabelColumnOption = None,
    image_size: ImageSizeOption = None,
    num_train: NumTrainOption = None,
    num_test: NumTestOption = None,
    validation: Annotated[
        int | None,
        typer.Option(
            help="Training images held out for selection (default: 0).", rich_help_panel=DATA
        ),
    ] = None,
    permute_pixels: Annotated[
        int | None,
        typer.Option(help="Seed of one permutation of all pixels.", rich_help_panel=DATA),
    ] = None,
    normalize: Annotated[
        Normalize | None,
        typer.Option(
            help="Constants fixed before the data, or the training set's (default: fixed).",
            rich_help_panel=DATA,
        ),
    ] = None,
    data_seed: Annotated[
        int | None,
        typer.Option(
            help="Seed of generated images and of the validation split.", rich_help_panel=DATA
        ),
    ] = None,
    flip: Annotated[
        bool | None,
        typer.Option(
            "--flip/--no-flip", help="Mirror images; off for digits.", rich_help_panel=DATA
        ),
    ] = None,
    crop: Annotated[
        int | None,
        typer.Option(help="Padding of the random crop (default: 4).", rich_help_panel=DATA),
    ] = None,
    cutout: Annotated[
        int | None,
        typer.Option(help="Side of the cutout square (quick: 0; paper: 16).", rich_help_panel=DATA),
    ] = None,
    policy: Annotated[
        str | None,
        typer.Option(
            help="none, trivial, rand, autoaugment-cifar10, autoaugment-svhn, or a Fast "
            "AutoAugment table, JSON (default: none; paper recipes: that of the data).",
            rich_help_panel=DATA,
        ),
    ] = None,
    method: Annotated[
        Method | None,
        typer.Option(
            help="How it learns (default: beta-lasso for -fc networks, else sgd).",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(
            help="Passes over the images (quick: 60; paper-400: 400; paper-4000: 4000).",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    batch_size: BatchSizeOption = None,
    lr: Annotated[
        float | None,
        typer.Option(
            help="Learning rate η at the start of its cosine schedule (0.1; quick by beta-lasso: "
            "1).",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    l1_conv: Annotated[
        float | None,
        typer.Option(
            help="λ of conv-like layers under beta-lasso (quick: as --shrinkage; paper: 1e-5).",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    l1_fc: Annotated[
        float | None,
        typer.Option(
            help="λ of the fc layers under beta-lasso (quick: as --shrinkage; paper: 2e-6).",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    shrinkage: Annotated[
        str | None, typer.Option(metavar="X[,Y]", help=SHRINKAGE_HELP, rich_help_panel=TRAINING)
    ] = None,
    beta: Annotated[
        float | None,
        typer.Option(
            help="Of beta-lasso: the threshold is βλ (default: 50).", rich_help_panel=TRAINING
        ),
    ] = None,
    momentum: Annotated[
        float | None, typer.Option(help="Of sgd (default: 0.9).", rich_help_panel=TRAINING)
    ] = None,
    weight_decay: Annotated[
        float | None, typer.Option(help="Of sgd (default: 5e-4).", rich_help_panel=TRAINING)
    ] = None,
    precision: Annotated[
        Precision | None,
        typer.Option(
            help="Of the matrix products (default: bf16 where the device has it).",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(help="Seed of all random choices (default: 0).", rich_help_panel=TRAINING),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="The run folder (default: the next number in runs/).", rich_help_panel=RUN
        ),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            help="Continue this run folder from its last checkpoint. It keeps its network, data, "
            "training and seed; give anew what else you want: --save-every, --evaluate-every, "
            "--shard, --sparse, --log-to, --device, and --data if the images lie elsewhere now.",
            rich_help_panel=RUN,
        ),
    ] = None,
    save_every: Annotated[
        str,
        typer.Option(
            help="Between checkpoints: epochs (5), steps (500steps) or time (90s, 10m, 2h). Saving "
            "keeps to 2% of the time, so short intervals are stretched.",
            rich_help_panel=RUN,
        ),
    ] = "1",
    evaluate_every: Annotated[
        int, typer.Option(min=1, help="Epochs between evaluations.", rich_help_panel=RUN)
    ] = 1,
    shard: Annotated[
        Sharding,
        typer.Option(
            help="Share the weights out among ranks (FSDP2); auto: where a copy outgrows a card.",
            rich_help_panel=RUN,
        ),
    ] = "auto",
    sparse: Annotated[
        Sparsity,
        typer.Option(
            help="Compute with nonzeros alone under beta-lasso; auto: in layers where that is "
            "faster as timed here; typical: where it typically is, so that the run repeats exactly "
            "on a CPU; always: where it takes less memory. The same weights but for rounding.",
            rich_help_panel=RUN,
        ),
    ] = "auto",
    log_to: Annotated[
        list[Log] | None,
        typer.Option(
            help="Log every epoch to TensorBoard or Weights & Biases too; may be given again. "
            "Needs the package of that name: pip install wandb.",
            rich_help_panel=RUN,
        ),
    ] = None,
    device: DeviceOption = "auto",
    json: JsonOption = False,
) -> None:
    """Train a network and write its checkpoint.

    Ctrl-C saves and stops; --resume continues to the same weights. On many GPUs and machines:
    torchrun --nproc-per-node GPUS -m mdl train ..., with the same options and results.
    """
    settings = {
        "base_channels": base_channels,
        "hidden_units": hidden_units,
        "kernel_size": kernel_size,
        "dropout": dropout,
        "flip": flip,
        "crop": crop,
        "cutout": cutout,
        "policy": policy,
        "method": method,
        "epochs": epochs,
        "batch_size": batch_size,
        "lr": lr,
        "l1_conv": l1_conv,
        "l1_fc": l1_fc,
        "shrinkage": None if shrinkage is None else parse_shrinkage(shrinkage),
        "beta": beta,
        "momentum": momentum,
        "weight_decay": weight_decay,
        "precision": precision,
        "seed": seed,
    }
    data_settings = {
        "source": data,
        "label_column": label_column,
        "image_size": image_size,
        "num_train": num_train,
        "num_test": num_test,
        "validation": validation,
        "permute_pixels": permute_pixels,
        "normalize": normalize,
        "seed": data_seed,
    }
    interval = _parse_interval(save_every)
    if resume is not None:
        own = settings | data_settings | {"network": network, "recipe": recipe, "out": out}
        own |= {"seed": seed, "data_seed": data_seed, "source": None}  # its images may have moved
        _refuse_beside_resume(own)
    elif network is None:
        raise typer.BadParameter("name a network, such as s-fc", param_hint="NETWORK")

    from mdl.cli.training import carry_out, launched_ranks, plan_new, plan_resumed
    from mdl.loggers.logged_progress import check_logs
    from mdl.terminal.devices import say_if_emulated
    from training.distributed.run_options import RunOptions

    logs = tuple(dict.fromkeys(each.value for each in log_to or ()))
    with ExitStack() as held, launched_ranks(device) as (ranks, chosen):
        options = RunOptions(
            device=chosen,
            ranks=ranks,
            sharding=shard,
            sparsity=sparse,
            save_every=interval,
            evaluate_every=evaluate_every,
        )

        def make_plan() -> "TrainingPlan":
            check_logs(logs)
            if resume is not None:
                plan = plan_resumed(resume, source=data, options=options, held=held)
                say_if_emulated(plan.config.precision, chosen)
                return plan
            reason = None
            if precision is None:
                settings["precision"], reason = _choose_precision(device)
            plan = plan_new(
                network or "",
                recipe or "quick",
                settings,
                data_settings,
                out=out,
                options=options,
                held=held,
            )
            if reason is not None:
                line = f"Arithmetic: {plan.config.precision}, {reason}."
                console.stderr().print(line, markup=False)
            say_if_emulated(plan.config.precision, chosen)
            return plan

        code = carry_out(ranks.from_first(make_plan), options, as_json=json, logs=logs)
    raise typer.Exit(code)


def _refuse_beside_resume(given: dict[str, Any]) -> None:
    """Refuse settings of a run that has its own."""
    options = [option_of(name) for name, value in given.items() if value is not None]
    if options:
        raise typer.BadParameter(
            f"{', '.join(options)} cannot change a resumed run; use --resume alone, with "
            "--data, --device, --shard, --sparse, --log-to, --save-every or --evaluate-every",
            param_hint="--resume",
        )


def _choose_precision(device: Device) -> tuple[str, str]:
    from mdl.terminal.devices import choose_device
    from training.run.precision import choose_precision

    return choose_precision(choose_device(device))


def _parse_interval(text: str) -> SaveInterval:
    try:
        return SaveInterval.parse(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--save-every") from error
