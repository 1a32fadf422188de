import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdl.experiments.store.run_result import run_key
from training.errors import ConfigError
from training.networks.models import build_network
from training.optim.beta_lasso import beta_lasso_groups
from training.run.state import cosine_lr
from training.run.train import train
from training.spec.architectures import NETWORKS
from training.spec.config import DataConfig, TrainConfig
from training.spec.recipes import recipe_config
from training.spec.shrinkage import (
    count_steps,
    fill_penalties,
    initial_size,
    shrinkages,
    thresholds,
)

PAIRS = st.tuples(st.floats(0, 100), st.floats(0, 100))


def make_config(**settings: object) -> TrainConfig:
    return recipe_config("quick", "s-fc", **settings)


@given(pair=PAIRS, lr=st.floats(1e-3, 2), epochs=st.integers(1, 9), num_images=st.integers(2, 2000))
def test_a_weight_without_gradient_shrinks_by_so_many_times_its_size(
    pair: tuple[float, float], lr: float, epochs: int, num_images: int
) -> None:
    asked = make_config(shrinkage=pair, lr=lr, epochs=epochs, batch_size=64)
    spec = asked.network_spec(image_size=8, num_classes=10, in_channels=1)
    filled = fill_penalties(asked, spec, num_images)
    num_steps = epochs * (num_images // min(64, num_images))
    rates = math.fsum(cosine_lr(lr, step, num_steps) for step in range(num_steps))
    conv1, fc1, fc2 = spec.layers
    assert filled.l1_conv * rates == pytest.approx(pair[0] * initial_size([conv1]), rel=1e-9)
    assert filled.l1_fc * rates == pytest.approx(pair[1] * initial_size([fc1, fc2]), rel=1e-9)
    assert shrinkages(filled, spec, num_images) == pytest.approx(pair, rel=1e-9)
    assert fill_penalties(filled, spec, num_images) == filled
    expected = [50 * each / rates for each in pair]
    assert thresholds(filled, spec) == pytest.approx(expected, rel=1e-9)
    assert count_steps(asked, num_images) == num_steps


@given(pair=PAIRS, limit=st.floats(1e-3, 10), epochs=st.integers(1, 9))
def test_a_limit_of_the_threshold_holds_where_the_shrinkage_would_pass_it(
    pair: tuple[float, float], limit: float, epochs: int
) -> None:
    asked = make_config(shrinkage=pair, epochs=epochs)
    limited = replace(asked, max_threshold=limit)
    spec = asked.network_spec(image_size=8, num_classes=10, in_channels=1)
    free = thresholds(fill_penalties(asked, spec, 500), spec)
    held = thresholds(fill_penalties(limited, spec, 500), spec)
    assert held == pytest.approx([min(each, limit) for each in free], rel=1e-9)
    beta0 = replace(limited, beta=0)
    assert fill_penalties(beta0, spec, 500).l1_conv == fill_penalties(asked, spec, 500).l1_conv


def test_the_quick_recipe_shrinks_by_ten_but_not_faster_than_short_runs_bear() -> None:
    whole, short = (make_config(epochs=epochs) for epochs in (60, 1))
    spec = whole.network_spec(image_size=32, num_classes=10, in_channels=3)
    filled = fill_penalties(whole, spec, 200_000)
    assert shrinkages(filled, spec, 200_000) == pytest.approx((10, 10))
    assert thresholds(fill_penalties(short, spec, 20_000), spec) == pytest.approx((0.1, 0.1))
    assert make_config(shrinkage=3).max_threshold is None
    assert make_config(l1_conv=1e-5, l1_fc=1e-5).shrinkage is None


@pytest.mark.parametrize("network", NETWORKS)
def test_initial_sizes_are_those_of_built_networks(network: str) -> None:
    config = recipe_config("quick", network)
    spec = config.network_spec(image_size=32, num_classes=10, in_channels=3)
    groups = beta_lasso_groups(build_network(spec), l1_conv=0, l1_fc=0, beta=0)
    for group in groups:
        weights = [p.detach().flatten() for p in group["params"] if p.ndim > 1]
        layers = [layer for layer in spec.layers if layer.group == group["name"]]
        assert sum(map(len, weights)) == sum(layer.num_weights for layer in layers)
        if weights:
            number = sum(map(len, weights))
            size = math.sqrt(sum(float(w.double().square().sum()) for w in weights) / number)
            five_deviations = 5 * 0.45 / math.sqrt(number)  # of the rms of uniform numbers
            assert initial_size(layers) == pytest.approx(size, rel=five_deviations)
    assert initial_size([]) == 0


def test_a_run_is_trained_with_the_penalties_that_its_shrinkage_amounts_to() -> None:
    images = DataConfig(image_size=8, num_train=200, num_test=50, validation=40)
    small = {"base_channels": 1, "epochs": 2, "batch_size": 40, "precision": "fp32"}
    shrunk = train("s-fc", data=images, shrinkage=20, **small)
    config = TrainConfig.from_dict(shrunk.config)
    assert config.shrinkage == (20, 20)
    rates = math.fsum(cosine_lr(config.lr, step, 8) for step in range(8))
    assert config.l1_conv == pytest.approx(20 / math.sqrt(3 * 3 * 64) / rates)
    plain = train("s-fc", data=images, l1_conv=config.l1_conv, l1_fc=config.l1_fc, **small)
    assert all((plain.state[name] == each).all() for name, each in shrunk.state.items())


def test_a_key_tells_shrinkages_apart_and_not_the_penalties_that_follow_from_them() -> None:
    asked = make_config(shrinkage=10)
    spec = asked.network_spec(image_size=32, num_classes=10, in_channels=3)
    filled = fill_penalties(asked, spec, 20_000)
    assert filled != asked
    assert run_key(filled) == run_key(asked)
    assert run_key(asked) != run_key(make_config(shrinkage=(10, 5)))
    assert run_key(asked) != run_key(replace(asked, max_threshold=0.1))
    assert TrainConfig.from_dict(json.loads(json.dumps(filled.to_dict()))) == filled


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"shrinkage": (1, 2, 3)}, "shrinkage must be two numbers"),
        ({"shrinkage": "10"}, "shrinkage must be two numbers"),
        ({"shrinkage": -1}, "shrinkage must be >= 0"),
        ({"shrinkage": (math.nan, 1)}, "shrinkage must be >= 0"),
        ({"shrinkage": (1, math.inf)}, "shrinkage must be <= "),
        ({"shrinkage": 10, "l1_fc": 1e-5}, "shrinkage stands for l1_conv and l1_fc"),
        ({"l1_fc": 1e-5}, "l1_conv and l1_fc go together: recipe quick has shrinkage"),
        ({"l1_conv": 1e-5}, "l1_conv and l1_fc go together"),
        ({"shrinkage": 10, "max_threshold": 0.0}, "max_threshold must be > 0"),
        ({"l1_conv": 1e-5, "l1_fc": 0.0, "max_threshold": 0.1}, "goes with shrinkage"),
        ({"shrinkage": 10, "method": "sgd"}, "belong to beta-lasso"),
    ],
)
def test_shrinkages_that_do_not_fit_are_refused(settings: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        make_config(**settings)
