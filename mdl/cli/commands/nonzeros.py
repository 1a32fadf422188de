"""`mdl nonzeros`: weights, nonzeros and distinct values of a checkpoint, layer by layer."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from mdl.terminal import console
from mdl.terminal.options import CheckpointArgument, FullOption, JsonOption, KeyOption

if TYPE_CHECKING:
    from pathlib import Path

    from analysis.quantize.nonzeros import NetworkCounts


def nonzeros(
    checkpoint: CheckpointArgument,
    key: KeyOption = None,
    full: FullOption = False,
    json: JsonOption = False,
) -> None:
    """Count weights, nonzeros and distinct values by layer.

    Beside each layer stand the weights of the same layer in its twins: the conv and local networks
    of the same family and width. Of another program's network, tensors are counted as they are.
    """
    from dataclasses import asdict

    from analysis.quantize.nonzeros import count_tensors, twin_weight_counts
    from mdl.cli.bound import bound_command, refuse_external_options
    from mdl.terminal.bound_tables import print_counts
    from training.checkpoint.checkpoint import load_checkpoint
    from training.tensor_files.open import is_external

    if is_external(checkpoint):
        _count_external(checkpoint, key, full=full, json=json)
        return
    refuse_external_options(checkpoint, key=key)
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
    filters = console.filters_command(checkpoint, loaded.num_nonzeros)
    next_ = [bound_command(checkpoint), *filters]
    if full:
        print_counts(f"{name}, as trained", name, counts, twins)
        console.print_next(*next_)
    else:
        _print_answer(counts, name, twins, next_)


def _count_external(checkpoint: "Path", key: str | None, *, full: bool, json: bool) -> None:
    from analysis.describe.external_report import count_stored
    from mdl.terminal.answers import tensor_rows
    from mdl.terminal.bound_tables import print_tensors
    from mdl.terminal.progress import ReadingProgress
    from training.system.text import shorten
    from training.tensor_files.open import open_tensor_file

    with open_tensor_file(checkpoint, key) as file, ReadingProgress() as progress:
        counts = count_stored(file, on_progress=progress.on_bytes)
    if json:
        found = {"key": file.key or None, "not_counted": file.others}
        console.print_json({"checkpoint": str(checkpoint), "counts": counts.to_dict()} | found)
        return
    total, notes = counts.total, []
    if file.beside:
        names = ", ".join(map(shorten, file.beside))
        notes.append(f"The file has other tensors under {names}: --key takes them.")
    if file.others:
        notes.append(f"Not counted, for they are no dense tensors: {len(file.others):,} values.")
    next_ = [console.command("bound", checkpoint, key=key, lengths_only=True)]
    if full:
        print_tensors(counts, f"{file.title}, as it is")
        for note in notes:
            console.stdout().print(note, markup=False)
        console.print_next(*next_)
        return
    console.print_answer(
        f"{file.title}: {total.num_nonzeros:,} of {total.num_weights:,} numbers are not zero "
        f"({total.density:.2%}), {total.num_distinct:,} distinct values.",
        *notes,
        table=tensor_rows(counts),
        next_=next_,
    )


def _print_answer(
    counts: "NetworkCounts",
    network: str,
    twins: Mapping[str, Mapping[str, int]],
    next_: Sequence[str],
) -> None:
    layers = {
        name: row
        for row in counts.tensors
        for name, _, field in [row.name.rpartition(".")]
        if field == "weight" and not name.endswith("_norm")
    }
    num_weights = sum(row.num_weights for row in layers.values())
    num_nonzeros = sum(row.num_nonzeros for row in layers.values())
    family, total = network.split("-", maxsplit=1)[0], counts.total
    density = num_nonzeros / max(num_weights, 1)
    console.print_answer(
        f"{network}: {num_nonzeros:,} of {num_weights:,} weights are not zero ({density:.2%}).",
        f"With biases and BatchNorm: {total.num_nonzeros:,} of {total.num_weights:,} numbers, "
        f"{total.num_distinct:,} distinct values.",
        table=console.Rows(
            columns=(
                "layer",
                "weights",
                "nonzeros",
                "density",
                "distinct",
                *(f"{family}-{kind}" for kind in twins),
            ),
            rows=[
                (
                    name,
                    f"{row.num_weights:,}",
                    f"{row.num_nonzeros:,}",
                    f"{row.num_nonzeros / max(row.num_weights, 1):.2%}",
                    f"{row.num_distinct:,}",
                    *(f"{weights[name]:,}" for weights in twins.values()),
                )
                for name, row in layers.items()
            ],
            sizes=[row.num_weights for row in layers.values()],
            last=(
                "all layers",
                f"{num_weights:,}",
                f"{num_nonzeros:,}",
                f"{density:.2%}",
                "",
                *(f"{sum(weights.values()):,}" for weights in twins.values()),
            ),
        ),
        next_=next_,
    )
