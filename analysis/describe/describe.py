"""A network's layers: their numbers, nonzeros and distinct values, and their bits in every code."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn

from analysis.codes import CODES, RELATIVE
from analysis.codes.checkpoint_message import checkpoint_message
from analysis.codes.ledger import END, HEAD
from analysis.codes.message import NetworkMessage, TensorListSpec
from analysis.codes.network_code import Codeword, encode_network
from analysis.codes.structure import structured_codes
from analysis.describe.external_network import (
    TIE,
    ExternalNetwork,
    describe_tensors,
    external_message_tensors,
)
from analysis.describe.folded_norms import BN_EPS
from analysis.quantize.formats import NumberFormat, find_format
from training.checkpoint.checkpoint import Checkpoint, load_checkpoint
from training.networks.models import Network
from training.spec.normalization import fixed_normalization
from training.system.notebook import html_table
from training.tensor_files.open import is_external, open_tensor_file

ABOUT = {
    "plain": "every number in b bits: no structure",
    "theorem-2": "the code in Theorem 2's proof",
    "enumerative": "support among C(n, ‖w‖₀), log k a value: support only",
    "context": "support and values by adaptive contexts: support only",
    "structured-conv": "as the convolution that it is: structure",
    "structured-local": "as the locally connected network that it is: structure",
    RELATIVE: "as the difference from a prior",
}
_UNSTRUCTURED = tuple(code for code in CODES if not code.startswith("structured-"))
_FRAME = "head and end"
_WHOLE = "all tensors"


@dataclass(frozen=True, kw_only=True)
class LayerRow:
    """One layer, or what belongs to none.

    Attributes:
        name: The layer; "head and end" for the codeword's own bits, "all tensors" for what stands
            for all layers together.
        num_weights: Numbers, those of a folded BatchNorm among them; 0 for what is no layer.
        num_nonzeros: Those that are not 0.
        num_distinct: Distinct values, zero among them.
        bits: Code to its bits for this layer; they are real numbers, and sum to a whole length.
    """

    name: str
    num_weights: int
    num_nonzeros: int
    num_distinct: int
    bits: dict[str, float]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class NetworkDescription:
    """A network's codewords side by side; it shows itself as a table, a row a layer.

    Attributes:
        message: The network, folded, rounded, and in its canonical form if that was asked for.
        codewords: Code to codeword, for every code that can describe it.
        codeword: The shortest of them, or the one asked for.
    """

    message: NetworkMessage
    codewords: dict[str, Codeword]
    codeword: Codeword

    @property
    def is_relative(self) -> bool:
        """Whether the bits are relative to a prior."""
        return self.codeword.prior_sha256 is not None

    @property
    def lengths(self) -> dict[str, int]:
        """Code to its length in bits, head and end included."""
        return {name: codeword.num_bits for name, codeword in self.codewords.items()}

    @property
    def num_weights(self) -> int:
        """n, all numbers."""
        return sum(tensor.numel() for tensor in self.message.state.values())

    @property
    def num_nonzeros(self) -> int:
        """‖w‖₀."""
        return sum(int(tensor.count_nonzero()) for tensor in self.message.state.values())

    @cached_property
    def layers(self) -> tuple[LayerRow, ...]:
        """A row a layer in the network's order, then what belongs to none."""
        tensors: dict[str, dict[str, Tensor]] = {}
        for name, tensor in self.message.state.items():
            tensors.setdefault(_layer_of(name), {})[name] = tensor
        bits: dict[str, dict[str, float]] = {name: {} for name in (*tensors, _WHOLE, _FRAME)}
        for code, codeword in self.codewords.items():
            for entry in codeword.ledger.entries:
                layer = _FRAME if entry.tensor in (HEAD, END) else _layer_of(entry.tensor)
                found = bits[layer if layer in bits else _WHOLE]
                found[code] = found.get(code, 0.0) + entry.bits
        rows = []
        for name, by_code in bits.items():
            counts = self.message.count(tensors[name]).total if name in tensors else None
            if counts is None and not by_code:
                continue
            row = LayerRow(
                name=name,
                num_weights=counts.num_weights if counts else 0,
                num_nonzeros=counts.num_nonzeros if counts else 0,
                num_distinct=counts.num_distinct if counts else 0,
                bits={code: by_code.get(code, 0.0) for code in self.codewords},
            )
            rows.append(row)
        return tuple(rows)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        codeword = self.codeword
        return {
            "code": codeword.code,
            "description_bits": codeword.num_bits,
            "format": self.message.number_format.name,
            "num_weights": self.num_weights,
            "num_nonzeros": self.num_nonzeros,
            "bits_per_nonzero": codeword.num_bits / max(self.num_nonzeros, 1),
            "lengths": self.lengths,
            "layers": [vars(row) for row in self.layers],
            "ledger": [entry.to_dict() for entry in codeword.ledger.entries],
        }

    def __repr__(self) -> str:
        return f"{self._headline()}; by layer and code:\n{_align(self._rows())}"

    def _repr_html_(self) -> str:
        columns, *rows = self._rows()
        return html_table(self._headline(), columns, rows, num_text_columns=1)

    def _headline(self) -> str:
        form = self.message.number_format
        return (
            f"{self.message.spec.name} in {form.name} (b = {form.bits_per_weight}): "
            f"{self.codeword.num_bits:,} bits in the {self.codeword.code} code"
        )

    def _rows(self) -> list[tuple[str, ...]]:
        """The columns' names, a row a layer, and the sum."""
        codes = list(self.codewords)
        rows = [("layer", "numbers", "nonzeros", "distinct", *codes)]
        for row in self.layers:
            counts = (row.num_weights, row.num_nonzeros, row.num_distinct)
            shown = [f"{count:,}" if row.num_weights else "" for count in counts]
            rows.append((row.name, *shown, *(f"{row.bits[code]:,.0f}" for code in codes)))
        lengths = [f"{length:,}" for length in self.lengths.values()]
        rows.append(("sum", f"{self.num_weights:,}", f"{self.num_nonzeros:,}", "", *lengths))
        return rows


def describe(
    network: nn.Module | Mapping[str, Tensor] | Checkpoint | Path | str,
    *,
    bits: int | None = None,
    number_format: str | None = None,
    key: str | None = None,
    canonical: bool = True,
) -> NetworkDescription:
    """Describe a network in bits, in every code that can.

    Args:
        network: A module, a state dict, a checkpoint, or the file of one. BatchNorm is folded; of a
            network whose code is not mdl's it is found by the names of its tensors. A module of
            mdl's own is taken to have the fixed normalisation.
        bits: b, bits a number: 32, 16 or 8; None for 16.
        number_format: The set of numbers by its name, such as "e4m3fn".
        key: The key that another program's state dict lies under in a file, with dots between
            nested ones; None looks for it.
        canonical: Whether steps that keep the function are taken first to make it shorter; only
            for networks of mdl's own.

    Raises:
        CheckpointError: The file or the state dict cannot be used; the message says why.
        ValueError: No such number format, or a value that is not finite.

    >>> weight = torch.zeros(8, 16)
    >>> weight[2, 3:5] = 0.5
    >>> found = describe({"fc.weight": weight, "fc.bias": torch.ones(8)}, bits=8)
    >>> print(found)
    this list of tensors in e4m3fn (b = 8): 240 bits in the context code; by layer and code:
    layer         numbers  nonzeros  distinct  plain  theorem-2  enumerative  context
    fc                136        10         3  1,088          0           33       46
    all tensors                                    0        148           19        0
    head and end                                 189        192          193      194
    sum               136        10            1,277        340          245      240
    """
    chosen = find_format(bits, number_format)
    return compare_codes(_message(network, chosen, key=key, canonical=canonical))


def compare_codes(message: NetworkMessage, code: str = "auto") -> NetworkDescription:
    """Encode a network in every code that can describe it.

    Args:
        message: The network.
        code: The code whose codeword to keep; "auto" keeps the shortest.

    Raises:
        ValueError: An unknown code, or a structure that the network does not have.
    """
    codewords = {
        name: encode_network(message, name) for name in (*_UNSTRUCTURED, *structured_codes(message))
    }
    if code == "auto":
        chosen = min(codewords.values(), key=lambda codeword: codeword.num_bits)
    else:
        chosen = codewords.get(code) or encode_network(message, code)
    return NetworkDescription(message=message, codewords=codewords, codeword=chosen)


def relative_to(
    prior: Codeword, message: NetworkMessage, description: NetworkDescription
) -> NetworkDescription:
    """A description with the relative code beside the others, chosen where it is the shortest.

    Args:
        prior: A network fixed before the data, by its own bits.
        message: The network as it is: units in the prior's order, nothing rescaled.
        description: Of the same function without the prior.

    Raises:
        ValueError: The prior does not fit the network.
    """
    relative = encode_network(message, RELATIVE, prior=prior)
    codewords = description.codewords | {RELATIVE: relative}
    if relative.num_bits < description.codeword.num_bits:
        return NetworkDescription(message=message, codewords=codewords, codeword=relative)
    return replace(description, codewords=codewords)


def read_message(
    path: Path,
    number_format: NumberFormat,
    *,
    key: str | None = None,
    canonical: bool = True,
    bn_eps: float = BN_EPS,
    fixed: Sequence[str] = (),
) -> NetworkMessage:
    """The message of a checkpoint file: folded, rounded and made shorter.

    Of another program's network it is the tensors, under their own names and as they are.

    Args:
        path: The file, or a run folder.
        number_format: R_b.
        key: The key that another program's state dict lies under; None looks for it.
        canonical: Whether steps that keep the function are taken to make it shorter.
        bn_eps: ε of another program's BatchNorms.
        fixed: Names or patterns of another program's tensors that its code sets without data.

    Raises:
        CheckpointError: The file cannot be used.
        ValueError: A value that is not finite.
    """
    if not is_external(path):
        return checkpoint_message(load_checkpoint(path), number_format, canonical=canonical)
    with open_tensor_file(path, key) as file:
        network = describe_tensors(file, bn_eps=bn_eps, fixed=fixed)
        return external_message(network, number_format)


def external_message(network: ExternalNetwork, number_format: NumberFormat) -> NetworkMessage:
    """The message of another program's network, whose file is open.

    Raises:
        CheckpointError: A tensor holds a number that is not finite, or the file cannot be read.
    """
    tensors = external_message_tensors(network, number_format)
    shapes = tuple((name, tuple(tensor.shape)) for name, tensor in tensors.items())
    spec = TensorListSpec(shapes, tuple(network.integer_formats.items()))
    return NetworkMessage(spec=spec, number_format=number_format, state=tensors)


def _message(
    network: nn.Module | Mapping[str, Tensor] | Checkpoint | Path | str,
    number_format: NumberFormat,
    *,
    key: str | None,
    canonical: bool,
) -> NetworkMessage:
    if isinstance(network, Path | str):
        return read_message(Path(network), number_format, key=key, canonical=canonical)
    if key is not None:
        raise ValueError("key must be None where no file is given")
    if isinstance(network, Network):
        network = Checkpoint(
            network=network.spec,
            state=network.state_dict(),
            normalization=fixed_normalization(network.spec.in_channels),
        )
    if isinstance(network, Checkpoint):
        return checkpoint_message(network, number_format, canonical=canonical)
    state = network.state_dict() if isinstance(network, nn.Module) else dict(network)
    with TemporaryDirectory(prefix="mdl-describe-") as folder:
        file = Path(folder) / "state.pt"
        torch.save(state, file)  # read back as another program's file: one set of rules
        return read_message(file, number_format)


def _layer_of(name: str) -> str:
    """The layer that a tensor belongs to: its owner, with the BatchNorm behind it."""
    first = name.partition(TIE)[0]
    return first.rpartition(".")[0].removesuffix("_norm") or first


def _align(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(
            cell.rjust(width) if index else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)
