"""Tables of weights, nonzeros and distinct values."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mdl.terminal import console

if TYPE_CHECKING:
    from analysis.quantize.nonzeros import NetworkCounts


def print_counts(
    title: str, network: str, counts: "NetworkCounts", twins: Mapping[str, Mapping[str, int]]
) -> None:
    """Print the table of counts: a row a tensor, then sums, with the twins' weights beside."""
    family = network.split("-", maxsplit=1)[0]
    rows, layers = [], []
    for row in counts.tensors:
        layer, _, field = row.name.rpartition(".")
        is_layer = field == "weight" and not layer.endswith("_norm")
        if is_layer:
            layers.append(row)
        beside = [f"{weights[layer]:,}" if is_layer else "" for weights in twins.values()]
        distinct = f"{row.num_distinct:,}"
        rows.append((row.name, *_sizes(row.num_weights, row.num_nonzeros), distinct, *beside))
    sums = sum(row.num_weights for row in layers), sum(row.num_nonzeros for row in layers)
    beside = [f"{sum(weights.values()):,}" for weights in twins.values()]
    rows.append(("weights of all layers", *_sizes(*sums), "", *beside))
    total = counts.total
    sizes = _sizes(total.num_weights, total.num_nonzeros)
    rows.append(("all tensors", *sizes, f"{total.num_distinct:,}", *[""] * len(twins)))
    columns = ["tensor", "numbers", "nonzeros", "density", "distinct values"]
    columns += [f"{family}-{kind} weights" for kind in twins]
    console.print_table(title, columns, rows)


def _sizes(num_weights: int, num_nonzeros: int) -> tuple[str, str, str]:
    return f"{num_weights:,}", f"{num_nonzeros:,}", f"{num_nonzeros / max(num_weights, 1):.2%}"
