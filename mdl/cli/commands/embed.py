"""`mdl embed`: a convolutional checkpoint as its exact local or fully-connected twin."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mdl.terminal import console
from mdl.terminal.options import CheckpointArgument, JsonOption, Twin

if TYPE_CHECKING:
    from training.checkpoint.checkpoint import Checkpoint
    from training.networks.models import Network
    from training.spec.architectures import NetworkSpec

_COUNTS = ("source_num_weights", "source_num_nonzeros", "num_weights", "num_nonzeros")
NUM_PROBES = 16
"""Random images on which the two networks' logits are compared."""


def embed(
    checkpoint: CheckpointArgument,
    twin: Annotated[Twin, typer.Option("--as", help="The twin, of the checkpoint's own family.")],
    out: Annotated[
        Path | None,
        typer.Option(help="The new checkpoint; by default NAME-TWIN.pt beside the old one."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Write a network as the local or fully-connected one that gives the same logits.

    Every function of a conv network is one of a local network, and those are functions of a
    fully-connected one. These larger networks are its twins. A twin keeps
    the training record, metrics and configuration of the network that it comes from.
    """
    from training.checkpoint.checkpoint import load_checkpoint, restore_network, save_checkpoint
    from training.networks.embedding import embed_network

    source_file = checkpoint / "checkpoint.pt" if checkpoint.is_dir() else checkpoint
    out = out or source_file.with_name(f"{source_file.stem}-{twin}.pt")
    if out.resolve() == source_file.resolve():
        raise ValueError(f"--out {out} is the checkpoint itself; name another file")
    loaded = load_checkpoint(checkpoint)
    _check_twin(loaded.network, twin)
    source = restore_network(loaded)
    embedded = embed_network(source, twin.split("-")[1])
    made = _twin_checkpoint(loaded, embedded)
    save_checkpoint(made, out)
    result = _report(loaded, made) | {
        "checkpoint": str(out),
        "source_checkpoint": str(source_file),
        "num_bytes": out.stat().st_size,
        "max_logit_difference": _max_logit_difference(source, embedded),
    }
    if json:
        console.print_json(result)
        return
    _print_report(result)


def _check_twin(spec: "NetworkSpec", twin: Twin) -> None:
    from training.system.memory import check_memory

    family, kind = twin.split("-")
    if spec.family is not None and spec.family != family:
        raise ValueError(
            f"--as {twin}: this checkpoint is {spec.name}, whose twins are "
            f"{spec.family}-local and {spec.family}-fc"
        )
    if spec.name == twin:
        raise ValueError(f"--as {twin}: this network is {twin} already")
    num_weights = spec.twin(kind).num_weights
    check_memory(
        4 * (spec.num_weights + num_weights),  # the network's own tensors too, and its twin's
        f"--as {twin}: the twin with {num_weights:,} weights",
        "embed a network with fewer channels, or as the local twin",
    )


def _report(loaded: "Checkpoint", twin: "Checkpoint") -> dict[str, Any]:
    layers = [
        {
            "layer": before.name,
            "num_weights": after.num_weights,
            "num_nonzeros": twin.num_nonzeros[after.name],
            "source_num_weights": before.num_weights,
            "source_num_nonzeros": loaded.num_nonzeros[before.name],
        }
        for before, after in zip(loaded.network.layers, twin.network.layers, strict=True)
    ]
    return {
        "network": twin.network.name,
        "source_network": loaded.network.name,
        "layers": layers,
        "total": {key: sum(row[key] for row in layers) for key in _COUNTS},
    }


def _max_logit_difference(source: "Network", embedded: "Network") -> float:
    import torch

    spec = source.spec
    first = next(source.parameters())
    generator = torch.Generator().manual_seed(0)
    shape = (NUM_PROBES, spec.in_channels, spec.image_size, spec.image_size)
    images = torch.randn(shape, generator=generator).to(first.dtype)
    with torch.no_grad():
        difference = source.eval()(images) - embedded.eval()(images)
    return float(difference.abs().max())


def _twin_checkpoint(loaded: "Checkpoint", embedded: "Network") -> "Checkpoint":
    """The record of the original under the twin's name; it cannot be trained on from here."""
    from dataclasses import replace

    from training.networks.state_check import count_layer_nonzeros

    state = embedded.state_dict()
    nonzeros = count_layer_nonzeros(embedded.spec, state)
    metrics = loaded.metrics | {"embedded_from": loaded.network.name}
    if "num_nonzeros" in metrics:
        metrics["num_nonzeros"] = nonzeros
    return replace(
        loaded,
        network=embedded.spec,
        state=state,
        config=loaded.config and loaded.config | {"network": embedded.spec.name},
        metrics=metrics,
        num_nonzeros=nonzeros,
        training=None,
    )


def _print_report(result: dict[str, Any]) -> None:
    from mdl.cli.bound import bound_command

    rows = [*result["layers"], {"layer": "total", **result["total"]}]
    cells = [(row["layer"], *(f"{row[key]:,}" for key in _COUNTS)) for row in rows]
    before, after = result["source_network"], result["network"]
    path = result["checkpoint"]
    console.print_answer(
        f"Wrote {path}: {before} as {after}, the same function ({result['num_bytes']:,} bytes).",
        f"Logits on {NUM_PROBES} random images differ by at most "
        f"{result['max_logit_difference']:.1e}.",
        table=console.Rows(
            columns=("layer", f"{before} weights", "nonzeros", f"{after} weights", "nonzeros"),
            rows=cells[:-1],
            last=cells[-1],
        ),
        next_=[
            console.command("nonzeros", path),
            *console.filters_command(path, {rows[0]["layer"]: rows[0]["num_nonzeros"]}),
            bound_command(Path(path)),
        ],
    )
