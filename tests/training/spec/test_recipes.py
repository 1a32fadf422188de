import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.spec.architectures import NETWORKS
from training.spec.built_in_policies import BUILT_IN_POLICIES
from training.spec.config import Augmentation, DataConfig, TrainConfig
from training.spec.recipes import (
    NO_POLICY,
    RECIPES,
    default_policy,
    may_flip,
    missing_parts,
    recipe_config,
)

TABLE = ((("Rotate", 0.5, 0.25), ("Invert", 0.5, 0.0)), (("Color", 1.0, 1.0),))


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("network", NETWORKS)
def test_every_recipe_fills_every_network(recipe: str, network: str) -> None:
    config = recipe_config(recipe, network)
    spec = config.network_spec(image_size=32, num_classes=10, in_channels=3)
    assert spec.name == network
    assert config.method == ("beta-lasso" if network.endswith("-fc") else "sgd")
    assert TrainConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_paper_recipes_hold_the_papers_settings() -> None:
    for epochs in (400, 4000):
        config = recipe_config(f"paper-{epochs}", "s-fc", data=DataConfig(source="cifar10"))
        assert (config.epochs, config.lr, config.batch_size, config.beta) == (epochs, 0.1, 512, 50)
        assert config.momentum == 0
        assert config.augmentation.flip
        assert config.network_spec(
            image_size=32, num_classes=10, in_channels=3
        ).num_weights == pytest.approx(256e6, rel=2e-3)
        assert config.augmentation.policy == "autoaugment-cifar10"


def test_settings_override_the_recipe() -> None:
    config = recipe_config("quick", "s-fc", method="sgd", momentum=0.5, epochs=3, crop=0, lr=None)
    assert (config.method, config.momentum, config.epochs) == ("sgd", 0.5, 3)
    assert (config.augmentation.crop, config.lr, config.l1_conv) == (0, 0.1, 0.0)


@pytest.mark.parametrize(
    "source", ["glyphs", "mnist", "ylecun/mnist", "svhn", "../x/mnist", "/svhn/"]
)
def test_digits_are_never_flipped_by_default(source: str) -> None:
    assert not may_flip(source)


@pytest.mark.parametrize("source", ["cifar10", "fashion_mnist", "../shared/data/cifar10", "leaves"])
def test_photographs_and_leaves_are_flipped(source: str) -> None:
    assert may_flip(source)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"lr": 0.0}, "lr must be > 0"),
        ({"lr": float("nan")}, "lr must be > 0"),
        ({"momentum": 0.9}, "momentum and weight_decay belong to sgd"),
        ({"method": "sgd", "l1_conv": 1e-5}, "belong to beta-lasso"),
        ({"method": "adam"}, "method must be one of"),
        ({"epochs": 0}, "epochs must be >= 1"),
        ({"batch_size": 1}, "batch_size must be >= 2"),
        ({"dropout": 1.0}, r"dropout must lie in \[0, 1\)"),
        ({"beta": -1.0}, "beta must be >= 0"),
        ({"precision": "int8"}, "precision must be one of"),
        ({"crop": -1}, "crop must be >= 0"),
        ({"hidden_units": 4}, "takes no hidden_units"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        recipe_config("quick", "s-fc", **settings).network_spec(
            image_size=8, num_classes=2, in_channels=3
        )


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ValueError, match="recipe must be one of quick"):
        recipe_config("slow", "s-fc")
    with pytest.raises(ValueError, match="network must be one of"):
        recipe_config("quick", "s-fcc")
    with pytest.raises(ValueError, match="not a training configuration"):
        TrainConfig.from_dict({"network": "s-fc"})
    with pytest.raises(ValueError, match="not a training configuration"):
        TrainConfig.from_dict(recipe_config("quick", "s-fc").to_dict() | {"speed": 9})


@given(
    st.builds(
        DataConfig,
        image_size=st.none() | st.integers(1, 99),
        validation=st.integers(0, 9),
        permute_pixels=st.none() | st.integers(0, 9),
        normalize=st.sampled_from(["fixed", "data"]),
    ),
    st.builds(
        Augmentation,
        flip=st.booleans(),
        crop=st.integers(0, 9),
        cutout=st.integers(0, 9),
        policy=st.none() | st.sampled_from(BUILT_IN_POLICIES),
    )
    | st.just(Augmentation(policy="table.json", policy_table=TABLE)),
)
def test_configurations_survive_json(data: DataConfig, augmentation: Augmentation) -> None:
    config = TrainConfig(network="s-fc", base_channels=2, data=data, augmentation=augmentation)
    assert TrainConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize(
    ("source", "policy"),
    [
        ("cifar10", "autoaugment-cifar10"),
        ("uoft-cs/cifar100", "autoaugment-cifar10"),
        ("../shared/data/cifar10", "autoaugment-cifar10"),
        ("ufldl-stanford/svhn", "autoaugment-svhn"),
        ("mnist", None),
        ("glyphs", None),
        ("leaves", None),
    ],
)
def test_paper_recipes_have_the_policy_of_their_data(source: str, policy: str | None) -> None:
    assert default_policy(source) == policy
    data = DataConfig(source=source)
    assert recipe_config("paper-400", "s-fc", data=data).augmentation.policy == policy
    assert recipe_config("quick", "s-fc", data=data).augmentation.policy is None
    other = recipe_config("paper-400", "s-fc", data=data, policy=NO_POLICY)
    assert other.augmentation.policy is None
    other = recipe_config("paper-400", "s-fc", data=data, policy="rand")
    assert other.augmentation.policy == "rand"
    assert other.augmentation.chosen_policy is not None
    assert other.augmentation.chosen_policy.name == "rand"


def test_what_a_recipe_lacks_depends_on_the_table() -> None:
    for recipe in RECIPES:
        built_in = recipe_config(recipe, "s-fc", data=DataConfig(source="cifar10"))
        assert "policy table that the paper used" in missing_parts(built_in)
        given = recipe_config(recipe, "s-fc", policy="table.json", policy_table=TABLE)
        assert "policy" not in missing_parts(given)
        assert given.augmentation.chosen_policy is given.augmentation.chosen_policy


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"policy": "auto"}, "policy must be one of trivial, rand"),
        ({"policy": "none"}, "policy must be one of trivial, rand"),
        ({"policy_table": TABLE}, "policy must name the file"),
        ({"policy": 3, "policy_table": TABLE}, "policy must name the file"),
        ({"policy": "t", "policy_table": ()}, "a policy table must be"),
        ({"policy": "t", "policy_table": [[["Spin", 1, 1]]]}, "name must be one of ShearX"),
    ],
)
def test_bad_policies_are_refused(settings: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Augmentation(**settings)  # type: ignore[arg-type]


def test_configurations_from_before_policies_still_load() -> None:
    values = recipe_config("quick", "s-fc").to_dict()
    del values["augmentation"]["policy"], values["augmentation"]["policy_table"]
    assert TrainConfig.from_dict(values).augmentation.policy is None
