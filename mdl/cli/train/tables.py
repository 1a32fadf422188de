"""The tables that `mdl train` ends with."""

from typing import Any

from mdl.terminal import console
from training.checkpoint.checkpoint import Checkpoint
from training.run.run_folder import RunFolder


def print_result(metrics: dict[str, Any], checkpoint: Checkpoint, folder: RunFolder) -> None:
    """Print nonzeros by layer, errors by split, and what to run next."""
    sizes = {layer.name: layer.num_weights for layer in checkpoint.network.layers}
    console.print_table(
        f"{checkpoint.network.name}, weights by layer",
        ("layer", "weights", "nonzeros", "density"),
        [
            (name, f"{sizes[name]:,}", f"{count:,}", f"{count / sizes[name]:.2%}")
            for name, count in metrics["num_nonzeros"].items()
        ],
    )
    rows = []
    for split, count in (
        ("train", "num_samples"),
        ("validation", "num_validation"),
        ("test", "num_test"),
    ):
        if metrics[count]:
            errors = metrics[f"{split}_errors"]
            rows.append(
                (split, f"{metrics[count]:,}", f"{errors:,}", f"{1 - errors / metrics[count]:.2%}")
            )
    console.print_table("Accuracy", ("split", "images", "errors", "accuracy"), rows)
    output = console.stdout()
    output.print(f"Trained in {metrics['seconds']:.0f} s. Checkpoint: {folder.checkpoint}")
    console.print_next(
        f"mdl bound {folder.checkpoint} --bits 16", f"mdl filters {folder.checkpoint}"
    )
