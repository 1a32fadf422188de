"""Formulas against counts on the layer tables, and the paper's slips, each marked and no other."""

from fractions import Fraction
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.scaling.formulas import (
    PRINTED_LAYERS,
    PRINTED_TOTALS,
    exact_layers,
    exact_total,
    substitute,
    to_latex,
    to_unicode,
)
from analysis.scaling.growth import (
    base_channels_for_budget,
    curves_by_side,
    curves_by_width,
    describe_blocks,
    max_weights,
    spec_of_width,
)
from analysis.scaling.report import build_report
from analysis.scaling.scaling import (
    SLIP_REASONS,
    Slip,
    compare,
    compare_published,
    num_padding_weights,
    published_spec,
)
from tests.examples import examples
from training.spec.architectures import NETWORKS, LayerSpec, NetworkSpec

SIX = ("d-conv", "d-local", "d-fc", "s-conv", "s-local", "s-fc")
EXAMPLES = examples(0.2)
IMAGE = {"image_size": 32, "num_classes": 10}


def spec_of(name, width, size, *, classes=10, channels=3):
    return spec_of_width(name, width, image_size=size, num_classes=classes, in_channels=channels)


@EXAMPLES
@given(
    name=st.sampled_from(NETWORKS),
    width=st.integers(1, 300),
    size=st.integers(1, 6).map(lambda n: 16 * n),
    classes=st.integers(2, 100),
    channels=st.integers(1, 4),
)
def test_formulas_where_strides_divide(name, width, size, classes, channels):
    spec = spec_of(name, width, size, classes=classes, channels=channels)
    numbers = {"image_size": size, "num_classes": classes, "width": width}
    layers = exact_layers(name, in_channels=channels)
    counted = {layer.name: layer.num_weights for layer in spec.layers}
    assert {key: substitute(formula, **numbers) for key, formula in layers.items()} == counted
    total = exact_total(name, in_channels=channels)
    assert substitute(total, **numbers) == spec.num_weights


@EXAMPLES
@given(
    name=st.sampled_from(NETWORKS),
    width=st.integers(1, 50),
    size=st.integers(2, 70),
    channels=st.integers(1, 3),
)
def test_formulas_with_ceilings_at_any_side(name, width, size, channels):
    spec = spec_of(name, width, size, channels=channels)
    total = exact_total(name, in_channels=channels, image_size=size)
    assert substitute(total, image_size=size, num_classes=10, width=width) == spec.num_weights


@pytest.mark.parametrize("kernel_size", [1, 5, 9])
def test_resnet_formula_with_other_kernels(kernel_size):
    spec = NetworkSpec(name="resnet18", base_channels=7, kernel_size=kernel_size, **IMAGE)
    total = exact_total("resnet18", kernel_size=kernel_size)
    assert substitute(total, width=7, **IMAGE) == spec.num_weights


def brute_force_weights(layer: LayerSpec) -> int:
    """Count the weights of a layer as distinct keys of its connections, padding included."""
    keys = set()
    outputs = product(range(layer.out_channels), range(layer.out_size), range(layer.out_size))
    for channel, row, column in outputs:
        if layer.kind == "dense":
            inputs = product(range(layer.in_channels), range(layer.in_size), range(layer.in_size))
            keys |= {(channel, row, column, *unit) for unit in inputs}
            continue
        place = (row, column) if layer.kind == "local" else ()
        taps = product(range(layer.in_channels), range(layer.kernel), range(layer.kernel))
        keys |= {(channel, *place, *tap) for tap in taps}
    return len(keys)


@pytest.mark.parametrize("name", SIX)
@pytest.mark.parametrize("size", [8, 7])
def test_formulas_against_brute_force(name, size):
    spec = spec_of(name, 1, size, channels=2)
    formulas = exact_layers(name, in_channels=2, image_size=size)
    for layer in spec.layers[:4]:
        formula = substitute(formulas[layer.name], image_size=size, num_classes=10, width=1)
        assert formula == brute_force_weights(layer), layer.name


def brute_force_padding(layer: LayerSpec) -> int:
    """Weights none of whose connections reaches a pixel."""
    acting, every = set(), set()
    for row, column in product(range(layer.out_size), repeat=2):
        for down, right in product(range(layer.kernel), repeat=2):
            key = (row, column, down, right) if layer.kind == "local" else (down, right)
            every.add(key)
            y = row * layer.stride + down - layer.padding
            x = column * layer.stride + right - layer.padding
            if 0 <= y < layer.in_size and 0 <= x < layer.in_size:
                acting.add(key)
    return (len(every) - len(acting)) * layer.in_channels * layer.out_channels


@pytest.mark.parametrize("name", ["d-conv", "d-local", "s-conv", "s-local"])
@pytest.mark.parametrize("size", [1, 3, 8, 28])
def test_padding_weights_against_brute_force(name, size):
    for layer in spec_of(name, 1, size).layers:
        if layer.group == "conv":
            assert num_padding_weights(layer) == brute_force_padding(layer), layer.name
        else:
            assert num_padding_weights(layer) == 0


def test_padding_shares_of_the_local_networks():
    shares = {}
    for name in ("s-local", "d-local"):
        network = compare(published_spec(name))
        shares[name] = round(network.num_padding / network.num_convolutional, 2)
    assert shares == {"s-local": 0.13, "d-local": 0.16}


EXACT_TOTALS = {
    "d-conv": 1_445_955,
    "d-local": 11_713_920,
    "d-fc": 282_203_520,
    "s-conv": 138_312_450,
    "s-local": 147_607_200,
    "s-fc": 256_240_800,
}
# By hand at s = 32, c = 10, α = 15 or 150: what the paper's totals give, exact or not.
PRINTED_NUMBERS = {
    "d-conv": 1_450_005,
    "d-local": 3_419_520,
    "d-fc": 284_046_720,
    "s-conv": 138_312_450,
    "s-local": 147_607_200,
    "s-fc": 256_240_800,
}


@pytest.mark.parametrize("name", SIX)
def test_totals_are_the_published_numbers(name):
    total = compare(published_spec(name)).total
    assert total.num_exact == EXACT_TOTALS[name]
    assert total.num_printed == PRINTED_NUMBERS[name]


def test_printed_layers_of_d_local():
    rows = compare(published_spec("d-local")).layers
    halving = [1_036_800 // 2**i for i in range(7)]  # 9 s²α²/2, then half of it and half again
    assert [row.num_printed for row in rows] == [414_720, *halving, 921_600, 9_600]
    alternating = [1_036_800, 2_073_600] * 3 + [1_036_800]
    assert [row.num_exact for row in rows] == [414_720, *alternating, 921_600, 9_600]


def marks(spec):
    network = compare(spec)
    rows = {row.layer: set(row.slips) for row in (*network.layers, network.total) if row.slips}
    return {layer: {slip.name for slip in slips} for layer, slips in rows.items()}


def test_slips_at_the_papers_own_sizes():
    found = {name: marks(published_spec(name)) for name in (*SIX, "3-fc")}
    assert found == {
        "d-conv": {"total": {"SMALL_TERMS"}},
        "d-local": {f"conv{index}": {"ERRATUM"} for index in range(3, 9)}
        | {"total": {"ERRATUM", "SMALL_TERMS"}},
        "d-fc": {"total": {"SMALL_TERMS"}},
        "s-conv": {},
        "s-local": {},
        "s-fc": {},
        "3-fc": {},
    }


def test_slips_of_one_channel_and_an_odd_side():
    assert marks(spec_of("s-local", 4, 32, channels=1)) == {
        "conv1": {"CHANNELS"},
        "total": {"CHANNELS"},
    }
    assert marks(spec_of("s-conv", 4, 27)) == {"fc1": {"STRIDES"}, "total": {"STRIDES"}}
    assert marks(spec_of("d-conv", 4, 28)) == {
        "fc1": {"STRIDES"},
        "total": {"SMALL_TERMS", "STRIDES"},
    }
    assert marks(spec_of("d-fc", 4, 28)).keys() == {"conv6", "conv7", "conv8", "fc1", "total"}
    assert marks(spec_of("s-fc", 4, 28)) == {}


@EXAMPLES
@given(
    name=st.sampled_from(SIX),
    width=st.integers(1, 40),
    size=st.integers(1, 70),
    channels=st.integers(1, 4),
)
def test_a_layer_is_marked_exactly_where_its_numbers_differ(name, width, size, channels):
    for row in compare(spec_of(name, width, size, channels=channels)).layers:
        has_erratum = Slip.ERRATUM in row.slips
        # Two slips may cancel in a number; an erratum in a formula stays one.
        assert bool(row.slips) == (row.num_printed != row.num_exact) or has_erratum


def test_printed_formulas_print_as_in_the_paper():
    as_text = {name: [to_unicode(e) for e in PRINTED_LAYERS[name].values()] for name in SIX}
    assert as_text["d-conv"][:4] == ["9·3α", "9·2α²", "9·2²α²", "9·2³α²"]
    assert as_text["d-local"][-3:] == ["9s²α²/128", "4s²α²", "64cα"]
    assert as_text["s-fc"] == ["3s⁴α/4", "6s²α²", "24cα"]
    assert to_unicode(PRINTED_TOTALS["d-conv"]) == "(9·2⁸ + 4s²)α² + (27 + 64c)α"
    assert to_unicode(exact_total("d-conv")) == "(2286 + 4s²)α² + (27 + 64c)α"
    assert to_unicode(exact_total("d-local")) == "49s²α² + (27s² + 64c)α"
    assert to_unicode(exact_total("d-fc")) == "(127s⁴/128 + 4s²)α² + (3s⁴ + 64c)α"
    assert to_unicode(exact_total("3-fc")) == "h² + (3s² + c)h"
    deep = exact_layers("d-fc", image_size=28)
    assert to_unicode(deep["conv8"]) == "128⌈s/8⌉²⌈s/16⌉²α²"
    assert to_latex(deep["conv6"]) == r"2 s^{2} \lceil s/8 \rceil^{2} \alpha^{2}"
    assert to_latex(PRINTED_LAYERS["d-conv"]["conv4"]) == r"9 \cdot 2^{3} \alpha^{2}"


def test_table_1_marks():
    found = {(row.network, row.column): row.slip for row in compare_published() if row.slip}
    assert found == {
        ("d-conv", "fc-emb."): Slip.WIDTH,
        ("d-local", "orig."): Slip.ERRATUM,
        ("d-local", "fc-emb."): Slip.WIDTH,
        ("d-fc", "orig."): Slip.WIDTH,
        ("d-fc", "fc-emb."): Slip.WIDTH,
    }
    assert len(compare_published()) == 14
    assert set(SLIP_REASONS) == set(Slip)


@EXAMPLES
@given(
    name=st.sampled_from(NETWORKS),
    budget=st.integers(1, 10**12),
    size=st.integers(1, 64),
    channels=st.integers(1, 4),
)
def test_budget_is_the_inverse_of_the_count(name, budget, size, channels):
    image = {"image_size": size, "num_classes": 10, "in_channels": channels}
    found = base_channels_for_budget(name, budget, **image)
    above = spec_of_width(name, found.width + 1, **image).num_weights
    assert found.num_weights <= budget < above
    if found.width:
        assert found.num_weights == spec_of_width(name, found.width, **image).num_weights
    assert found.width <= found.root * (1 + 1e-9)
    assert found.root <= (found.width + 1) * (1 + 1e-9)


def test_widths_of_256_million_weights():
    widths = {name: base_channels_for_budget(name, 256e6, **IMAGE) for name in NETWORKS}
    assert widths["3-fc"].width == 14_533
    assert round(widths["d-fc"].root, 1) == 14.2
    assert round(widths["s-fc"].root) == 150


@pytest.mark.parametrize("budget", [0, -1.0, float("nan"), float("inf")])
def test_bad_budget(budget):
    with pytest.raises(ValueError, match="budget must be a finite number of weights >= 1"):
        base_channels_for_budget("s-fc", budget, **IMAGE)


def test_memory_limit():
    assert max_weights() == 2**31
    assert max_weights(32, 12) == 32 * 2**30 // 12
    with pytest.raises(ValueError, match="bytes_per_weight must be a finite number > 0, not 0"):
        max_weights(16, 0)


def test_report_says_what_fits_and_how_wide():
    report = build_report(
        **IMAGE, in_channels=3, base_channels=None, budget=256e6, memory_gib=1, bytes_per_weight=8
    )
    fits = {fit.network: fit for fit in report.memory_fits}
    assert report.max_weights == 2**27
    assert {name for name in SIX if fits[name].fits} == {"d-conv", "d-local"}
    for fit in fits.values():
        wider = spec_of_width(fit.network, fit.max_width + 1, **IMAGE)
        assert wider.num_weights > report.max_weights
    json = report.as_json()
    assert json["networks"]["d-local"]["total"]["num_exact"] == 11_713_920
    assert json["networks"]["3-fc"]["width"] == 14_533


def test_fractions_stay_exact():
    network = compare(spec_of("d-local", 15, 28))
    assert network.layers[7].num_printed == Fraction(9 * 28**2 * 15**2, 128)


def test_curves_count_the_networks_they_name():
    by_width = {curve.network: curve for curve in curves_by_width([1, 15], **IMAGE)}
    assert by_width["d-local"].num_weights[1] == EXACT_TOTALS["d-local"]
    assert by_width["d-local"].as_printed == pytest.approx((41_600, 3_419_520))
    assert by_width["d-fc"].as_printed is None
    by_side = {curve.network: curve for curve in curves_by_side([28, 32], num_classes=10)}
    assert {name: curve.num_weights[1] for name, curve in by_side.items()} == EXACT_TOTALS


def test_blocks_are_the_papers_layers():
    labels = [block.label for block in describe_blocks("d-conv", **IMAGE)]
    assert labels == [
        "image",
        "conv 3×3 (α, 1)",
        "conv 3×3 (2α, 2)",
        "conv 3×3 (2α, 1)",
        "conv 3×3 (4α, 2)",
        "conv 3×3 (4α, 1)",
        "conv 3×3 (8α, 2)",
        "conv 3×3 (8α, 1)",
        "conv 3×3 (16α, 2)",
        "fc (64α)",
        "fc (c)",
    ]
    sides = [block.side for block in describe_blocks("d-conv", image_size=28, num_classes=10)]
    assert sides == [28, 28, 14, 14, 7, 7, 4, 4, 2, 1, 1]


def test_no_layer_has_a_negative_number_of_padding_weights() -> None:
    for name in NETWORKS:
        width = {"hidden_units": 8} if name == "3-fc" else {"base_channels": 2}
        spec = NetworkSpec(name=name, image_size=32, num_classes=10, **width)
        for layer in spec.layers:
            assert 0 <= num_padding_weights(layer) < layer.num_weights
