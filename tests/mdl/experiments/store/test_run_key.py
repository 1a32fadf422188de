from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdl.experiments.store.run_key import run_key
from training.spec.config import Augmentation, DataConfig, TrainConfig

BASE = TrainConfig(
    network="s-fc",
    base_channels=8,
    data=DataConfig(source="cifar10", num_train=512),
    l1_conv=1e-4,
    epochs=3,
)
CHANGES: dict[str, object] = {
    "network": "s-conv",
    "base_channels": 9,
    "lr": 0.2,
    "l1_conv": 2e-4,
    "l1_fc": 1e-5,
    "beta": 1.0,
    "dropout": 0.5,
    "epochs": 4,
    "batch_size": 128,
    "precision": "fp32",
    "seed": 1,
    "data": replace(BASE.data, validation=10),
    "augmentation": Augmentation(flip=True),
}
# These belong to other networks or methods, and have tests of their own.
ELSEWHERE = {"hidden_units", "kernel_size", "method", "momentum", "weight_decay", "recipe"}


def test_the_key_of_a_configuration_stays_what_it_is() -> None:
    """A store is found by keys: a change to them makes every run that was kept unknown."""
    assert run_key(BASE) == "586395384a7ad49a"


def test_every_setting_is_looked_at() -> None:
    assert {field.name for field in fields(TrainConfig)} == set(CHANGES) | ELSEWHERE


@pytest.mark.parametrize("name", CHANGES)
def test_every_setting_changes_the_key(name: str) -> None:
    assert run_key(replace(BASE, **{name: CHANGES[name]})) != run_key(BASE)  # type: ignore[arg-type]


def test_a_folder_called_glyphs_is_not_the_generator() -> None:
    generated, folder, same_folder = (
        replace(BASE, data=DataConfig(source=source))
        for source in ("glyphs", "./glyphs", "elsewhere/glyphs")
    )
    assert run_key(generated) != run_key(folder) == run_key(same_folder)


def test_settings_of_other_networks_and_methods_change_the_key() -> None:
    sgd = replace(BASE, method="sgd", l1_conv=0.0)
    resnet = replace(sgd, network="resnet18", kernel_size=3)
    keys = [
        run_key(config)
        for config in (
            sgd,
            replace(sgd, momentum=0.9),
            replace(sgd, weight_decay=5e-4),
            resnet,
            replace(resnet, kernel_size=5),
            replace(sgd, network="3-fc", base_channels=None, hidden_units=8),
            replace(sgd, network="3-fc", base_channels=None, hidden_units=9),
        )
    ]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("change", ["num_test", "permute_pixels", "image_size", "seed"])
def test_every_setting_of_the_images_changes_the_key(change: str) -> None:
    other = replace(BASE, data=replace(BASE.data, **{change: 7}))
    assert run_key(other) != run_key(BASE)


def test_the_name_of_the_recipe_does_not_count() -> None:
    assert run_key(replace(BASE, recipe="paper-400")) == run_key(BASE)


@given(st.lists(st.from_regex(r"[a-z]{1,8}", fullmatch=True), max_size=4), st.booleans())
def test_only_the_last_part_of_a_path_counts(folders: list[str], is_absolute: bool) -> None:
    source = "/" * is_absolute + "/".join([*folders, "cifar10"])
    assert run_key(replace(BASE, data=replace(BASE.data, source=source))) == run_key(BASE)


def test_a_configuration_that_was_written_and_read_has_the_same_key() -> None:
    assert run_key(TrainConfig.from_dict(BASE.to_dict())) == run_key(BASE)
