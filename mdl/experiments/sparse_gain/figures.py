"""Pictures of a dense and a sparse run: time and memory by epoch, screened rows and density."""

from pathlib import Path

from matplotlib.figure import Figure

from figures.sparse_training import LayerRecord, RunCosts, draw_run_costs, draw_screened
from figures.style.look import figure_style, save_figure_pair
from mdl.experiments.sparse_gain.gain import SparseGain
from mdl.experiments.sparse_gain.record import RunRecord


def save_gain_figures(gain: SparseGain, stem: Path) -> list[Path]:
    """Write `stem` and `stem`-screened, each as PNG and PDF.

    Args:
        gain: What to draw.
        stem: Path without a suffix, in a folder that exists.

    Returns:
        The four files.

    Raises:
        OSError: The folder cannot be written to.
    """
    with figure_style():
        costs, screened = draw_costs(gain), draw_shares(gain)
    beside = stem.with_name(f"{stem.name}-screened")
    return save_figure_pair(costs, stem) + save_figure_pair(screened, beside)


def draw_costs(gain: SparseGain) -> Figure:
    """Seconds of every epoch, and the bytes of the weights after it."""
    memory = [
        f"{name} {each.process_last / 1e6:,.0f}\N{NO-BREAK SPACE}MB"
        for name, each in (("dense", gain.dense_memory), ("sparse", gain.sparse_memory))
        if each.process_last is not None
    ]
    whole = f" Of the whole process at the end: {', '.join(memory)}." if memory else ""
    return draw_run_costs(
        [_costs("dense", gain.dense), _costs("sparse", gain.sparse)],
        handovers=gain.handovers,
        note=f"{describe_run(gain.sparse)}. Memory: of the weights, their low-precision copies and "
        f"supports.{whole}",
    )


def draw_shares(gain: SparseGain) -> Figure:
    """Screened rows and density by epoch, of the sparse run's layers that are looked at."""
    epochs = gain.sparse.epochs
    looked_at = [
        layer
        for layer in gain.sparse.num_weights
        if any(layer in epoch.point.screened for epoch in epochs)
    ]
    turns = ", ".join(f"{layer} from epoch {epoch}" for layer, epoch in gain.handovers.items())
    return draw_screened(
        [
            LayerRecord(
                layer=layer,
                epochs=tuple(epoch.point.epoch for epoch in epochs),
                screened=tuple(epoch.point.screened.get(layer) for epoch in epochs),
                density=tuple(
                    _density(epoch.point.num_nonzeros.get(layer), gain.sparse.num_weights[layer])
                    for epoch in epochs
                ),
            )
            for layer in looked_at
        ],
        title=describe_run(gain.sparse),
        note="Screened: rows in which no zero weight could come back; while a layer is dense, at "
        "the first step of the epoch, while it is sparse, at all steps. Sparse: "
        f"{turns or 'none'}.",
    )


def describe_run(record: RunRecord) -> str:
    """Network, width, λ and learning rate of a run, in a few words."""
    config = record.config
    size = f"α = {config.base_channels}" if config.base_channels else f"h = {config.hidden_units}"
    return (
        f"{config.network}, {size}, λ = {config.l1_conv:g} and {config.l1_fc:g}, lr {config.lr:g}"
    )


def _costs(label: str, record: RunRecord) -> RunCosts:
    return RunCosts(
        label=label,
        epochs=tuple(epoch.point.epoch for epoch in record.epochs),
        seconds=record.epoch_seconds,
        memory=tuple(epoch.weight_bytes for epoch in record.epochs),
    )


def _density(num_nonzeros: int | None, num_weights: int) -> float | None:
    return None if num_nonzeros is None else num_nonzeros / num_weights
