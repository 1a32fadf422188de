"""What a bit string stands for: a network as its classifier is defined, no more and no less."""

from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from analysis.codes.arithmetic_coder import MAX_VALUE
from analysis.quantize.formats import NumberFormat
from training.networks.models import build_network
from training.spec.architectures import NetworkSpec
from training.spec.normalization import Normalization


@dataclass(frozen=True)
class TensorListSpec:
    """Names and shapes of tensors whose network's code is an external.

    Attributes:
        shapes: Name to shape, in order; at least one tensor, every size >= 1.

    Raises:
        ValueError: No tensors, or one without numbers.
    """

    shapes: tuple[tuple[str, tuple[int, ...]], ...]

    def __post_init__(self) -> None:
        if not self.shapes:
            raise ValueError("shapes must name at least one tensor")
        if len(dict(self.shapes)) != len(self.shapes):
            raise ValueError("shapes must name each tensor once")
        for name, shape in self.shapes:
            if min(shape, default=1) < 1:
                raise ValueError(f"{name} must hold at least one number, not shape {shape}")

    @property
    def num_weights(self) -> int:
        """n, all numbers."""
        return sum(prod(shape) for _, shape in self.shapes)


Spec = NetworkSpec | TensorListSpec


@dataclass(frozen=True, kw_only=True, eq=False)
class NetworkMessage:
    """A network as a description has it.

    Attributes:
        spec: The network, or the names and shapes of an external one's tensors.
        number_format: R_b.
        state: Name to tensor in the order of `expected_shapes`: float32, every value in R_b,
            BatchNorm folded into one scale and one shift per unit.
        normalization: What pixels go through; None where the network's code is not ours.
        permutation_seed: Seed of the fixed permutation of pixels, or None.

    Raises:
        ValueError: A tensor that the description has no place for, one that is missing, one of
            another shape, or inputs that do not go with the network.
    """

    spec: Spec
    number_format: NumberFormat
    state: dict[str, Tensor]
    normalization: Normalization | None = None
    permutation_seed: int | None = None

    def __post_init__(self) -> None:
        expected = expected_shapes(self.spec)
        for name in self.state:
            if name not in expected:
                raise ValueError(
                    f"{name} is neither coded nor fixed: the description of {_name(self.spec)} "
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
            if self.normalization is not None or self.permutation_seed is not None:
                raise ValueError(
                    "normalization and permutation_seed must be None for tensors whose network's "
                    "code is not ours: their description has no place for them"
                )
            return
        num_channels = None if self.normalization is None else self.normalization.num_channels
        if num_channels != self.spec.in_channels:
            raise ValueError(
                f"normalization must have constants for {self.spec.in_channels} channels, not "
                f"{num_channels}"
            )
        if self.permutation_seed is not None and not 0 <= self.permutation_seed < MAX_VALUE:
            raise ValueError(f"permutation_seed must be >= 0, not {self.permutation_seed}")

    def same_as(self, other: "NetworkMessage") -> bool:
        """Whether both stand for the same network, number by number."""
        return (
            self.spec == other.spec
            and self.number_format.name == other.number_format.name
            and self.permutation_seed == other.permutation_seed
            and _constants(self.normalization) == _constants(other.normalization)
            and all(torch.equal(self.state[name], other.state[name]) for name in self.state)
        )


def expected_shapes(spec: Spec) -> dict[str, tuple[int, ...]]:
    """Every tensor that the function depends on, in the order in which they are coded."""
    if isinstance(spec, TensorListSpec):
        return dict(spec.shapes)
    with torch.device("meta"):
        state = build_network(spec, folded=True).state_dict()
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


def _name(spec: Spec) -> str:
    return spec.name if isinstance(spec, NetworkSpec) else "these tensors"


def _constants(
    normalization: Normalization | None,
) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    return None if normalization is None else (normalization.mean, normalization.std)
