"""Plain values: what may go into a file, and what it becomes."""

import enum
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest
import torch

from training.checkpoint.plain_values import compact_tensor, plain_copy


class Method(enum.StrEnum):
    SGD = "sgd"


def test_subclasses_become_the_plain_types() -> None:
    value = OrderedDict(a=np.float64(0.5), b=Method.SGD, c=(True, None), d=torch.__version__)
    plain = plain_copy(value, "metrics")
    assert plain == {"a": 0.5, "b": "sgd", "c": (True, None), "d": str(torch.__version__)}
    assert [type(part) for part in (plain, *plain.values())] == [dict, float, str, tuple, str]
    assert plain["c"][0] is True


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"a": [1, {2}]}, r"x\['a'\]\[1\] is a set; only numbers, text, lists and dicts can"),
        ({1.5: 2}, r"x has the key 1\.5; keys must be text or integers"),
        ({True: 2}, "x has the key True"),
        (np.float32(1), "x is a float32"),
        (torch.ones(1), "x is a Tensor; only numbers, text, lists and dicts can be there"),
        (len, "x is a builtin_function_or_method"),
    ],
)
def test_refuses_the_rest_by_name(value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plain_copy(value, "x")


def test_tensors_are_taken_where_allowed_and_only_dense() -> None:
    value = {"state": {0: {"momentum_buffer": torch.ones(2, requires_grad=True)}}}
    plain = plain_copy(value, "training", allow_tensors=True)
    assert not plain["state"][0]["momentum_buffer"].requires_grad
    with pytest.raises(ValueError, match="and dense tensors can be there"):
        plain_copy([torch.eye(2).to_sparse_coo()], "training", allow_tensors=True)


def test_a_view_is_saved_without_the_rest_of_its_storage() -> None:
    base = torch.arange(1000)
    part = compact_tensor(base[10:12])
    assert part.tolist() == [10, 11]
    assert part.untyped_storage().nbytes() == 16
    assert compact_tensor(base).data_ptr() == base.data_ptr()
    with pytest.raises(ValueError, match="must be dense"):
        compact_tensor(torch.eye(2).to_sparse_coo())
