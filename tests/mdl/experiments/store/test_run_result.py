import json
import math
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.bounds.bounds import ErrorCount
from mdl.experiments.store.run_result import (
    RESULT_VERSION,
    Description,
    EpochPoint,
    FilterLocality,
    RunResult,
    pack_answers,
    run_key,
    unpack_answers,
)
from tests.mdl.experiments.answers import answers_with
from training.spec.config import Augmentation, DataConfig, TrainConfig

ROOT = Path(__file__).resolve().parents[4]
CONFIG = TrainConfig(
    network="s-fc", base_channels=1, data=DataConfig(validation=20), augmentation=Augmentation()
)
LOCALITY = FilterLocality(
    num_filters=40,
    radius=3.0,
    chance_radius=6.0,
    ratio=0.5,
    ratio_interval=(0.4, 0.6),
    local_share=0.9,
)
DESCRIPTION = Description(
    bits_per_number=16,
    num_bits=1200,
    code="context",
    lengths={"plain": 1600.0, "theorem-2": 1300.5},
    bound=0.8,
    delta=0.05,
)
TEST = ErrorCount(num_errors=30, num_samples=120)


def make_result(**changes: Any) -> RunResult:
    values: dict[str, Any] = {
        "key": run_key(CONFIG),
        "config": CONFIG,
        "data_name": "glyphs",
        "fingerprint": "00",
        "num_weights": {"conv1": 80, "fc1": 20},
        "num_nonzeros": {"conv1": 8, "fc1": 20},
        "train": ErrorCount(num_errors=3, num_samples=100),
        "validation": ErrorCount(num_errors=5, num_samples=20),
        "test": TEST,
        "test_answers": answers_with(TEST),
        "history": (
            EpochPoint(
                epoch=1,
                seconds=0.5,
                train_loss=2.0,
                train_accuracy=0.2,
                validation_accuracy=0.3,
                test_accuracy=None,
                num_nonzeros={"conv1": 9},
                screened={"conv1": 0.5},
            ),
        ),
        "seconds": 0.5,
        "description": DESCRIPTION,
        "locality": LOCALITY,
        "versions": {"torch": "2.8", "gpu": None},
    }
    return RunResult(**values | changes)


@given(st.lists(st.booleans(), min_size=1, max_size=40))
def test_answers_come_back_from_text(answers: list[bool]) -> None:
    text = pack_answers(np.array(answers))
    assert unpack_answers(text, len(answers)).tolist() == answers
    assert len(text) == 4 * math.ceil(math.ceil(len(answers) / 8) / 3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("?", "test_answers"),
        ("AAAA", "must hold 120 answers, not 24"),
        (answers_with(ErrorCount(num_errors=29, num_samples=120)), "has 29 errors"),
    ],
)
def test_answers_must_fit_the_count(text: str, message: str) -> None:
    values = make_result().to_dict() | {"test_answers": text}
    with pytest.raises(ValueError, match=message):
        RunResult.from_dict(values)


@pytest.mark.parametrize(
    "changes", [{}, {"validation": None}, {"description": None}, {"locality": None}]
)
def test_a_result_comes_back_from_json(changes: dict[str, Any]) -> None:
    result = make_result(**changes)
    text = json.dumps(result.to_dict(), allow_nan=False)
    assert RunResult.from_dict(json.loads(text)) == result


@given(st.integers(1, 10**6), st.data())
def test_error_and_accuracy_add_up(num_samples: int, data: st.DataObject) -> None:
    count = ErrorCount(num_errors=data.draw(st.integers(0, num_samples)), num_samples=num_samples)
    assert count.error == count.num_errors / num_samples
    assert count.error + count.accuracy == pytest.approx(1, abs=1e-15)


@pytest.mark.parametrize("version", [None, 0, RESULT_VERSION + 1, str(RESULT_VERSION)])
def test_another_version_is_not_read(version: object) -> None:
    with pytest.raises(ValueError, match=f"version must be {RESULT_VERSION}"):
        RunResult.from_dict(make_result().to_dict() | {"version": version})


def test_a_result_of_version_2_is_read() -> None:
    result = make_result()
    text = json.dumps(result.to_dict() | {"version": 2})
    old = text.replace('"screened"', '"certified"').replace('"theorem-2"', '"sparse"')
    assert old != text
    assert RunResult.from_dict(json.loads(old)) == result


@pytest.mark.parametrize("name", sorted(set(make_result().to_dict()) - {"version"}))
def test_a_field_that_is_missing_is_named(name: str) -> None:
    values = make_result().to_dict()
    del values[name]
    with pytest.raises(ValueError, match=name):
        RunResult.from_dict(values)


@pytest.mark.parametrize(
    "changes",
    [
        {"more": 1},
        {"config": {"network": "s-fc"}},
        {"test": {"num_errors": 1}},
        {"history": [{"epoch": 1}]},
        {"locality": {"ratio_interval": 3}},
        {"description": {"bound": 1.0, "bits": 3}},
    ],
)
def test_values_that_make_no_result_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="not a"):
        RunResult.from_dict(make_result().to_dict() | changes)


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
    "shrinkage": (10.0, 2.5),
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
ELSEWHERE = {
    "hidden_units",
    "kernel_size",
    "max_threshold",
    "method",
    "momentum",
    "weight_decay",
    "recipe",
}


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


def test_published_results_keep_their_keys() -> None:
    """A setting that is new leaves the hash of configurations without it as it was."""
    lines = (ROOT / "results" / "laptop" / "results.jsonl").read_text().splitlines()
    found = [json.loads(line) for line in lines]
    assert found
    for each in found:
        config = TrainConfig.from_dict(each["config"])
        assert run_key(config) == each["key"]
        other = replace(config, data=replace(config.data, label_column="coarse_label"))
        assert run_key(other) != each["key"]
