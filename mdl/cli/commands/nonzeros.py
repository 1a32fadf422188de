"""`mdl nonzeros`: weights, nonzeros and distinct values of a checkpoint, layer by layer."""

from mdl.terminal import console
from mdl.terminal.options import CheckpointArgument, JsonOption


def nonzeros(checkpoint: CheckpointArgument, json: JsonOption = False) -> None:
    """Count weights, nonzeros and distinct values by layer.

    Beside each layer stand the weights of the same layer in the conv and local twins.
    """
    from dataclasses import asdict

    from analysis.quantize.nonzeros import count_tensors, twin_weight_counts
    from mdl.terminal.bound_tables import print_counts
    from training.checkpoint.checkpoint import load_checkpoint

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
