"""What `mdl filters` measures of each checkpoint, and how it is told in tables and JSON."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from analysis.describe.reparametrized import Reparametrized, find_reparametrized
from analysis.filters.external import choose_first_layer
from analysis.filters.filters import (
    MAX_FILTERS,
    FilterSample,
    filter_place,
    sample_filters,
    sample_layer,
)
from analysis.filters.locality import (
    Locality,
    LocalitySummary,
    measure_locality,
    summarize_locality,
)
from figures.style.look import literal
from mdl.cli.bound import refuse_external_options
from mdl.terminal import console
from training.checkpoint.checkpoint import Checkpoint, load_checkpoint
from training.errors import CheckpointError, ConfigError
from training.spec.architectures import LayerSpec
from training.tensor_files.open import is_external, open_tensor_file
from training.tensor_files.stored_tensor import StoredTensor

METHOD_TITLES = {"beta-lasso": "β-lasso", "sgd": "SGD"}


@dataclass(frozen=True, kw_only=True)
class MeasuredFilters:
    """Filters of one checkpoint and their locality.

    Attributes:
        path: The checkpoint as the user named it.
        title: Network, training method and data set.
        network: The network's name.
        sample: The filters, in random order.
        locality: Of every filter of the sample.
        summary: Of all of them.
        num_drawn: So many of the first are drawn.
        is_external: Whether another program wrote it; the title then says what was taken.
    """

    path: Path
    title: str
    network: str
    sample: FilterSample
    locality: Locality
    summary: LocalitySummary
    num_drawn: int
    is_external: bool


@dataclass(frozen=True, kw_only=True)
class ExternalImages:
    """What options say of the images of another program's network; None where they do not.

    Attributes:
        key: The key that its state dict lies under.
        layer: The name of its first layer.
        image_size: Side of the images in pixels.
        channels: Of the images.
    """

    key: str | None = None
    layer: str | None = None
    image_size: int | None = None
    channels: int | None = None


def measure_filters(
    path: Path,
    *,
    num: int,
    min_nonzeros: int | None,
    unpermute: bool,
    seed: int,
    external: ExternalImages | None = None,
) -> MeasuredFilters:
    """Load a checkpoint, choose filters of its first layer and measure them.

    Args:
        path: A checkpoint of ours, or another program's file.
        num: Filters to draw.
        min_nonzeros: Fewest nonzeros of a filter; None as `sample_layer` has it.
        unpermute: Whether to undo the pixel permutation.
        seed: Of the choice.
        external: What is known of another program's network.

    Raises:
        CheckpointError: The file cannot be used.
        ValueError: The network has no filter with so many nonzeros.
    """
    is_ours = not is_external(path)
    if is_ours:
        refuse_external_options(path, **vars(external or ExternalImages()))
    max_filters = max(num, MAX_FILTERS)
    try:
        if is_ours:
            checkpoint = load_checkpoint(path)
            title, network = _title(checkpoint), checkpoint.network.name
            sample = sample_filters(
                checkpoint,
                max_filters=max_filters,
                min_nonzeros=min_nonzeros,
                unpermute=unpermute,
                seed=seed,
            )
        else:
            title, layer, weight = _read_first_layer(path, external or ExternalImages())
            network = title
            sample = sample_layer(
                layer, weight, max_filters=max_filters, min_nonzeros=min_nonzeros, seed=seed
            )
    except ConfigError as error:
        raise CheckpointError.naming("{}: {}", path, error) from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    locality = measure_locality(sample.images, seed=seed)
    return MeasuredFilters(
        path=path,
        title=title,
        network=network,
        sample=sample,
        locality=locality,
        summary=summarize_locality(locality),
        num_drawn=min(num, len(sample.indices)),
        is_external=not is_ours,
    )


def _read_first_layer(path: Path, images: ExternalImages) -> tuple[str, LayerSpec, Tensor]:
    """A title that says what was taken, the layer, and its weight."""
    with open_tensor_file(path, images.key) as file:
        computed = find_reparametrized(file)
        weights: dict[str, StoredTensor | Reparametrized] = {}
        for name, tensor in file.items():
            if name in computed:
                weights[computed[name].name] = computed[name]
            elif tensor.number_type.kind == "float":
                weights[name] = tensor
        shapes = {
            name: file[each.parts[1]].shape if isinstance(each, Reparametrized) else each.shape
            for name, each in weights.items()
        }
        layer = choose_first_layer(
            shapes, layer=images.layer, image_size=images.image_size, channels=images.channels
        )
        chosen = weights[layer.name]
        values = chosen.read(file) if isinstance(chosen, Reparametrized) else chosen.read_float32()
        file.check_bytes()
        title = file.title
    weight = torch.from_numpy(values)
    if layer.kind == "conv":  # zeros fill a kernel up to a square
        rows, columns = weight.shape[2:]
        weight = functional.pad(weight, (0, max(0, rows - columns), 0, max(0, columns - rows)))
    side = layer.in_size if images.image_size or layer.kind != "conv" else layer.kernel
    what = "images" if images.image_size or layer.kind != "conv" else "kernels"
    return f"{title}: {layer.name} on {layer.in_channels}x{side}x{side} {what}", layer, weight


def _title(checkpoint: Checkpoint) -> str:
    parts = [checkpoint.network.name]
    source = checkpoint.metrics.get("embedded_from")
    if source:
        parts[0] += f" (twin of {source})"
    method = checkpoint.config.get("method")
    if method:
        parts.append(METHOD_TITLES.get(str(method), str(method)))
    if checkpoint.data is not None:
        parts.append(checkpoint.data.name)
    return literal(", ".join(parts))


def describe_filters(one: MeasuredFilters) -> str:
    """A few lines to write below the filters in a picture."""
    sample, summary = one.sample, one.summary
    low, high = summary.ratio_interval
    lines = [
        f"{literal(_run_name(one.path))}: {one.num_drawn} of {sample.num_eligible:,} filters with "
        f"{sample.min_nonzeros} nonzeros or more",
        f"half-mass radius {summary.radius:.1f} px, by chance {summary.chance_radius:.1f} px",
        f"ratio {summary.ratio:.2f} (95%: {low:.2f} to {high:.2f}); "
        f"{100 * summary.local_share:.0f}% local at the 5% level",
    ]
    if sample.permutation_seed is not None:
        lines.append(f"pixels un-permuted (seed {sample.permutation_seed})")
    return "\n".join(lines)


def _run_name(path: Path) -> str:
    """The run folder of a checkpoint.pt, the file's own name of any other."""
    file = (path / "checkpoint.pt" if path.is_dir() else path).resolve()
    return file.parent.name if file.name == "checkpoint.pt" else file.stem


def _rows(one: MeasuredFilters) -> list[dict[str, Any]]:
    rows = []
    for rank, index in enumerate(one.sample.indices.tolist()):
        channel, row, column = filter_place(one.sample.layer, index)
        rows.append(
            {
                "filter": index,
                "channel": channel,
                "row": row,
                "column": column,
                "num_nonzeros": int(one.sample.nonzeros[rank]),
                "radius": float(one.locality.radius[rank]),
                "chance_radius": float(one.locality.chance_radius[rank]),
                "ratio": float(one.locality.ratio[rank]),
                "p_value": float(one.locality.p_value[rank]),
                "drawn": rank < one.num_drawn,
            }
        )
    return rows


def filters_to_dict(one: MeasuredFilters) -> dict[str, Any]:
    """Primitives for --json: the summary, and a row for every filter measured."""
    return {
        "checkpoint": str(one.path),
        "network": one.network,
        "layer": one.sample.layer.name,
        "num_filters": one.sample.num_filters,
        "num_eligible": one.sample.num_eligible,
        "min_nonzeros": one.sample.min_nonzeros,
        "permutation_undone": one.sample.permutation_seed,
        "summary": asdict(one.summary),
        "filters": _rows(one),
    }


def answer_filters(
    measured: Sequence[MeasuredFilters],
    pictures: Sequence[Path],
    notes: Sequence[str],
    *,
    next_: Sequence[str],
) -> None:
    """Print where the pictures are, and a row a checkpoint of how local its filters are.

    Args:
        measured: A checkpoint each.
        pictures: The files drawn.
        notes: Sentences to add.
        next_: Commands to suggest.
    """
    summaries = [one.summary for one in measured]
    taken = [one.title for one in measured if one.is_external]
    console.print_answer(
        [f"Picture: {picture}" for picture in pictures],
        *taken,
        "Medians over filters with "
        f"{_least(measured)} nonzeros or more: half-mass radius in pixels, the same with "
        "the pixels shuffled (by chance), their ratio; below 1 is local. Column local: share of "
        "filters whose radius is below the 5% quantile of chance; 5% by chance.",
        *notes,
        table=console.Rows(
            columns=("checkpoint", "radius", "by chance", "ratio", "95% interval", "local"),
            rows=[
                (
                    str(one.path),
                    f"{summary.radius:.2f}",
                    f"{summary.chance_radius:.2f}",
                    f"{summary.ratio:.2f}",
                    "{:.2f} to {:.2f}".format(*summary.ratio_interval),
                    f"{100 * summary.local_share:.0f}%",
                )
                for one, summary in zip(measured, summaries, strict=True)
            ],
        ),
        next_=next_,
    )


def _least(measured: Sequence[MeasuredFilters]) -> str:
    """Nonzeros that the filters have at least: of each checkpoint, where they differ."""
    return " or ".join(dict.fromkeys(str(one.sample.min_nonzeros) for one in measured))


def print_filters(one: MeasuredFilters) -> None:
    """Print a table of the filters drawn, in the picture's order."""
    drawn = [row for row in _rows(one) if row["drawn"]]
    console.print_table(
        f"{one.title}: the filters drawn, row by row ({one.path})",
        ("filter", "channel", "row", "column", "nonzeros", "radius px", "by chance", "ratio", "p"),
        [
            (
                *(str(row[key]) for key in ("filter", "channel", "row", "column", "num_nonzeros")),
                *(f"{row[key]:.2f}" for key in ("radius", "chance_radius", "ratio", "p_value")),
            )
            for row in drawn
        ],
        num_text_columns=0,
    )


def print_summaries(measured: list[MeasuredFilters]) -> None:
    """Print a table with a row a checkpoint."""
    rows = []
    for one in measured:
        summary, sample = one.summary, one.sample
        low, high = summary.ratio_interval
        rows.append(
            (
                str(one.path),
                one.title,
                f"{sample.num_filters:,}",
                f"{sample.num_eligible:,}",
                f"{summary.num_filters:,}",
                f"{summary.radius:.2f}",
                f"{summary.chance_radius:.2f}",
                f"{summary.ratio:.2f}",
                f"{low:.2f} to {high:.2f}",
                f"{100 * summary.local_share:.0f}%",
            )
        )
    nonzeros = f">= {_least(measured)} nonzeros"
    console.print_table(
        "First-layer filters: half-mass radius and what pixels shuffled at random would have "
        "(medians; of random supports 5% count as local)",
        (
            "checkpoint",
            "network",
            "filters",
            nonzeros,
            "measured",
            "radius px",
            "by chance",
            "ratio",
            "95% interval",
            "local at 5%",
        ),
        rows,
        num_text_columns=2,
    )


def describe_shortage(one: MeasuredFilters) -> str:
    """Why fewer filters are drawn than were asked for."""
    total, least = one.sample.num_filters, one.sample.min_nonzeros
    if one.sample.num_eligible == total:
        return f"{one.path} has only {total} filters; all are drawn."
    return (
        f"Only {one.num_drawn} of the {total:,} filters of {one.path} have {least} nonzeros or "
        "more; all of them are drawn."
    )
