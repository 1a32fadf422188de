"""`mdl evaluate`: errors of a checkpoint on its training, validation and test images."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

from mdl.terminal import console
from mdl.terminal.options import CheckpointArgument, DeviceOption, JsonOption

if TYPE_CHECKING:
    import torch

    from training.checkpoint.checkpoint import Checkpoint
    from training.run.evaluate import EvaluationData

FRESH_BLOCK = 10_000
"""Fresh images drawn and forgotten at a time."""


def evaluate(
    checkpoint: CheckpointArgument,
    data: Annotated[
        str | None, typer.Option(metavar="DATA", help="Where the same data set lies now.")
    ] = None,
    fresh: Annotated[
        int,
        typer.Option(
            min=0, help="Draw N new images of a generated data set: they estimate the true error."
        ),
    ] = 0,
    predictions: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.npz", help="Write its classes on the test images, as certify takes them."
        ),
    ] = None,
    device: DeviceOption = "auto",
    json: JsonOption = False,
) -> None:
    """Count the errors of a checkpoint, with 95% Clopper-Pearson intervals."""
    from mdl.terminal.devices import choose_device
    from training.checkpoint.checkpoint import load_checkpoint, restore_network
    from training.run.evaluate import count_errors, evaluation_data

    if predictions is not None and predictions.suffix != ".npz":
        raise typer.BadParameter(f"must end in .npz, not {predictions}", param_hint="--predictions")
    chosen = choose_device(device)
    loaded = load_checkpoint(checkpoint)
    network = restore_network(loaded).to(chosen)
    images = evaluation_data(loaded, source=data)
    results = {}
    for split in ("train", "validation", "test"):
        part = getattr(images, split)
        if len(part):
            errors = count_errors(network, part, images.inputs, device=chosen)
            results[split] = _with_interval(errors, len(part))
    if predictions is not None:
        _write_predictions(predictions, network, images, chosen)
    if fresh:
        errors = _count_fresh_errors(loaded, network, fresh, chosen)
        results["fresh"] = _with_interval(errors, fresh)
    if json:
        console.print_json({"checkpoint": str(checkpoint), "data": images.name, "splits": results})
        return
    split, row = list(results.items())[-1]  # the one closest to the true error
    console.print_answer(
        f"{loaded.network.name} on {images.name}: {row['error']:.2%} errors on {split} images "
        f"(95% interval: {row['low']:.2%} to {row['high']:.2%}).",
        "Errors counted in float32; by mdl certify in exact integers: a few may differ.",
        *([] if predictions is None else [f"Predictions on the test images: {predictions}"]),
        table=console.Rows(
            columns=("images", "number", "errors", "error", "95% interval"),
            rows=[
                (
                    split,
                    f"{row['num_samples']:,}",
                    f"{row['num_errors']:,}",
                    f"{row['error']:.2%}",
                    f"{row['low']:.2%} to {row['high']:.2%}",
                )
                for split, row in results.items()
            ],
        ),
        next_=[console.command("bound", checkpoint, data=data)],
    )


def _with_interval(errors: int, total: int) -> dict[str, Any]:
    from scipy.stats import binomtest

    from analysis.bounds.bounds import ErrorCount

    interval = binomtest(errors, total).proportion_ci(0.95, method="exact")
    count = ErrorCount(num_errors=errors, num_samples=total)
    return count.to_dict() | {"low": float(interval.low), "high": float(interval.high)}


def _write_predictions(
    path: Path, network: "torch.nn.Module", images: "EvaluationData", device: "torch.device"
) -> None:
    import numpy as np

    from training.run.evaluate import predict_classes
    from training.system.files import write_atomically

    classes = predict_classes(network, images.test, images.inputs, device=device).numpy()
    if not len(classes) or classes.min() < 0:
        reason = "a logit is not finite" if len(classes) else "there are no test images"
        raise ValueError(f"no predictions can be written to {path}: {reason}")

    def write(file: BinaryIO) -> None:
        np.savez_compressed(
            file,
            prediction=classes,
            index=np.arange(len(classes)),
            fingerprint=np.array(images.fingerprint),
        )

    write_atomically(path, write)


def _count_fresh_errors(
    checkpoint: "Checkpoint", network: "torch.nn.Module", total: int, device: "torch.device"
) -> int:
    from training.data.generators.generated import generator
    from training.data.loading import ImageSet
    from training.run.evaluate import count_errors
    from training.spec.config import GENERATED

    record = checkpoint.data
    if record is None or record.config["source"] not in GENERATED:
        raise ValueError(
            f"--fresh draws new images of {', '.join(GENERATED)}; this checkpoint was trained on "
            "other images"
        )
    draw = generator(record.config["source"]).draw
    errors = 0
    for start in range(0, total, FRESH_BLOCK):
        number = min(FRESH_BLOCK, total - start)
        drawn = draw(
            number,
            image_size=record.image_size,
            seed=record.config["seed"],
            start=start,
            stream="fresh",
        )
        errors += count_errors(network, ImageSet(*drawn), checkpoint.inputs, device=device)
    return errors
