"""Networks to describe, small and with many shapes."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from analysis.codes import support
from analysis.codes.arithmetic_coder import ArithmeticCoder
from analysis.codes.grid import Grid
from analysis.codes.matrix import SparseMatrix
from analysis.codes.message import NetworkMessage
from analysis.quantize.formats import find_format, quantize_tensors
from training.data.input_map import InputMap
from training.networks.models import build_network, fold_batch_norm
from training.spec.architectures import NetworkSpec
from training.spec.normalization import fixed_normalization


def _small_spec(name: str, *, image_size: int = 8, in_channels: int = 3) -> NetworkSpec:
    width = {"hidden_units": 6} if name == "3-fc" else {"base_channels": 2}
    return NetworkSpec(
        name=name, image_size=image_size, num_classes=4, in_channels=in_channels, **width
    )


def _random_message(
    spec: NetworkSpec,
    *,
    format_name: str = "bfloat16",
    density: float = 1.0,
    num_levels: int | None = None,
    seed: int = 0,
) -> NetworkMessage:
    """A network of random weights, most of them zero at low density, on few levels if asked."""
    torch.manual_seed(seed)
    network = build_network(spec)
    for name, tensor in network.state_dict().items():
        if name.endswith(("running_mean", "_norm.bias", "_norm.weight")):
            tensor.copy_(torch.randn_like(tensor))
    state = fold_batch_norm(network).state_dict()
    if num_levels is not None:
        state = {
            name: (tensor * num_levels / tensor.abs().max()).round() if tensor.dim() > 1 else tensor
            for name, tensor in state.items()
        }
    kept = {
        name: tensor.masked_fill(torch.rand_like(tensor) >= density, 0)
        if tensor.dim() > 1
        else tensor
        for name, tensor in state.items()
    }
    number_format = find_format(name=format_name)
    return NetworkMessage(
        spec=spec,
        number_format=number_format,
        state=quantize_tensors(kept, number_format),
        inputs=InputMap(fixed_normalization(spec.in_channels)),
    )


@pytest.fixture(scope="session")
def small_spec() -> Callable[..., NetworkSpec]:
    """Makes the spec of a small network of that name."""
    return _small_spec


@pytest.fixture(scope="session")
def random_message() -> Callable[..., NetworkMessage]:
    """Makes a message of a network with random tensors."""
    return _random_message


def _as_matrix(mask: NDArray[np.bool_]) -> SparseMatrix:
    """A matrix of ones at these places."""
    rows, columns = np.nonzero(mask)
    starts = np.searchsorted(rows, np.arange(len(mask) + 1)).astype(np.int64)
    return SparseMatrix(
        num_rows=mask.shape[0],
        num_columns=mask.shape[1],
        row_starts=starts,
        columns=columns.astype(np.int64),
        patterns=np.ones(len(columns), dtype=np.int64),
    )


def _bit_string(data: bytes, num_bits: int) -> str:
    """The bits of a codeword as characters."""
    return "".join(f"{byte:08b}" for byte in data)[:num_bits]


def _code_rows(
    coder: ArithmeticCoder, grid: Grid, features: int, mask: NDArray[np.bool_] | None
) -> NDArray[np.bool_]:
    """Code a support in a scheme that is known already; the support, as it is or as it is read."""
    matrix = None if mask is None else _as_matrix(mask)
    starts, columns = support._code_rows(coder, grid, features, matrix)
    found = np.zeros((grid.num_rows, grid.num_columns), dtype=bool)
    found[np.repeat(np.arange(grid.num_rows), np.diff(starts)), columns] = True
    return found


@pytest.fixture(scope="session")
def as_matrix() -> Callable[..., SparseMatrix]:
    """Makes the matrix of a support."""
    return _as_matrix


@pytest.fixture(scope="session")
def bit_string() -> Callable[..., str]:
    """Makes a string of 0 and 1 from a codeword."""
    return _bit_string


@pytest.fixture(scope="session")
def code_rows() -> Callable[..., NDArray[np.bool_]]:
    """Codes a support by its features."""
    return _code_rows
