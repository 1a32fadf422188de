"""What a bit string stands for: a network as its classifier is defined, no more and no less."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from typing import ClassVar

import torch
from torch import Tensor

from analysis.codes.arithmetic_coder import MAX_VALUE
from analysis.quantize.formats import NumberFormat
from analysis.quantize.integers import IntegerFormat, count_integers, tensor_counts, total_counts
from analysis.quantize.nonzeros import Counts, NetworkCounts, TensorCounts, count_tensors
from training.data.input_map import InputMap
from training.networks.models import build_network
from training.spec.architectures import LayerSpec, NetworkSpec


@dataclass(frozen=True)
class TensorListSpec:
    """Names and shapes of tensors whose network's code is external; no layers are known.

    Attributes:
        shapes: Name to shape, in order; at least one tensor, every size >= 1.
        integers: Name to format of the tensors that hold integers, in the same order; all others
            hold numbers of R_b. The last dimension of a packed one are its fields.

    Raises:
        ValueError: No tensors, one without numbers, or a format that does not go with its shape.
    """

    shapes: tuple[tuple[str, tuple[int, ...]], ...]
    integers: tuple[tuple[str, IntegerFormat], ...] = ()

    name: ClassVar[str] = "this list of tensors"
    layers: ClassVar[tuple[LayerSpec, ...]] = ()

    def __post_init__(self) -> None:
        if not self.shapes:
            raise ValueError("shapes must name at least one tensor")
        if len(dict(self.shapes)) != len(self.shapes):
            raise ValueError("shapes must name each tensor once")
        for name, shape in self.shapes:
            if min(shape, default=1) < 1:
                raise ValueError(f"{name} must hold at least one number, not shape {shape}")
        shapes = dict(self.shapes)
        for name, number_format in self.integers:
            fields = number_format.num_fields
            if name not in shapes or (fields > 1 and shapes[name][-1:] != (fields,)):
                raise ValueError(f"{name} must be a tensor whose last dimension is {fields} fields")

    @property
    def num_weights(self) -> int:
        """n, all numbers."""
        return sum(prod(shape) for _, shape in self.shapes)


Spec = NetworkSpec | TensorListSpec

_CANNOT_RUN = (
    "these bits are tensors of a network whose code is not mdl's, so its errors cannot be counted "
    "here; count them with its own code, and give them to mdl bound"
)


@dataclass(frozen=True, kw_only=True, eq=False)
class NetworkMessage:
    """A network as a description has it.

    Attributes:
        spec: The network, or the names and shapes of an external one's tensors.
        number_format: R_b.
        state: Name to tensor in the order of `expected_shapes`: float32, every value in R_b,
            BatchNorm folded into one scale and one shift per unit. Integers of an external network
            are held in the `dtype` of their format.
        inputs: What images are put through; None where the network's code is not ours.

    Raises:
        ValueError: A tensor that the description has no place for, one that is missing, one of
            another shape, or inputs that do not go with the network.
    """

    spec: Spec
    number_format: NumberFormat
    state: dict[str, Tensor]
    inputs: InputMap | None = None

    def __post_init__(self) -> None:
        expected = expected_shapes(self.spec)
        for name in self.state:
            if name not in expected:
                raise ValueError(
                    f"{name} is neither coded nor fixed: the description of {self.spec.name} "
                    "has no place for it; fold BatchNorm first, or remove it if nothing uses it"
                )
        for name, shape in expected.items():
            if name not in self.state:
                raise ValueError(f"the state lacks {name}")
            found = tuple(self.state[name].shape)
            if found != shape:
                raise ValueError(f"{name} must have shape {shape}, not {found}")
        self._check_inputs()

    def _check_inputs(self) -> None:
        """What the description says of the inputs must be all that there is to say."""
        if isinstance(self.spec, TensorListSpec):
            if self.inputs is not None:
                raise ValueError(
                    "inputs must be None for tensors whose network's code is not ours: their "
                    "description has no place for them"
                )
            return
        num_channels = None if self.inputs is None else self.inputs.normalization.num_channels
        if self.inputs is None or num_channels != self.spec.in_channels:
            raise ValueError(
                f"inputs must have constants for {self.spec.in_channels} channels, not "
                f"{num_channels}"
            )
        seed = self.inputs.permutation_seed
        if seed is not None and not 0 <= seed < MAX_VALUE:
            raise ValueError(f"permutation_seed must be >= 0, not {seed}")

    @property
    def can_run(self) -> bool:
        """Whether this is a network of mdl's, and not tensors of one whose code is external."""
        return isinstance(self.spec, NetworkSpec)

    @property
    def network(self) -> NetworkSpec:
        """The network's shape.

        Raises:
            ValueError: Tensors of a network whose code is external, so it cannot run here.
        """
        if not isinstance(self.spec, NetworkSpec):
            raise ValueError(_CANNOT_RUN)
        return self.spec

    @property
    def known_inputs(self) -> InputMap:
        """What images are put through.

        Raises:
            ValueError: As `network`.
        """
        if self.inputs is None:
            raise ValueError(_CANNOT_RUN)
        return self.inputs

    @property
    def integers(self) -> dict[str, IntegerFormat]:
        """Name to format of the tensors that hold integers."""
        return dict(self.spec.integers) if isinstance(self.spec, TensorListSpec) else {}

    @property
    def counts(self) -> NetworkCounts:
        """Weights, nonzeros and distinct values of all tensors.

        A value of R_b and an integer are two values, whatever they are.
        """
        return self.count(self.state)

    def count(self, names: Iterable[str]) -> NetworkCounts:
        """The same of some tensors."""
        chosen = {name: self.state[name] for name in names}
        formats = self.integers
        rows: dict[str, TensorCounts] = {}
        totals: list[Counts] = []
        if numbers := {name: each for name, each in chosen.items() if name not in formats}:
            counted = count_tensors(numbers, self.number_format)
            rows |= {row.name: row for row in counted.tensors}
            totals.append(counted.total)
        for number_format in dict.fromkeys(formats[name] for name in chosen if name in formats):
            own = [name for name in chosen if formats.get(name) == number_format]
            found = [count_integers(iter([chosen[name]])) for name in own]
            new = [
                tensor_counts(name, tuple(chosen[name].shape), each)
                for name, each in zip(own, found, strict=True)
            ]
            rows |= {row.name: row for row in new}
            totals.append(total_counts(new, found))
        return NetworkCounts(
            tensors=tuple(rows[name] for name in chosen), total=join_counts(totals)
        )

    def same_as(self, other: "NetworkMessage") -> bool:
        """Whether both stand for the same network, number by number."""
        return (
            self.spec == other.spec
            and self.number_format.name == other.number_format.name
            and input_values(self.inputs) == input_values(other.inputs)
            and all(torch.equal(self.state[name], other.state[name]) for name in self.state)
        )


def join_counts(totals: Iterable[Counts]) -> Counts:
    """Counts of sets of numbers that have no value in common."""
    listed = list(totals)
    return Counts(
        num_weights=sum(each.num_weights for each in listed),
        num_nonzeros=sum(each.num_nonzeros for each in listed),
        num_distinct_nonzero=sum(each.num_distinct_nonzero for each in listed),
    )


def expected_shapes(spec: Spec) -> dict[str, tuple[int, ...]]:
    """Every tensor that the function depends on, in the order in which they are coded."""
    if isinstance(spec, TensorListSpec):
        return dict(spec.shapes)
    with torch.device("meta"):
        state = build_network(spec, folded=True).state_dict()
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


def input_values(inputs: InputMap | None) -> object:
    """All that it says, but for where the constants come from."""
    if inputs is None:
        return None
    return inputs.normalization.mean, inputs.normalization.std, inputs.permutation_seed
