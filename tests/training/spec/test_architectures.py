"""The tables of layers against closed forms written out here, and against published totals."""

from itertools import pairwise
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.examples import examples
from training.spec.architectures import NETWORKS, LayerSpec, NetworkSpec


def d_head(s, alpha, c):
    return 64 * alpha * 16 * alpha * ceil(s / 16) ** 2 + 64 * alpha * c


def d_conv(s, alpha, c, channels):
    return (
        9 * channels * alpha + 9 * (2 + 4 + 8 + 16 + 32 + 64 + 128) * alpha**2 + d_head(s, alpha, c)
    )


def d_local(s, alpha, c, channels):
    half, quarter, eighth, sixteenth = (ceil(s / stride) ** 2 for stride in (2, 4, 8, 16))
    squares = (2 + 4) * half + (8 + 16) * quarter + (32 + 64) * eighth + 128 * sixteenth
    return 9 * channels * alpha * s**2 + 9 * alpha**2 * squares + d_head(s, alpha, c)


def d_fc(s, alpha, c, channels):
    half, quarter, eighth, sixteenth = (ceil(s / stride) ** 2 for stride in (2, 4, 8, 16))
    units = [
        channels * s**2,
        alpha * s**2,
        2 * alpha * half,
        2 * alpha * half,
        4 * alpha * quarter,
        4 * alpha * quarter,
        8 * alpha * eighth,
        8 * alpha * eighth,
        16 * alpha * sixteenth,
    ]
    dense = sum(before * after for before, after in pairwise(units))
    return dense + d_head(s, alpha, c)


def s_head(s, alpha, c):
    return 24 * alpha * alpha * ceil(s / 2) ** 2 + 24 * alpha * c


def s_conv(s, alpha, c, channels):
    return 81 * channels * alpha + s_head(s, alpha, c)


def s_local(s, alpha, c, channels):
    return 81 * channels * alpha * ceil(s / 2) ** 2 + s_head(s, alpha, c)


def s_fc(s, alpha, c, channels):
    return channels * s**2 * alpha * ceil(s / 2) ** 2 + s_head(s, alpha, c)


CLOSED_FORMS = {
    "d-conv": d_conv,
    "d-local": d_local,
    "d-fc": d_fc,
    "s-conv": s_conv,
    "s-local": s_local,
    "s-fc": s_fc,
}


@pytest.mark.parametrize("name", CLOSED_FORMS)
@given(
    s=st.integers(1, 70),
    alpha=st.integers(1, 40),
    c=st.integers(2, 120),
    channels=st.integers(1, 4),
)
def test_weight_counts_equal_the_closed_forms(name, s, alpha, c, channels):
    spec = NetworkSpec(
        name=name, image_size=s, num_classes=c, base_channels=alpha, in_channels=channels
    )
    assert spec.num_weights == CLOSED_FORMS[name](s, alpha, c, channels)


@pytest.mark.parametrize(
    ("name", "alpha", "total"),
    [
        ("d-conv", 15, 1_445_955),
        ("d-local", 15, 11_713_920),
        ("d-fc", 15, 282_203_520),
        ("s-conv", 150, 138_312_450),
        ("s-local", 150, 147_607_200),
        ("s-fc", 150, 256_240_800),
    ],
)
def test_totals_at_32_pixels_and_ten_classes(name, alpha, total):
    spec = NetworkSpec(name=name, image_size=32, num_classes=10, base_channels=alpha)
    assert spec.num_weights == total


def test_3_fc_reaches_256_million_weights_at_the_known_width():
    def count(hidden):
        return NetworkSpec(
            name="3-fc", image_size=32, num_classes=10, hidden_units=hidden
        ).num_weights

    assert count(100) == 3072 * 100 + 100 * 100 + 100 * 10
    assert count(14_533) < 256_000_000 < count(14_534)


@pytest.mark.parametrize(("s", "alpha", "c"), [(32, 15, 10), (64, 3, 100), (16, 1, 2)])
def test_printed_table_columns_where_strides_divide_the_side(s, alpha, c):
    def column(name):
        spec = NetworkSpec(name=name, image_size=s, num_classes=c, base_channels=alpha)
        return [layer.num_weights for layer in spec.layers]

    head = [4 * s**2 * alpha**2, 64 * c * alpha]
    assert column("d-conv") == [27 * alpha] + [9 * 2**i * alpha**2 for i in range(1, 8)] + head
    assert column("d-fc") == (
        [3 * s**4 * alpha] + [s**4 * alpha**2 // 2**i for i in range(1, 8)] + head
    )
    # d-local: not the printed column, which halves at every layer (the paper's slip).
    wide, narrow = 9 * s**2 * alpha**2, 9 * s**2 * alpha**2 // 2
    assert column("d-local") == (
        [27 * s**2 * alpha, narrow, wide, narrow, wide, narrow, wide, narrow, *head]
    )
    s_tail = [6 * s**2 * alpha**2, 24 * c * alpha]
    assert column("s-conv") == [243 * alpha, *s_tail]
    assert column("s-local") == [243 * s**2 * alpha // 4, *s_tail]
    assert column("s-fc") == [3 * s**4 * alpha // 4, *s_tail]


def test_28_pixels_and_one_channel_by_hand():
    """Sides 28, 14, 14, 7, 7, 4, 4, 2 for d-; the printed formulas would use 3.5 and 1.75."""

    def layers(name):
        return NetworkSpec(
            name=name, image_size=28, num_classes=10, base_channels=2, in_channels=1
        ).layers

    assert [layer.out_size for layer in layers("d-conv")] == [28, 14, 14, 7, 7, 4, 4, 2, 1, 1]
    assert [layer.num_weights for layer in layers("d-local")] == [
        784 * 2 * 9,
        196 * 4 * 18,
        196 * 4 * 36,
        49 * 8 * 36,
        49 * 8 * 72,
        16 * 16 * 72,
        16 * 16 * 144,
        4 * 32 * 144,
        128 * 128,
        128 * 10,
    ]
    assert [layer.num_weights for layer in layers("d-fc")] == [
        784 * 1568,
        1568 * 784,
        784 * 784,
        784 * 392,
        392 * 392,
        392 * 256,
        256 * 256,
        256 * 128,
        128 * 128,
        128 * 10,
    ]
    assert [layer.num_weights for layer in layers("s-local")] == [196 * 2 * 81, 392 * 48, 480]
    assert [layer.num_weights for layer in layers("s-fc")] == [784 * 392, 392 * 48, 480]


@examples(0.5)
@given(
    size=st.integers(1, 9),
    channels=st.integers(1, 3),
    units=st.integers(1, 3),
    kernel=st.sampled_from([1, 3, 5, 9]),
    stride=st.integers(1, 3),
)
def test_local_layer_has_a_weight_for_every_connection(size, channels, units, kernel, stride):
    """Counts (output unit, input unit or padding) pairs one by one."""
    layer = LayerSpec(
        name="conv1",
        kind="local",
        group="conv",
        in_channels=channels,
        in_size=size,
        out_channels=units,
        out_size=ceil(size / stride),
        kernel=kernel,
        stride=stride,
    )
    reach = kernel // 2
    connections = {
        (unit, row, column, channel, i, j)
        for unit in range(units)
        for row in range(0, size, stride)
        for column in range(0, size, stride)
        for channel in range(channels)
        for i in range(row - reach, row + reach + 1)
        for j in range(column - reach, column + reach + 1)
    }
    assert layer.num_weights == len(connections)
    assert layer.padding == reach


def test_resnet18_weights_follow_from_the_published_count():
    """ResNet18 has 11,689,512 parameters with a 7x7 stem and 1000 classes (the known count).

    Of these 3·64·49 are the stem and 512·1000 + 1000 the last layer. BatchNorm has two values for
    each of 64 + 4·64 + 5·(128 + 256 + 512) = 4800 channels. Here the stem is 3x3 and c = 10.
    """
    body = 11_689_512 - 3 * 64 * 49 - (512 * 1000 + 1000) - 2 * 4800
    spec = NetworkSpec(name="resnet18", image_size=32, num_classes=10, base_channels=64)
    assert spec.num_weights == body + 3 * 64 * 9 + 512 * 10
    assert sum(layer.num_norm_features for layer in spec.layers) == 4800
    assert len(spec.layers) == 1 + 16 + 3 + 1


@pytest.mark.parametrize("kernel", [1, 3, 5, 7])
def test_resnet18_kernel_size_spares_the_shortcuts(kernel):
    spec = NetworkSpec(
        name="resnet18", image_size=32, num_classes=10, base_channels=1, kernel_size=kernel
    )
    shortcuts = [layer for layer in spec.layers if layer.name.endswith("shortcut")]
    assert [layer.num_weights for layer in shortcuts] == [2, 8, 32]
    others = [layer for layer in spec.layers[:-1] if layer not in shortcuts]
    assert {layer.kernel for layer in others} == {kernel}
    assert [layer.out_size for layer in spec.layers][-2] == 4


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"name": "s-cnn"}, "network must be one of"),
        ({"image_size": 0}, "image_size"),
        ({"image_size": 32.0}, "image_size"),
        ({"num_classes": 1}, "num_classes"),
        ({"in_channels": 0}, "in_channels"),
        ({"base_channels": 0}, "base_channels"),
        ({"base_channels": None}, "s-fc needs base_channels"),
        ({"base_channels": True}, "base_channels"),
        ({"hidden_units": 5}, "s-fc takes no hidden_units"),
        ({"kernel_size": 3}, "s-fc takes no kernel_size"),
        ({"name": "3-fc"}, "3-fc needs hidden_units"),
        ({"name": "3-fc", "hidden_units": 4}, "3-fc takes no base_channels"),
        ({"name": "resnet18", "kernel_size": 4}, "kernel_size must be odd"),
        ({"name": "resnet18", "kernel_size": -1}, "kernel_size"),
    ],
)
def test_specs_that_cannot_work_are_refused_with_the_reason(values, word):
    good = {"name": "s-fc", "image_size": 32, "num_classes": 10, "base_channels": 2}
    with pytest.raises(ValueError, match=word):
        NetworkSpec(**(good | values))


@pytest.mark.parametrize("name", NETWORKS)
def test_twins_and_families(name):
    width = {"hidden_units": 3} if name == "3-fc" else {"base_channels": 3}
    spec = NetworkSpec(name=name, image_size=9, num_classes=4, **width)
    if name in ("3-fc", "resnet18", "tiny-conv", "tiny-separable"):
        assert spec.family is None
        with pytest.raises(ValueError, match="no conv, local and fc twins"):
            spec.twin("fc")
        return
    assert spec.family == name[0]
    assert spec.twin("local").name == f"{name[0]}-local"
    assert spec.twin(name.split("-")[1]) == spec
    with pytest.raises(ValueError, match="kind must be one of"):
        spec.twin("dense")
    conv, local, dense = (spec.twin(kind).layers for kind in ("conv", "local", "fc"))
    for layers in zip(conv, local, dense, strict=True):
        assert len({(layer.in_features, layer.out_features) for layer in layers}) == 1
        assert len({(layer.name, layer.group) for layer in layers}) == 1
