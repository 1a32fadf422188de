"""The first layer of an external network, by shapes of published networks and by hand."""

import numpy as np
import pytest
import torch

from analysis.filters.external import choose_first_layer
from analysis.filters.filters import filter_place, kernel_window, lay_filters, sample_layer
from training.errors import ConfigError

RESNET = {
    "conv1.weight": (64, 3, 7, 7),
    "layer1.0.conv1.weight": (64, 64, 3, 3),
    "fc.weight": (10, 512),
}
MOBILE = {
    "b.dw.weight": (32, 1, 3, 3),
    "stem.weight": (32, 3, 3, 3),
}  # in the order of the alphabet
VIT = {
    "cls_token": (1, 1, 192),
    "pos_embed": (1, 197, 192),
    "patch_embed.proj.weight": (192, 3, 16, 16),
    "blocks.0.attn.qkv.weight": (576, 192),
}
MLP = {"fc1.weight": (300, 784), "fc2.weight": (10, 300)}
COLOUR = {"fc1.weight": (100, 3072), "fc2.weight": (10, 100)}
LOCAL = {"conv1.weight": (64, 5, 27), "conv1.bias": (5,), "fc1.weight": (10, 300)}
TEXT = {"tok_embeddings.weight": (1000, 768), "head.weight": (5, 50)}


@pytest.mark.parametrize(
    ("shapes", "options", "found"),
    [
        (RESNET, {}, ("conv1.weight", "conv", 3, 7)),
        (RESNET, {"image_size": 32}, ("conv1.weight", "conv", 3, 32)),
        (MOBILE, {}, ("stem.weight", "conv", 3, 3)),
        (MOBILE, {"channels": 1}, ("b.dw.weight", "conv", 1, 3)),
        (VIT, {}, ("patch_embed.proj.weight", "conv", 3, 16)),
        (MLP, {}, ("fc1.weight", "dense", 1, 28)),
        (COLOUR, {}, ("fc1.weight", "dense", 3, 32)),
        ({"w": (5, 1024)}, {}, ("w", "dense", 1, 32)),
        ({"w": (5, 1024)}, {"channels": 4}, ("w", "dense", 4, 16)),
        ({"w": (5, 50), "v": (5, 27)}, {"channels": 2, "image_size": 5}, ("w", "dense", 2, 5)),
        (LOCAL, {"image_size": 16}, ("conv1.weight", "local", 3, 16)),
        (RESNET, {"layer": "conv1"}, ("conv1.weight", "conv", 3, 7)),
        (
            {"a.weight": (9, 3, 3, 3), "b.weight": (4, 12)},
            {"layer": "b.weight"},
            ("b.weight", "dense", 3, 2),
        ),
    ],
)
def test_the_layer_that_sees_the_image(shapes: dict, options: dict, found: tuple) -> None:
    layer = choose_first_layer(shapes, **options)
    assert (layer.name, layer.kind, layer.in_channels, layer.in_size) == found
    if layer.kind == "dense":
        assert layer.weight_shape == shapes[layer.name]


@pytest.mark.parametrize(
    ("shapes", "options", "words"),
    [
        (TEXT, {}, "no weight has a shape that sees an image"),
        (
            RESNET,
            {"layer": "fc"},
            r"layer: 'fc.weight' has shape 10x512, which is no layer on images",
        ),
        (RESNET, {"layer": "conv9"}, "layer 'conv9' is no weight of it; it has 'conv1.weight', "),
        (RESNET, {"image_size": 5}, "no weight has a shape"),
        (LOCAL, {}, "give image_size and channels"),
        (LOCAL, {"image_size": 9}, "no weight has a shape"),
        ({"a": (9, 785), "b": (9, 784)}, {}, "no weight has a shape"),
        ({}, {}, "no weight has a shape"),
    ],
)
def test_what_sees_no_image_is_refused(shapes: dict, options: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        choose_first_layer(shapes, **options)


@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("image_size", [None, 9])
def test_kernels_are_laid_whole(kernel: int, image_size: int | None) -> None:
    weight = torch.randn(6, 2, kernel, kernel) + 3
    layer = choose_first_layer({"w": tuple(weight.shape)}, image_size=image_size)
    laid = lay_filters(layer, weight, np.arange(6))
    side = image_size or kernel
    assert laid.shape == (6, 2, side, side)
    rows, columns = kernel_window(layer)
    assert torch.equal(laid[:, :, rows, columns], weight)
    assert torch.count_nonzero(laid) == weight.numel()
    assert filter_place(layer, 4)[0] == 4
    sample = sample_layer(layer, weight, seed=1)
    assert sample.num_filters == 6
    assert np.array_equal(sample.images, laid[sample.indices].double().numpy())
