"""The checkpoint: the one file that joins training and analysis. THE CONTRACT.

A file is one `torch.save` dict of primitives and tensors:

    format        "mdl-checkpoint"
    version       1
    network       the fields of `NetworkSpec`
    state         name to tensor, dense or CSR, whichever is smaller
    data          the fields of `DataRecord`, or None
    normalization the fields of `Normalization`, or None
    config        the training configuration, as `TrainConfig.to_dict` gives it
    metrics       numbers about the run
    num_nonzeros  layer to its number of nonzero weights
    versions      what made it
    training      what resuming needs, or None in a final checkpoint

A change to this that old files do not satisfy raises `FORMAT_VERSION`.
"""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Self

import torch
from torch import Tensor

from training.checkpoint.lazy import (
    FILE_NAME,
    FORMAT,
    FORMAT_VERSION,
    StoredCheckpoint,
    open_checkpoint,
    unusable,
)
from training.checkpoint.plain_values import TensorLoader, compact_tensor, plain_copy
from training.checkpoint.record import DataRecord
from training.checkpoint.sparse_storage import pack_tensor, unpack_rows
from training.data.image_set import Dataset
from training.data.input_map import InputMap
from training.errors import CheckpointError
from training.networks.models import Network, network_from_state
from training.networks.state_check import Census, check_state
from training.spec.architectures import NetworkSpec
from training.spec.config import DataConfig
from training.spec.normalization import Normalization
from training.system.files import write_atomically
from training.system.memory import check_memory
from training.tensor_files.stored_tensor import StoredRows

__all__ = [
    "FILE_NAME",
    "FORMAT_VERSION",
    "Checkpoint",
    "DataRecord",
    "load_checkpoint",
    "restore_network",
    "save_checkpoint",
]

_DICTS = ("config", "metrics", "versions")


@dataclass(frozen=True, kw_only=True, eq=False)
class Checkpoint:
    """A network and all that is known about how it came to be.

    Attributes:
        network: The network's shape.
        state: Its state dict, plain or folded. That of a loaded one has dense tensors on the CPU;
            one to be saved may have matrices as `training.checkpoint.sparse_storage.pack_rows`
            makes them.
        data: The data set, or None if unknown.
        normalization: What its inputs must be put through, or None if unknown.
        config: Training configuration as plain dicts; empty if unknown.
        metrics: Numbers about the run.
        num_nonzeros: Nonzero weights by layer, without biases and BatchNorm. Counted when saved
            and again when loaded; the values of an unsaved checkpoint are not looked at.
        versions: From `training.run.provenance.collect_versions`.
        training: What resuming needs: primitives, lists, dicts and dense tensors. None in a final
            checkpoint.

    Raises:
        ValueError: The data or the normalisation do not fit the network.

    >>> from training.data.loading import load_dataset
    >>> from training.networks.models import build_model
    >>> from training.spec.normalization import fixed_normalization
    >>> config = DataConfig(image_size=8, num_train=100, num_test=10)
    >>> model = build_model("s-conv", image_size=8, num_classes=10, base_channels=1)
    >>> Checkpoint.of(model, config, load_dataset(config), fixed_normalization(3)).data.name
    'glyphs'
    """

    network: NetworkSpec
    state: dict[str, Tensor]
    data: DataRecord | None = None
    normalization: Normalization | None = None
    config: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    num_nonzeros: dict[str, int] = field(default_factory=dict)
    versions: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        network = self.network
        if self.data is not None:
            for name in ("image_size", "in_channels", "num_classes"):
                ours, theirs = getattr(network, name), getattr(self.data, name)
                if ours != theirs:
                    raise ValueError(f"the network has {name} {ours} but its data {theirs}")
        if self.normalization is not None:
            num_channels = self.normalization.num_channels
            if num_channels != network.in_channels:
                raise ValueError(
                    f"the network has {network.in_channels} input channels but its normalization "
                    f"{num_channels}"
                )

    @classmethod
    def of(
        cls, model: Network, config: DataConfig, dataset: Dataset, normalization: Normalization
    ) -> Self:
        """The checkpoint of a network that a loop of your own trained on all training images.

        Args:
            model: The network.
            config: What the images were loaded by.
            dataset: The images.
            normalization: What its inputs are put through.

        Raises:
            ValueError: The images or the normalisation do not fit the network.
        """
        return cls(
            network=model.spec,
            state=model.state_dict(),
            data=DataRecord.of(config, dataset, num_samples=len(dataset.train)),
            normalization=normalization,
        )

    @property
    def known_data(self) -> DataRecord:
        """The data set.

        Raises:
            CheckpointError: The checkpoint does not name it.
        """
        if self.data is None:
            raise CheckpointError(
                "the checkpoint does not say what data it was trained on, so no error can be "
                "counted; use a checkpoint that mdl train wrote, or a file of its bits, of which "
                "the data set can be named"
            )
        return self.data

    @property
    def inputs(self) -> InputMap:
        """What its network's images are put through: normalisation, and pixel permutation if any.

        Raises:
            CheckpointError: The checkpoint does not say how its images were normalised.
        """
        if self.normalization is None:
            raise CheckpointError(
                "the checkpoint does not say how its images were normalised, and without that the "
                "classifier is not defined; use a checkpoint that mdl train wrote"
            )
        data = self.config.get("data", {}) if self.data is None else self.data.config
        seed = data.get("permute_pixels") if isinstance(data, dict) else None
        return InputMap(self.normalization, seed)


def save_checkpoint(checkpoint: Checkpoint, path: Path | str) -> None:
    """Write a checkpoint: checked, counted, sparse where that is smaller, and atomically.

    Equal checkpoints make equal files.

    Raises:
        ValueError: The state does not fit the network or is not finite, or a value is neither a
            primitive nor a tensor where one may be.
        OSError: The file cannot be written; an older one stays as it was.
    """
    state = {
        name: tensor if tensor.layout == torch.sparse_csr else compact_tensor(tensor)
        for name, tensor in checkpoint.state.items()
    }
    census = check_state(checkpoint.network, state)
    packed = {
        name: pack_tensor(tensor, num_stored=census[name].num_stored) if name in census else tensor
        for name, tensor in state.items()
    }
    contents = {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "network": asdict(checkpoint.network),
        "state": packed,
        "data": None if checkpoint.data is None else _record_dict(checkpoint.data),
        "normalization": (
            None if checkpoint.normalization is None else _record_dict(checkpoint.normalization)
        ),
        "num_nonzeros": _count_nonzeros(checkpoint.network, census),
        "training": plain_copy(checkpoint.training, "training", allow_tensors=True),
    }
    for name in _DICTS:
        contents[name] = plain_copy(getattr(checkpoint, name), name)

    def write(file: BinaryIO) -> None:
        torch.save(contents, file)

    write_atomically(path, write)


def load_checkpoint(path: Path | str) -> Checkpoint:
    """Read a checkpoint, trusting nothing in it.

    Code in the file is never run. Every field is checked, the state against the network, and the
    nonzeros are counted again.

    Args:
        path: A file, or a run folder with a `checkpoint.pt` in it.

    Raises:
        CheckpointError: The file is not a checkpoint that can be used; one line says why.

    >>> from tempfile import TemporaryDirectory
    >>> from training.networks.models import build_model
    >>> model = build_model("s-conv", image_size=8, num_classes=10, base_channels=1)
    >>> with TemporaryDirectory() as folder:
    ...     made = Checkpoint(network=model.spec, state=model.state_dict())
    ...     save_checkpoint(made, f"{folder}/checkpoint.pt")
    ...     load_checkpoint(folder).network == model.spec
    True
    """
    with open_checkpoint(path) as stored:
        try:
            return _load(stored)
        except (ValueError, RuntimeError, MemoryError, RecursionError) as error:
            raise unusable(stored.source.path, error) from error


def restore_network(checkpoint: Checkpoint) -> Network:
    """The checkpoint's network in eval mode, with tensors of its own, in the state's type.

    Raises:
        OutOfMemoryError: There is no memory for a second copy of them.
        ValueError: The state does not fit the network.
    """
    spec, num_bytes = checkpoint.network, sum(each.nbytes for each in checkpoint.state.values())
    check_memory(num_bytes, f"a copy of {spec.name} with {spec.num_weights:,} weights")
    state = {name: tensor.detach().clone() for name, tensor in checkpoint.state.items()}
    return network_from_state(checkpoint.network, state).eval()


def _load(stored: StoredCheckpoint) -> Checkpoint:
    file = stored.source
    rows = [each for each in stored.tensors.values() if isinstance(each, StoredRows)]
    dense = sum(each.num_numbers * each.number_type.num_bytes for each in rows)
    check_memory(file.num_bytes + dense, f"{file.path}: its network")
    loader = TensorLoader(file.num_bytes)
    state = {
        name: _load_rows(each) if isinstance(each, StoredRows) else loader.load(each)
        for name, each in stored.tensors.items()
    }
    found = stored.fields | {"training": loader.load(stored.fields["training"])}
    stored.check_bytes()
    counts = _count_nonzeros(stored.network, check_state(stored.network, state))
    _check_counts(stored.num_nonzeros, counts)
    return Checkpoint(network=stored.network, state=state, num_nonzeros=counts, **found)


def _load_rows(rows: StoredRows) -> Tensor:
    numbers = torch.from_numpy(
        unpack_rows(rows.row_ends.read(), rows.columns.read(), rows.stored.read(), rows.shape)
    )
    dtype: torch.dtype = getattr(torch, rows.number_type.name)
    return numbers.view(dtype)


def _count_nonzeros(network: NetworkSpec, census: dict[str, Census]) -> dict[str, int]:
    return {layer.name: census[f"{layer.name}.weight"].num_nonzeros for layer in network.layers}


def _check_counts(stored: dict[str, int], counts: dict[str, int]) -> None:
    for name, count in counts.items():
        if stored[name] != count:
            raise ValueError(
                f"{name}.weight has {count} nonzeros, not the {stored[name]} it was saved with; "
                "the file is damaged, copy it again"
            )


def _record_dict(record: DataRecord | Normalization) -> dict[str, Any]:
    plain: dict[str, Any] = plain_copy(asdict(record), type(record).__name__)
    return plain
