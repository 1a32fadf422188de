"""`mdl nonzeros`: weights, nonzeros and distinct values of a checkpoint, layer by layer."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mdl import console
from mdl.options import CheckpointArgument, JsonOption

if TYPE_CHECKING:
    from analysis.nonzeros import NetworkCounts


def nonzeros(checkpoint: CheckpointArgument, json: JsonOption = False) -> None:
    """Count weights, nonzeros and distinct values by layer.

    Beside each layer stand the weights of the same layer in the conv and local twins.
    """
    from dataclasses import asdict

    from analysis.nonzeros import count_tensors, twin_weight_counts
    from training.checkpoint import load_checkpoint

    loaded = load_checkpoint(checkpoint)
    counts = count_tensors(loaded.state)
    twins = twin_weight_counts(loaded.network)
    if json:
        console.print_json(
            {
                "checkpoint": str(checkpoint),
                "network": asdict(loaded.network),
                "counts": counts.to_dict(),
                "twins": twins or None,
            }
        )
        return
    print_counts(f"{loaded.network.name}, as trained", loaded.network.name, counts, twins)
    console.print_next(f"mdl bound {checkpoint} --bits 16", f"mdl filters {checkpoint}")


def print_counts(
    title: str, network: str, counts: "NetworkCounts", twins: Mapping[str, Mapping[str, int]]
) -> None:
    """Print the table of counts, a row a tensor and a row for all, with the twins beside it."""
    family = network.split("-", maxsplit=1)[0]
    rows = []
    for row in counts.tensors:
        layer, _, field = row.name.rpartition(".")
        beside = [
            f"{weights[layer]:,}" if field == "weight" and layer in weights else ""
            for weights in twins.values()
        ]
        rows.append(
            (
                row.name,
                f"{row.num_weights:,}",
                f"{row.num_nonzeros:,}",
                f"{row.density:.2%}",
                f"{row.num_distinct:,}",
                *beside,
            )
        )
    total = counts.total
    rows.append(
        (
            "all",
            f"{total.num_weights:,}",
            f"{total.num_nonzeros:,}",
            f"{total.density:.2%}",
            f"{total.num_distinct:,}",
            *(f"{sum(weights.values()):,}" for weights in twins.values()),
        )
    )
    columns = ["tensor", "weights", "nonzeros", "density", "distinct values"]
    columns += [f"{family}-{kind} weights" for kind in twins]
    console.print_table(title, columns, rows)
