"""`mdl sweep`: many settings, the best by validation accuracy, and what it gives."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mdl.terminal.options import (
    DATA,
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
    parse_shrinkage,
)
from training.spec.config import Method, Precision

if TYPE_CHECKING:
    from mdl.experiments.engines.engine import Engine

GRID, RUN = "Grid", "Run"


GridName = Literal["paper", "small"]
Then = Literal["report", "retrain"]
EngineName = Literal["local", "ray"]


def sweep(
    network: Annotated[
        str,
        typer.Argument(
            help="d-conv, d-local, d-fc, s-conv, s-local, s-fc, 3-fc, resnet18, tiny-conv or "
            "tiny-separable."
        ),
    ],
    grid: Annotated[
        GridName,
        typer.Option(
            help="paper: Appendix A's, 50 trials by beta-lasso or 20 by sgd. small: for a laptop.",
            rich_help_panel=GRID,
        ),
    ] = "paper",
    method: Annotated[
        Method | None,
        typer.Option(
            help="How it learns (default: beta-lasso for -fc networks, else sgd).",
            rich_help_panel=GRID,
        ),
    ] = None,
    beta: Annotated[
        float | None, typer.Option(help="Threshold is βλ (default: 50).", rich_help_panel=GRID)
    ] = None,
    lr: Annotated[
        list[float] | None,
        typer.Option(
            help="Learning rate; give it several times to try several (default: 0.1, as the paper "
            "has it after a look at 0.01 and 1).",
            rich_help_panel=GRID,
        ),
    ] = None,
    shrinkage: Annotated[
        list[str] | None,
        typer.Option(
            metavar="X[,Y]",
            help="Total shrinkage, as of mdl train, in place of the grid's λ; give it several "
            "times to try several.",
            rich_help_panel=GRID,
        ),
    ] = None,
    seeds: Annotated[
        int, typer.Option(min=1, help="Seeds of each setting, averaged.", rich_help_panel=GRID)
    ] = 1,
    then: Annotated[
        Then,
        typer.Option(
            help="report: test accuracy of the chosen runs, as the paper does. retrain: also train "
            "the chosen setting on all training images.",
            rich_help_panel=GRID,
        ),
    ] = "report",
    data: Annotated[
        str | None,
        typer.Option(
            metavar="DATA",
            help="glyphs, leaves, a hub name, or a folder (default: cifar10, glyphs for small).",
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
            min=1,
            help="Training images held out to choose by (default: 5,000, small: 2,000, at most a "
            "tenth of --num-train).",
            rich_help_panel=DATA,
        ),
    ] = None,
    policy: Annotated[
        str | None, typer.Option(help="Augmentation, as of mdl train.", rich_help_panel=DATA)
    ] = None,
    base_channels: BaseChannelsOption = None,
    hidden_units: HiddenUnitsOption = None,
    epochs: Annotated[
        int | None, typer.Option(help="Passes (default: 400, small: 60).", rich_help_panel=TRAINING)
    ] = None,
    batch_size: BatchSizeOption = None,
    precision: Annotated[
        Precision,
        typer.Option(
            help="Of the matrix products; the same on every machine.", rich_help_panel=TRAINING
        ),
    ] = "bf16",
    engine: Annotated[
        EngineName,
        typer.Option(
            help="local: processes here. ray: a Ray cluster that is there already.",
            rich_help_panel=RUN,
        ),
    ] = "local",
    index: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Run trial N of the list alone, as a task of a job array does.",
            rich_help_panel=RUN,
        ),
    ] = None,
    only_list: Annotated[
        bool,
        typer.Option(
            "--list",
            help="Say how many trials, and the script of a job array; --full lists them.",
            rich_help_panel=RUN,
        ),
    ] = False,
    collect: Annotated[
        bool,
        typer.Option("--collect", help="Run nothing; show what is there.", rich_help_panel=RUN),
    ] = False,
    store: Annotated[Path, typer.Option(help="Folder of results.", rich_help_panel=RUN)] = Path(
        "experiments"
    ),
    workers: Annotated[
        int | None,
        typer.Option(
            min=1, help="Trials at once (default: 1; ray: as many as fit).", rich_help_panel=RUN
        ),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(
            min=1, help="Threads of a trial (default: the libraries'; ray: 1).", rich_help_panel=RUN
        ),
    ] = None,
    retries: Annotated[
        int,
        typer.Option(min=0, help="Times that a failed trial is tried again.", rich_help_panel=RUN),
    ] = 1,
    device: DeviceOption = "auto",
    full: Annotated[bool, typer.Option("--full", help="Print every trial.")] = False,
    json: JsonOption = False,
) -> None:
    """Train a network with many settings and choose by validation accuracy.

    Every finished trial is kept, so the same command resumes where it was stopped. The test set has
    no part in the choice.
    """
    modes = {"--index": index is not None, "--list": only_list, "--collect": collect}
    if sum(modes.values()) > 1:
        raise typer.BadParameter("choose one of --index, --list and --collect")
    if index is not None and engine == "ray":
        raise typer.BadParameter("runs here; leave out --engine ray", param_hint="--index")

    from mdl.experiments.store.result_store import ResultStore
    from mdl.experiments.sweep.sweep_run import (
        check_images,
        own_command,
        plan_trials,
        run_all,
        run_one,
        show_collected,
        show_list,
    )
    from training.spec.recipes import default_method

    chosen_method = method or default_method(network)
    for option, value in (("--beta", beta), ("--shrinkage", shrinkage)):
        if value is not None and chosen_method == "sgd":
            raise typer.BadParameter("belongs to --method beta-lasso", param_hint=option)
    trials = plan_trials(
        network,
        grid,
        {
            "base_channels": base_channels,
            "hidden_units": hidden_units,
            "epochs": epochs,
            "batch_size": batch_size,
            "precision": precision,
            "beta": beta,
            "method": chosen_method,
            "policy": policy,
        },
        {
            "source": data,
            "label_column": label_column,
            "image_size": image_size,
            "num_train": num_train,
            "num_test": num_test,
            "validation": validation,
        },
        learning_rates=lr or (),
        shrinkages=[parse_shrinkage(each) for each in shrinkage or ()],
        num_seeds=seeds,
    )
    results, command = ResultStore(store), own_command(sys.argv[1:])
    if only_list:
        show_list(trials, command=command, full=full, as_json=json)
        return
    if collect:
        show_collected(trials, results, then=then, command=command, full=full, as_json=json)
        return
    if engine == "local":
        from mdl.terminal.devices import choose_device, say_if_emulated

        say_if_emulated(precision, choose_device(device))
    chosen = _make_engine(engine, workers, threads, retries, device)
    if index is not None:
        code = run_one(trials, index, results, chosen, command=command, as_json=json)
    else:
        if engine == "local":
            check_images(trials)
        code = run_all(trials, results, chosen, then=then, command=command, full=full, as_json=json)
    raise typer.Exit(code)


def _make_engine(
    name: EngineName, workers: int | None, threads: int | None, retries: int, device: Device
) -> "Engine":
    if name == "local":
        from mdl.experiments.engines.local_engine import LocalEngine

        return LocalEngine(
            workers=1 if workers is None else workers,
            threads=threads,
            retries=retries,
            device=device,
        )
    try:
        from mdl.experiments.engines.ray_engine import RayEngine
    except ModuleNotFoundError as error:
        raise typer.BadParameter(
            f"ray needs the package {error.name}; install it with pip install 'ray[tune]'",
            param_hint="--engine",
        ) from error
    return RayEngine(
        workers=workers, threads=1 if threads is None else threads, retries=retries, device=device
    )
