"""Filters laid on the image: against exact twins, against forward passes, and their choice."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import analysis.filters.filters
from analysis.filters.filters import (
    FilterSample,
    count_filter_nonzeros,
    filter_place,
    kernel_window,
    lay_filters,
    num_filters,
    sample_filters,
    unpermute_pixels,
)
from analysis.filters.locality import measure_locality
from training.checkpoint.checkpoint import Checkpoint
from training.checkpoint.record import DataRecord
from training.data.input_map import InputMap, pixel_permutation
from training.networks.embedding import embed_state
from training.networks.models import build_network
from training.spec.architectures import NetworkSpec
from training.spec.normalization import Normalization

TWINS = [("s", 8, 3), ("s", 7, 1), ("d", 16, 3), ("d", 9, 2)]


def make_spec(name: str, **changes: Any) -> NetworkSpec:
    width = {"hidden_units": 6} if name == "3-fc" else {"base_channels": 2}
    shape = {"image_size": 8, "num_classes": 3, "in_channels": 3}
    return NetworkSpec(name=name, **{**shape, **width, **changes})


def make_checkpoint(
    spec: NetworkSpec, state: dict[str, Tensor] | None = None, *, permute: int | None = None
) -> Checkpoint:
    torch.manual_seed(0)
    data = DataRecord(
        config={"source": "glyphs", "permute_pixels": permute},
        name="glyphs",
        fingerprint="00",
        num_samples=10,
        num_validation=0,
        num_test=5,
        image_size=spec.image_size,
        in_channels=spec.in_channels,
        num_classes=spec.num_classes,
        class_names=tuple("abc"[: spec.num_classes]),
    )
    return Checkpoint(
        network=spec,
        state=state or build_network(spec).state_dict(),
        data=data,
        normalization=Normalization(
            mean=(0.5,) * spec.in_channels, std=(0.25,) * spec.in_channels, source="fixed"
        ),
        config={},
        metrics={},
        num_nonzeros={},
        versions={},
        training=None,
    )


def all_filters(spec: NetworkSpec, state: dict[str, Tensor]) -> Tensor:
    layer = spec.layers[0]
    return lay_filters(layer, state["conv1.weight"], np.arange(num_filters(layer)))


@pytest.mark.parametrize(("family", "size", "channels"), TWINS)
def test_exact_twins_have_the_same_filters(family: str, size: int, channels: int) -> None:
    spec = make_spec(f"{family}-conv", image_size=size, in_channels=channels)
    state = make_checkpoint(spec).state
    local, dense = spec.twin("local"), spec.twin("fc")
    in_local = all_filters(local, embed_state(spec, state, "local"))
    in_dense = all_filters(dense, embed_state(spec, state, "fc"))
    assert in_dense.shape == (dense.layers[0].out_features, channels, size, size)
    assert torch.equal(in_local, in_dense)

    centre, out_size = dense.layers[0].out_size // 2, dense.layers[0].out_size
    units = in_dense.unflatten(0, (-1, out_size, out_size))
    assert torch.equal(all_filters(spec, state), units[:, centre, centre])


@pytest.mark.parametrize("kind", ["local", "fc"])
def test_filters_are_what_the_first_layer_computes(kind: str) -> None:
    """A unit's value is Σ filter · image; an s-local network of its own, padding weights too."""
    spec = make_spec(f"s-{kind}", image_size=7)
    network = build_network(spec).double()
    filters = all_filters(spec, network.state_dict())
    images = torch.randn(4, 3, 7, 7, dtype=torch.float64)
    inputs = images.flatten(1) if kind == "fc" else images
    with torch.no_grad():
        outputs = network.get_submodule("conv1")(inputs).flatten(1)
    expected = torch.einsum("ncij,ucij->nu", images, filters)
    torch.testing.assert_close(outputs, expected, rtol=1e-10, atol=1e-10)


def test_a_kernel_at_the_centre_acts_as_the_convolution_does_there() -> None:
    spec = make_spec("s-conv", image_size=32)
    weight = make_checkpoint(spec).state["conv1.weight"].double()
    images = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    outputs = F.conv2d(images, weight, stride=2, padding=4)[:, :, 8, 8]
    filters = lay_filters(spec.layers[0], weight, np.arange(2))
    expected = torch.einsum("ncij,ucij->nu", images, filters)
    torch.testing.assert_close(outputs, expected, rtol=1e-10, atol=1e-10)
    rows, columns = kernel_window(spec.layers[0])
    assert (rows, columns) == (slice(12, 21), slice(12, 21))
    assert torch.equal(filters[:, :, rows, columns], weight)


def test_a_kernel_larger_than_the_image_is_cut() -> None:
    spec = make_spec("resnet18", image_size=4, kernel_size=9)
    layer = spec.layers[0]
    rows, columns = kernel_window(layer)
    assert (rows, columns) == (slice(0, 4), slice(0, 4))
    weight = torch.arange(1.0, 82.0).reshape(1, 1, 9, 9).expand(2, 3, 9, 9)
    laid = lay_filters(layer, weight, np.array([1]))
    # The kernel's middle (4, 4) is at the centre (2, 2) of the image.
    assert torch.equal(laid[0, 0], weight[0, 0, 2:6, 2:6])


def test_weights_over_the_padding_are_not_counted() -> None:
    spec = make_spec("s-local")
    state = make_checkpoint(spec).state
    layer, dense = spec.layers[0], spec.twin("fc").layers[0]
    counts = count_filter_nonzeros(layer, state["conv1.weight"])
    twin = embed_state(spec, state, "fc")["conv1.weight"]
    assert (counts == count_filter_nonzeros(dense, twin)).all()
    assert counts.max() < 3 * 81  # a 9x9 kernel does not fit in 8x8 pixels
    assert counts[0] == 3 * 5 * 5  # in the corner


def test_counting_in_chunks_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("s-conv", "s-local", "s-fc", "3-fc", "resnet18"):
        spec = make_spec(name)
        layer = spec.layers[0]
        weight = torch.randn(layer.weight_shape) * (torch.rand(layer.weight_shape) < 0.3)
        whole = count_filter_nonzeros(layer, weight)
        assert whole.shape == (num_filters(layer),)
        monkeypatch.setattr(analysis.filters.filters, "_CHUNK_WEIGHTS", 5 * layer.in_features)
        assert (count_filter_nonzeros(layer, weight) == whole).all()
        monkeypatch.undo()


def test_places() -> None:
    fc = make_spec("s-fc").layers[0]  # 2 channels of 4x4 units
    assert filter_place(fc, 0) == (0, 0, 0)
    assert filter_place(fc, 16 + 4 + 3) == (1, 1, 3)
    assert filter_place(make_spec("s-conv").layers[0], 1) == (1, 2, 2)
    assert filter_place(make_spec("3-fc").layers[0], 5) == (5, 0, 0)
    with pytest.raises(ValueError, match="conv1 must be a convolution, not dense"):
        kernel_window(fc)


def test_undoing_the_permutation_gives_the_same_function_of_the_images() -> None:
    images = torch.randint(0, 256, (5, 3, 8, 8), dtype=torch.uint8)
    permutation = pixel_permutation(3, 64)
    normalization = Normalization(mean=(0.5,) * 3, std=(0.25,) * 3, source="fixed")
    plain = InputMap(normalization)(images)
    permuted = InputMap(normalization, 3)(images)
    filters = torch.randn(4, 3, 8, 8)
    original = unpermute_pixels(filters, permutation)
    torch.testing.assert_close(
        torch.einsum("ncij,ucij->nu", permuted, filters),
        torch.einsum("ncij,ucij->nu", plain, original),
    )


def test_a_network_on_permuted_pixels_shows_the_filters_of_the_unpermuted_one() -> None:
    spec = make_spec("s-conv", image_size=16)
    state = embed_state(spec, make_checkpoint(spec).state, "fc")
    dense = spec.twin("fc")
    plain = sample_filters(make_checkpoint(dense, state))
    permutation = pixel_permutation(7, 256)
    permuted_state = dict(state)
    rows = state["conv1.weight"].unflatten(1, (3, 256))
    permuted_state["conv1.weight"] = rows[:, :, permutation].flatten(1)
    checkpoint = make_checkpoint(dense, permuted_state, permute=7)
    undone = sample_filters(checkpoint)
    assert undone.permutation_seed == 7
    assert plain.permutation_seed is None
    assert (undone.indices == plain.indices).all()
    assert (undone.images == plain.images).all()
    as_seen = sample_filters(checkpoint, unpermute=False)
    assert as_seen.permutation_seed is None
    assert (as_seen.images != plain.images).any()
    # 9x9 windows of a 16x16 image: local in the original order, not in the network's.
    assert np.median(measure_locality(undone.images).ratio) < 0.75
    assert np.median(measure_locality(as_seen.images).ratio) == pytest.approx(1, abs=0.05)


def sparse_checkpoint(nonzeros: list[int]) -> Checkpoint:
    """A 3-fc whose first hidden units have the given numbers of nonzeros."""
    spec = make_spec("3-fc", hidden_units=len(nonzeros))
    state = make_checkpoint(spec).state
    weight = torch.zeros_like(state["fc1.weight"])
    for unit, number in enumerate(nonzeros):
        weight[unit, torch.randperm(weight.shape[1])[:number]] = unit + 1.0
    return make_checkpoint(spec, {**state, "fc1.weight": weight})


def test_the_choice_is_among_filters_with_enough_nonzeros() -> None:
    sample = sample_filters(sparse_checkpoint([0, 19, 20, 21, 192, 3]))
    assert isinstance(sample, FilterSample)
    assert sorted(sample.indices.tolist()) == [2, 3, 4]
    assert (sample.num_filters, sample.num_eligible, sample.min_nonzeros) == (6, 3, 20)
    for index, nonzeros, image in zip(sample.indices, sample.nonzeros, sample.images, strict=True):
        assert nonzeros == [0, 19, 20, 21, 192, 3][index] == np.count_nonzero(image)
        assert image.max() == index + 1


def test_the_choice_is_random_and_seeded() -> None:
    checkpoint = sparse_checkpoint([20] * 30)
    chosen = [sample_filters(checkpoint, max_filters=3, seed=seed).indices for seed in range(200)]
    again = sample_filters(checkpoint, max_filters=3, seed=5).indices
    assert (chosen[5] == again).all()
    times = np.bincount(np.concatenate(chosen), minlength=30)  # 600 draws of 30: 20 each
    assert times.min() >= 5
    assert times.max() <= 40
    # A smaller sample is the beginning of a larger one.
    assert (sample_filters(checkpoint, max_filters=9, seed=5).indices[:3] == again).all()


def test_no_filter_with_enough_nonzeros() -> None:
    with pytest.raises(ValueError, match="no filter of fc1 has 20 nonzeros, the fullest has 19; "):
        sample_filters(sparse_checkpoint([3, 19, 0]))
    with pytest.raises(ValueError, match="all weights of fc1 are zero"):
        sample_filters(sparse_checkpoint([0, 0]))
    with pytest.raises(ValueError, match="min_nonzeros must be >= 1, not 0"):
        sample_filters(sparse_checkpoint([20]), min_nonzeros=0)
    with pytest.raises(ValueError, match="max_filters must be >= 1, not 0"):
        sample_filters(sparse_checkpoint([20]), max_filters=0)


def test_where_no_filter_has_twenty_nonzeros_the_fuller_ones_are_taken() -> None:
    for nonzeros, least, chosen in (
        ([3, 19, 0, 9], 9, [1, 3]),
        ([9, 9, 8], 4, [0, 1, 2]),
        ([1, 0], 1, [0]),
        ([20, 19], 20, [0]),
    ):
        sample = sample_filters(sparse_checkpoint(nonzeros), min_nonzeros=None)
        assert sample.min_nonzeros == least
        assert sorted(sample.indices.tolist()) == chosen


def test_weights_that_are_not_finite_are_refused() -> None:
    checkpoint = sparse_checkpoint([30, 30])
    checkpoint.state["fc1.weight"][1, 0] = float("nan")
    with pytest.raises(ValueError, match="weights of fc1 must be finite"):
        sample_filters(checkpoint)


def test_half_precision_and_networks_without_a_data_record() -> None:
    from dataclasses import replace

    for dtype in (torch.bfloat16, torch.float16, torch.float64):
        checkpoint = replace(sparse_checkpoint([30, 40]), data=None)
        state = {name: tensor.to(dtype) for name, tensor in checkpoint.state.items()}
        sample = sample_filters(replace(checkpoint, state=state))
        assert sample.images.dtype == np.float64
        assert sorted(sample.nonzeros.tolist()) == [30, 40]
