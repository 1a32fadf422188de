"""`mdl nonzeros`: weights, nonzeros and distinct values of a checkpoint, layer by layer."""

from mdl.terminal import console
from mdl.terminal.options import CheckpointArgument, FullOption, JsonOption


def nonzeros(
    checkpoint: CheckpointArgument, full: FullOption = False, json: JsonOption = False
) -> None:
    """Count weights, nonzeros and distinct values by layer.

    Beside each layer stand the weights of the same layer in the conv and local twins.
    """
    from dataclasses import asdict

    from analysis.quantize.nonzeros import count_tensors, twin_weight_counts
    from mdl.terminal.answers import answer_counts
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
    name = loaded.network.name
    next_ = [console.command("bound", checkpoint), console.command("filters", checkpoint)]
    if full:
        print_counts(f"{name}, as trained", name, counts, twins)
        console.print_next(*next_)
    else:
        answer_counts(counts, name, twins, next_=next_)
