"""First-layer filters as images: the incoming weights of a unit, laid where they act.

A filter is the incoming weights of one unit of the first layer on the input image, shape
(in_channels, s, s). What a layer of each kind has:

- dense: a filter for every unit, its row of the weight.
- local: a filter for every unit, its kernel at its position. Weights over the padding never act
  and are left out of the filter and of its count of nonzeros.
- conv: a filter for every channel, its kernel laid at the centre of the image, one of the many
  places where it acts.

So the conv, local and fc twins of one network have the same filters (conv: one of each channel's).
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.checkpoint.checkpoint import Checkpoint
from training.data.input_map import pixel_permutation
from training.errors import ConfigError
from training.spec.architectures import LayerSpec

MIN_NONZEROS = 20  # as in the paper's Figures 7 to 9
MAX_FILTERS = 500  # enough for a median within a few percent, in seconds

_CHUNK_WEIGHTS = 8_000_000  # weights laid at a time while counting: tens of MB


@dataclass(frozen=True, kw_only=True)
class FilterSample:
    """Filters of one first layer, chosen at random. Arrays share their first axis.

    Attributes:
        layer: The first layer.
        num_filters: Filters that the layer has.
        min_nonzeros: Nonzeros that a filter must have to be chosen.
        num_eligible: Filters that have them.
        indices: Which filters these are, in the random order of the choice, (N,). The first few
            are themselves a random choice.
        nonzeros: Nonzero weights of each, (N,).
        images: Their weights on the image, (N, in_channels, s, s).
        permutation_seed: Seed of the pixel permutation that was undone; None if there was none.
    """

    layer: LayerSpec
    num_filters: int
    min_nonzeros: int
    num_eligible: int
    indices: NDArray[np.int64]
    nonzeros: NDArray[np.int64]
    images: NDArray[np.float64]
    permutation_seed: int | None


def sample_filters(
    checkpoint: Checkpoint,
    *,
    max_filters: int = MAX_FILTERS,
    min_nonzeros: int | None = MIN_NONZEROS,
    unpermute: bool = True,
    seed: int = 0,
) -> FilterSample:
    """Choose filters of a checkpoint at random among those with enough nonzeros.

    Args:
        checkpoint: Any network of the project. Only its first weight tensor is read.
        max_filters: Filters to choose, >= 1; fewer eligible ones are all taken.
        min_nonzeros: Fewest nonzeros of a filter, >= 1; None as `sample_layer` has it.
        unpermute: Undo the fixed pixel permutation of the data, so that filters lie on the images
            as they were before it. Nothing changes where there was none.
        seed: Seed of the choice.

    Returns:
        The chosen filters.

    Raises:
        ValueError: An argument outside its range, no filter with enough nonzeros, or weights that
            are not finite.
    """
    layer = checkpoint.network.layers[0]
    permutation_seed = None
    if unpermute and checkpoint.data is not None:
        permutation_seed = checkpoint.data.config["permute_pixels"]
    return sample_layer(
        layer,
        checkpoint.state[f"{layer.name}.weight"],
        max_filters=max_filters,
        min_nonzeros=min_nonzeros,
        permutation_seed=permutation_seed,
        seed=seed,
    )


def sample_layer(
    layer: LayerSpec,
    weight: Tensor,
    *,
    max_filters: int = MAX_FILTERS,
    min_nonzeros: int | None = None,
    permutation_seed: int | None = None,
    seed: int = 0,
) -> FilterSample:
    """Choose filters of a layer at random among those with enough nonzeros.

    Args:
        layer: A layer that sees the image.
        weight: Its weight, of shape `layer.weight_shape`.
        max_filters: Filters to choose, >= 1; fewer eligible ones are all taken.
        min_nonzeros: Fewest nonzeros of a filter, >= 1; None: 20, or half of what the fullest
            filter has, where none has 20.
        permutation_seed: Seed of the pixel permutation to undo; None if there is none.
        seed: Seed of the choice.

    Raises:
        ValueError: An argument outside its range, no filter with enough nonzeros, or weights that
            are not finite.
    """
    for name, value in (("max_filters", max_filters), ("min_nonzeros", min_nonzeros)):
        if value is not None and value < 1:
            raise ConfigError.naming(f"{{{name}}} must be >= 1, not {{}}", value)
    nonzeros = count_filter_nonzeros(layer, weight)
    if min_nonzeros is None:
        fullest = int(nonzeros.max())
        min_nonzeros = MIN_NONZEROS if fullest >= MIN_NONZEROS else max(1, fullest // 2)
    eligible = np.flatnonzero(nonzeros >= min_nonzeros)
    if len(eligible) == 0:
        fullest = int(nonzeros.max())
        if not fullest:
            raise ValueError(f"all weights of {layer.name} are zero; it has no filter to draw")
        raise ConfigError.naming(
            "no filter of {} has {} nonzeros, the fullest has {}; give a smaller {min_nonzeros}",
            layer.name,
            min_nonzeros,
            fullest,
        )
    indices = np.random.default_rng(seed).permutation(eligible)[:max_filters]
    images = lay_filters(layer, weight, indices)
    if permutation_seed is not None:
        images = unpermute_pixels(images, pixel_permutation(permutation_seed, layer.in_size**2))
    if not images.isfinite().all():
        raise ValueError(f"weights of {layer.name} must be finite, but some are not")
    return FilterSample(
        layer=layer,
        num_filters=len(nonzeros),
        min_nonzeros=min_nonzeros,
        num_eligible=len(eligible),
        indices=indices,
        nonzeros=nonzeros[indices],
        images=images.double().numpy(),
        permutation_seed=permutation_seed,
    )


def num_filters(layer: LayerSpec) -> int:
    """Filters of a first layer: one a channel of a convolution, one a unit otherwise."""
    return layer.out_channels if layer.kind == "conv" else layer.out_features


def filter_place(layer: LayerSpec, index: int) -> tuple[int, int, int]:
    """Output channel, row and column of a filter; units are in (channel, row, column) order.

    A convolution's filter is at the centre, where `lay_filters` lays it.
    """
    if layer.kind == "conv":
        return index, layer.out_size // 2, layer.out_size // 2
    channel, position = divmod(index, layer.out_size**2)
    return channel, *divmod(position, layer.out_size)


def kernel_window(layer: LayerSpec) -> tuple[slice, slice]:
    """Rows and columns of the image under a convolution's kernel at the centre.

    Raises:
        ValueError: Another kind of layer.
    """
    if layer.kind != "conv" or layer.kernel is None:
        raise ValueError(f"{layer.name} must be a convolution, not {layer.kind}")
    start = layer.out_size // 2 * layer.stride - layer.padding
    window = slice(max(0, start), min(layer.in_size, start + layer.kernel))
    return window, window


def lay_filters(layer: LayerSpec, weight: Tensor, indices: NDArray[np.int64]) -> Tensor:
    """Filters on the input image.

    Args:
        layer: The first layer.
        weight: Its weight, of shape `layer.weight_shape`.
        indices: Which filters, (N,), each in [0, num_filters(layer)).

    Returns:
        Weights on the image, (N, in_channels, s, s), of the weight's dtype.
    """
    side = layer.in_size
    chosen = torch.from_numpy(indices)
    if layer.kind == "dense" or layer.kernel is None:
        return weight[chosen].reshape(-1, layer.in_channels, side, side)
    if layer.kind == "conv":
        centre = layer.out_size // 2
        positions = torch.full_like(chosen, centre * layer.out_size + centre)
        return _place_kernels(layer, weight[chosen], positions)
    positions = chosen % layer.out_size**2
    kernels = weight[positions, chosen // layer.out_size**2]
    shape = (-1, layer.in_channels, layer.kernel, layer.kernel)
    return _place_kernels(layer, kernels.reshape(shape), positions)


def count_filter_nonzeros(layer: LayerSpec, weight: Tensor) -> NDArray[np.int64]:
    """Nonzero weights of every filter on the image, (num_filters,); NaN counts as nonzero.

    Filters are laid and counted in chunks: little memory beside the weight itself.
    """
    total = num_filters(layer)
    step = max(1, _CHUNK_WEIGHTS // layer.in_features)
    counts = np.empty(total, dtype=np.int64)
    for start in range(0, total, step):
        chunk = np.arange(start, min(start + step, total))
        laid = lay_filters(layer, weight, chunk)
        counts[chunk] = torch.count_nonzero(laid.flatten(1), dim=1).numpy()
    return counts


def unpermute_pixels(filters: Tensor, permutation: Tensor) -> Tensor:
    """Filters on the original image, from filters on the permuted one.

    Args:
        filters: (N, channels, s, s), acting on images whose pixel j is the original's pixel
            `permutation[j]`.
        permutation: (s·s,), one permutation for all channels.

    Returns:
        Filters of the same shape: the same function of the original images.
    """
    flat = filters.flatten(2)
    original = torch.empty_like(flat)
    original[:, :, permutation] = flat
    return original.reshape(filters.shape)


def _place_kernels(layer: LayerSpec, kernels: Tensor, positions: Tensor) -> Tensor:
    """Lay kernels (N, in_channels, k, k) at output positions (N,), cut off at the border."""
    side, kernel, padding = layer.in_size, kernels.shape[-1], layer.padding
    canvas = kernels.new_zeros(len(kernels), layer.in_channels, *(side + kernel - 1,) * 2)
    offsets = torch.arange(kernel)
    rows = (positions // layer.out_size * layer.stride)[:, None] + offsets
    columns = (positions % layer.out_size * layer.stride)[:, None] + offsets
    which = torch.arange(len(kernels))[:, None, None]
    # Advanced indices around a slice come first: the assigned axes are (N, k, k, in_channels).
    canvas[which, :, rows[:, :, None], columns[:, None, :]] = kernels.permute(0, 2, 3, 1)
    inside = slice(padding, padding + side)
    return canvas[:, :, inside, inside]
