"""What sparse layers gained in a run: time by phase, memory, screened rows."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from mdl.experiments.sparse_gain.record import RunRecord
from mdl.terminal.errors import OptionError

LAST_SHARE = 10
"""The last epochs, of whose rates ratios and projections are made, are one in so many."""


@dataclass(frozen=True, kw_only=True)
class Phase:
    """The same epochs of both runs.

    Attributes:
        num_epochs: How many; 0 where there is no such phase.
        dense_seconds: Training time of the dense run in them.
        sparse_seconds: That of the other.
    """

    num_epochs: int
    dense_seconds: float
    sparse_seconds: float

    @property
    def ratio(self) -> float | None:
        """Dense over sparse; None without an epoch.

        >>> Phase(num_epochs=2, dense_seconds=6.0, sparse_seconds=1.5).ratio
        4.0
        """
        return _ratio(self.dense_seconds, self.sparse_seconds) if self.num_epochs else None

    def to_dict(self) -> dict[str, Any]:
        """Primitives, with the ratio."""
        return asdict(self) | {"ratio": self.ratio}


@dataclass(frozen=True, kw_only=True)
class LayerGain:
    """One layer of both runs.

    Attributes:
        layer: Its name.
        num_weights: All of them.
        dense_nonzeros: At the end of the dense run.
        sparse_nonzeros: At the end of the other.
        handover: The first epoch in which it was sparse; None if it never was.
        num_sparse_epochs: Epochs in which it was.
        screened_dense: Mean share of screened rows over the epochs in which it was dense, of the
            first step of each; None where none was measured.
        screened_sparse: Mean over the epochs in which it was sparse, of all steps.
    """

    layer: str
    num_weights: int
    dense_nonzeros: int
    sparse_nonzeros: int
    handover: int | None
    num_sparse_epochs: int
    screened_dense: float | None
    screened_sparse: float | None


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Bytes of one run.

    Attributes:
        weights_first: Weights, copies and supports after the first epoch.
        weights_last: Likewise after the last.
        process_first: Memory of the process after the first epoch; None where not known.
        process_last: After the last.
        process_largest: After the epoch in which it was largest.
    """

    weights_first: int
    weights_last: int
    process_first: int | None
    process_last: int | None
    process_largest: int | None


@dataclass(frozen=True, kw_only=True)
class Projection:
    """What a longer run would take, in seconds, if its further epochs took `Phase.last`'s time."""

    num_epochs: int
    dense_seconds: float
    sparse_seconds: float

    @property
    def ratio(self) -> float | None:
        """Dense over sparse."""
        return _ratio(self.dense_seconds, self.sparse_seconds)


@dataclass(frozen=True, kw_only=True)
class SparseGain:
    """A dense run and a sparse one of the same configuration, side by side.

    Attributes:
        dense: The run of `--sparse never`.
        sparse: The other.
        whole: All epochs.
        before: Those before the first layer was sparse.
        after: Those from then on.
        last: The last tenth, rounded up.
        all_dense: The epochs in which every layer was dense, after a hand-back too.
        layers: In the order of the network.
        dense_memory: Of the dense run.
        sparse_memory: Of the other.
    """

    dense: RunRecord
    sparse: RunRecord
    whole: Phase
    before: Phase
    after: Phase
    last: Phase
    all_dense: Phase
    layers: tuple[LayerGain, ...]
    dense_memory: Memory
    sparse_memory: Memory

    @property
    def handovers(self) -> dict[str, int]:
        """The first sparse epoch of each layer that ever was."""
        return {each.layer: each.handover for each in self.layers if each.handover is not None}

    @property
    def all_dense_share(self) -> float:
        """Share of the epochs in which every layer was dense."""
        return self.all_dense.num_epochs / self.whole.num_epochs

    @property
    def all_dense_seconds_share(self) -> float:
        """Share of the dense run's time that those epochs took."""
        return self.all_dense.dense_seconds / self.whole.dense_seconds

    @property
    def largest_ratio(self) -> float | None:
        """Dense over sparse if sparse epochs took no time; None where no epoch was all dense."""
        return _ratio(1, self.all_dense_seconds_share)

    def bytes_per_nonzero(self, record: RunRecord) -> float | None:
        """Bytes of the weights at the end over all nonzeros; None without a nonzero."""
        num_nonzeros = sum(record.num_nonzeros.values())
        return _ratio(record.epochs[-1].weight_bytes, num_nonzeros)

    @property
    def sparse_layer_bytes_per_nonzero(self) -> float | None:
        """Likewise of those layers alone that were sparse at the end; None if none was.

        Every weight of a dense layer takes as many bytes as in the dense run.
        """
        names = self.sparse.epochs[-1].sparse_layers
        sizes = self.sparse.num_weights
        each = self.dense.epochs[-1].weight_bytes / sum(sizes.values())
        dense_bytes = each * sum(size for name, size in sizes.items() if name not in names)
        num_nonzeros = sum(self.sparse.num_nonzeros[name] for name in names)
        return _ratio(self.sparse.epochs[-1].weight_bytes - dense_bytes, num_nonzeros)

    def project(self, num_epochs: int) -> Projection:
        """Time of a longer run whose further epochs take as long as those of the last tenth.

        Raises:
            OptionError: It would be shorter than these runs.
        """
        more = num_epochs - self.whole.num_epochs
        if more < 0:
            raise OptionError(
                f"--epochs {num_epochs} must be at least the runs' {self.whole.num_epochs}: a "
                "projection goes forward"
            )
        share = more / self.last.num_epochs
        return Projection(
            num_epochs=num_epochs,
            dense_seconds=self.whole.dense_seconds + share * self.last.dense_seconds,
            sparse_seconds=self.whole.sparse_seconds + share * self.last.sparse_seconds,
        )


def measure_gain(dense: RunRecord, sparse: RunRecord) -> SparseGain:
    """Compare two runs that `mdl.experiments.sparse_gain.record.read_pair` has let pass.

    Args:
        dense: The one of `--sparse never`.
        sparse: The other, with as many epochs.

    Raises:
        ValueError: A run took no time.
    """
    number = len(sparse.epochs)
    if not all(sum(each.epoch_seconds) > 0 for each in (dense, sparse)):
        raise ValueError("seconds must be > 0 at the end of both runs")
    is_sparse = [bool(epoch.sparse_layers) for epoch in sparse.epochs]
    first = is_sparse.index(True) if any(is_sparse) else number
    last = math.ceil(number / LAST_SHARE)

    def phase(indices: Sequence[int]) -> Phase:
        return Phase(
            num_epochs=len(indices),
            dense_seconds=math.fsum(dense.epoch_seconds[index] for index in indices),
            sparse_seconds=math.fsum(sparse.epoch_seconds[index] for index in indices),
        )

    return SparseGain(
        dense=dense,
        sparse=sparse,
        whole=phase(range(number)),
        before=phase(range(first)),
        after=phase(range(first, number)),
        last=phase(range(number - last, number)),
        all_dense=phase([index for index in range(number) if not is_sparse[index]]),
        layers=tuple(_layer_gain(dense, sparse, name) for name in sparse.num_weights),
        dense_memory=_memory(dense),
        sparse_memory=_memory(sparse),
    )


def _layer_gain(dense: RunRecord, sparse: RunRecord, layer: str) -> LayerGain:
    in_sparse = [each for each in sparse.epochs if layer in each.sparse_layers]
    in_dense = [each for each in sparse.epochs if layer not in each.sparse_layers]
    shares = [
        [each.point.screened[layer] for each in epochs if layer in each.point.screened]
        for epochs in (in_dense, in_sparse)
    ]
    return LayerGain(
        layer=layer,
        num_weights=sparse.num_weights[layer],
        dense_nonzeros=dense.num_nonzeros[layer],
        sparse_nonzeros=sparse.num_nonzeros[layer],
        handover=in_sparse[0].point.epoch if in_sparse else None,
        num_sparse_epochs=len(in_sparse),
        screened_dense=_mean(shares[0]),
        screened_sparse=_mean(shares[1]),
    )


def _memory(record: RunRecord) -> Memory:
    first, last = record.epochs[0], record.epochs[-1]
    known = [epoch.memory_bytes for epoch in record.epochs if epoch.memory_bytes is not None]
    return Memory(
        weights_first=first.weight_bytes,
        weights_last=last.weight_bytes,
        process_first=first.memory_bytes,
        process_last=last.memory_bytes,
        process_largest=max(known, default=None),
    )


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None


def _ratio(above: float, below: float) -> float | None:
    return above / below if below > 0 else None
