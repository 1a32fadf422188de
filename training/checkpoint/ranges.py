"""What a checkpoint may say beside its network and its state: every value of a type and a range.

`lazy` checks the fields of a file here; `training.run` asks again for all that resuming needs.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

from training.checkpoint.record import DataRecord
from training.spec.architectures import NetworkSpec
from training.spec.config import DataConfig, TrainConfig
from training.spec.normalization import Normalization
from training.system.checks import check_keys, check_text, check_type, shown
from training.tensor_files.plain_pickle import Opaque
from training.tensor_files.stored_tensor import StoredTensor

_LARGEST = 2**63
_COUNTS = (
    *("epoch", "step", "train_errors", "num_samples", "validation_errors", "num_validation"),
    *("test_errors", "num_test", "weight_bytes", "memory_bytes"),
)
_SHARES = ("train_accuracy", "validation_accuracy", "test_accuracy")
_AMOUNTS = ("lr", "train_loss", "seconds", "images_per_second")
_ERRORS = {
    "train_errors": "num_samples",
    "validation_errors": "num_validation",
    "test_errors": "num_test",
}
_MAY_LACK = ("validation_accuracy", "test_accuracy", "memory_bytes")


def check_fields(network: NetworkSpec, found: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a checkpoint by name, as `Checkpoint` has them.

    Args:
        network: The network's shape.
        found: data, normalization, config, metrics, versions and training as the file has them.

    Raises:
        ValueError: A value of another type or outside its range, or Python objects.
    """
    for name, value in found.items():
        _check_plain(name, value, with_tensors=name == "training")
        if name not in ("data", "normalization", "training"):
            check_type(name, value, dict)
    data = found["data"]
    if data is not None:
        data = parse_record(DataRecord, data, "data")
    normalization = found["normalization"]
    if normalization is not None:
        normalization = parse_record(Normalization, normalization, "normalization")
    _check_config(network, data, found["config"])
    _check_metrics(found["metrics"])
    for name, value in found["versions"].items():
        if not isinstance(value, str | int | float | None):
            raise ValueError(
                f"versions[{shown(name)}] must be text or a number, not {shown(value)}"
            )
    if found["training"] is not None:
        check_type("training", found["training"], dict)
        check_training(found["training"], is_whole=False)
    return {**found, "data": data, "normalization": normalization}


def parse_record(kind: type, value: Any, name: str) -> Any:
    """An object of a dataclass from the dict of all of its fields.

    Raises:
        ValueError: Another type, a field that is missing or unknown, or what the class refuses.
    """
    check_type(name, value, dict)
    check_keys(name, value, {part.name for part in fields(kind)})
    return kind(**value)


def _check_plain(where: str, value: Any, *, with_tensors: bool) -> None:
    """Refuse what is not numbers below 2^63, text, lists, tuples, dicts and, if allowed, tensors.

    What the plain reader gives is nested no deeper than it allows.
    """
    if value is None or isinstance(value, bool | float):
        return
    if isinstance(value, Opaque):
        raise ValueError(
            f"{where} holds a Python object, which could run code when it is read; nothing was "
            "run; give a checkpoint of tensors and plain values"
        )
    if isinstance(value, int):
        if not -_LARGEST <= value < 2 * _LARGEST:
            raise ValueError(f"{where} must be an integer of 64 bits, not {shown(value)}")
    elif isinstance(value, str):
        check_text(where, value)
    elif isinstance(value, list | tuple):
        for part in value:
            _check_plain(f"a value in {where}", part, with_tensors=with_tensors)
    elif isinstance(value, dict):
        for key, part in value.items():
            if isinstance(key, bool) or not isinstance(key, str | int):
                raise ValueError(f"{where} has the key {shown(key)}; keys must be text or integers")
            _check_plain(f"{where}[{shown(key)}]", part, with_tensors=with_tensors)
    elif not (with_tensors and isinstance(value, StoredTensor) and value.strides is None):
        kinds = "numbers, text, lists and dicts" + (" and dense tensors" if with_tensors else "")
        raise ValueError(f"{where} is a {type(value).__name__}; only {kinds} can be there")


def _check_config(network: NetworkSpec, data: DataRecord | None, config: dict[str, Any]) -> None:
    """A training configuration, whole or a part of one, which does not contradict the rest."""
    parts = {"network": network.name, "data": {}, "augmentation": {}}
    whole = TrainConfig.from_dict(parts | config)
    if data is not None and "data" in config and whole.data != DataConfig(**data.config):
        raise ValueError("config and data name different images, so one of them was changed")
    if "network" in config:
        shape = {name: getattr(network, name) for name in ("image_size", "num_classes")}
        if whole.network_spec(**shape, in_channels=network.in_channels) != network:
            raise ValueError("config is of another network than the checkpoint's")


def _check_metrics(metrics: dict[str, Any]) -> None:
    """Those that a run writes; there may be others."""
    for name in _COUNTS:
        _check_metric(metrics, name, int, math.inf)
    for name in _SHARES:
        _check_metric(metrics, name, float, 1)
    for name in _AMOUNTS:
        _check_metric(metrics, name, float, math.inf)
    for name in ("num_nonzeros", "screened", "certified"):
        if name in metrics:
            check_type(f"metrics[{name!r}]", metrics[name], dict)
            for layer in metrics[name]:
                check_type("the name of a layer", layer, str)
                kind, highest = (int, math.inf) if name == "num_nonzeros" else (float, 1)
                _check_metric(metrics[name], layer, kind, highest)
    layers = metrics.get("sparse_layers", [])
    if not isinstance(layers, list) or not all(isinstance(name, str) for name in layers):
        raise ValueError("metrics['sparse_layers'] must be a list of names")
    for errors, images in _ERRORS.items():
        if metrics.get(errors, 0) > metrics.get(images, math.inf):
            raise ValueError(f"metrics has more {errors} than {images}")


def _check_metric(metrics: dict[str, Any], name: str, kind: type, highest: float) -> None:
    if name not in metrics or (metrics[name] is None and name in _MAY_LACK):
        return
    value = metrics[name]
    number = isinstance(value, int if kind is int else int | float) and not isinstance(value, bool)
    if not number or not 0 <= value <= highest or value == math.inf:
        limit = f"from 0 to {highest}" if highest < math.inf else ">= 0"
        what = "an integer" if kind is int else "a finite number"
        raise ValueError(f"metrics[{shown(name)}] must be {what} {limit}, not {shown(value)}")


def check_training(training: Mapping[str, Any], *, is_whole: bool) -> None:
    """Check the state that a run is resumed from, as `TrainingState.resume_dict` gives it.

    Its tensors may be in a file or loaded: of them, dimensions and names of types are looked at.

    Args:
        training: The state.
        is_whole: Whether all of it must be there.

    Raises:
        ValueError: Names what is missing, of another type, or outside its range.
    """
    for name, check in _TRAINING.items():
        if name in training:
            check(f"training[{name!r}]", training[name])
        elif is_whole:
            raise ValueError(f"training lacks {name!r}")


def _check_count(name: str, value: Any) -> None:
    check_type(name, value, int)
    if not 0 <= value < _LARGEST:
        raise ValueError(f"{name} must be an integer from 0 to 2^63 - 1, not {shown(value)}")


def _check_amount(name: str, value: Any) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 <= value < math.inf:
        raise ValueError(f"{name} must be a finite number >= 0, not {shown(value)}")


def _check_generator(name: str, value: Any) -> None:
    if not _is_tensor(value, "uint8", 1):
        raise ValueError(f"{name} must be a row of bytes")


def _check_cuda_generator(name: str, value: Any) -> None:
    if value is not None:
        _check_generator(name, value)


def _is_tensor(value: Any, kind: str, num_dimensions: int) -> bool:
    shape = getattr(value, "shape", None)
    found = getattr(getattr(value, "number_type", None), "name", None)
    found = found or str(getattr(value, "dtype", "")).removeprefix("torch.")
    return shape is not None and len(shape) == num_dimensions and found == kind


def _check_scaler(name: str, value: Any) -> None:
    """The state of a `GradScaler`: empty where it is not used."""
    check_type(name, value, dict)
    if value:
        check_keys(name, value, _SCALER)
        for key, highest in _SCALER.items():
            _check_amount(f"{name}[{key!r}]", value[key])
            if not 0 <= value[key] <= highest:
                raise ValueError(f"{name}[{key!r}] must be at most {highest:g}")
        for key in ("growth_interval", "_growth_tracker"):
            _check_count(f"{name}[{key!r}]", value[key])


_SCALER = {
    "scale": 2.0**64,
    "growth_factor": 2.0**16,
    "backoff_factor": 1.0,
    "growth_interval": 2.0**31 - 1,
    "_growth_tracker": 2.0**31 - 1,
}


_SETTINGS = ("lr", "l1_coef", "beta", "momentum", "weight_decay")


def _check_optimizer(name: str, value: Any) -> None:
    """What any optimizer's state dict has; its own class looks at the groups' values."""
    check_type(name, value, dict)
    check_keys(name, value, {"state", "param_groups"} | value.keys() & {"sparse"})
    check_type(f"{name}['state']", value["state"], dict)
    check_type(f"{name}['param_groups']", value["param_groups"], list)
    for number, state in value["state"].items():
        _check_count(f"a parameter of {name}", number)
        check_type(f"{name}['state'][{number}]", state, dict)
    for group in value["param_groups"]:
        check_type(f"a group of {name}", group, dict)
        check_type(f"params of a group of {name}", group.get("params"), list)
        for number in group["params"]:
            _check_count(f"a parameter of {name}", number)
        for key, number in group.items():
            if key in _SETTINGS or not (key == "params" or isinstance(number, str | bool | None)):
                _check_amount(f"{shown(key)} of a group of {name}", number)
    if "sparse" in value:
        _check_sparse(f"{name}['sparse']", value["sparse"])


def _check_sparse(name: str, value: Any) -> None:
    """What a run with sparse layers has beside it."""
    check_type(name, value, dict)
    parts = {"layers", "costs", "dense_shares"}
    check_keys(name, value, parts | value.keys() & {"costs_of"})
    check_text(f"{name}['costs_of']", value.get("costs_of", ""))
    for part in parts:
        check_type(f"{name}[{part!r}]", value[part], dict)
        for layer in value[part]:
            check_type("the name of a layer", layer, str)
    for layer, share in value["dense_shares"].items():
        _check_amount(f"the share of {shown(layer)}", share)
    for layer, costs in value["costs"].items():
        check_type(f"the costs of {shown(layer)}", costs, dict)
        for key, number in costs.items():
            check_type("the name of a cost", key, str)
            if (
                not isinstance(number, int | float)
                or isinstance(number, bool)
                or math.isnan(number)
            ):
                raise ValueError(f"{key} of {shown(layer)} must be a number, not {shown(number)}")
    for layer, state in value["layers"].items():
        where = f"{name}['layers'][{shown(layer)}]"
        check_type(where, state, dict)
        check_keys(where, state, {"zeros", "share_sum", "num_steps"})
        if not _is_tensor(state["zeros"], "int64", 1):
            raise ValueError(f"{where}['zeros'] must be a row of integers")
        _check_amount(f"{where}['share_sum']", state["share_sum"])
        _check_count(f"{where}['num_steps']", state["num_steps"])


_TRAINING: dict[str, Callable[[str, Any], None]] = {
    "step": _check_count,
    "seconds": _check_amount,
    "loss_sum": _check_amount,
    "num_right": _check_count,
    "device": check_text,
    "optimizer": _check_optimizer,
    "scaler": _check_scaler,
    "augment_generator": _check_generator,
    "cpu_generator": _check_generator,
    "cuda_generator": _check_cuda_generator,
}
