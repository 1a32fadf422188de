"""What a checkpoint is made of: values that hold no code, and tensors alone in their memory."""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from training.tensor_files.stored_tensor import StoredTensor


class TensorLoader:
    """Loads the tensors of one file into memory, each once however often it is named.

    Args:
        num_bytes: Size of the file: different tensors in it have no more together, for none of
            them overlaps another.
    """

    def __init__(self, num_bytes: int) -> None:
        self._left = num_bytes
        self._loaded: dict[tuple[object, ...], Tensor] = {}

    def load(self, value: Any) -> Any:
        """The same value with tensors on the CPU in place of those in the file.

        Raises:
            CheckpointError: The file cannot be read any more.
            ValueError: Its tensors have more numbers than it holds.
        """
        if isinstance(value, dict):
            return {key: self.load(part) for key, part in value.items()}
        if isinstance(value, list | tuple):
            parts = [self.load(part) for part in value]
            return parts if isinstance(value, list) else tuple(parts)
        return self._load_tensor(value) if isinstance(value, StoredTensor) else value

    def _load_tensor(self, stored: StoredTensor) -> Tensor:
        if stored.place not in self._loaded:
            self._left -= stored.num_bytes
            if self._left < 0:
                raise ValueError("tensors in it overlap each other; copy it again")
            numbers = np.empty(math.prod(stored.shape), stored.number_type.storage)
            stored.read_piece_into(0, numbers)
            kind = getattr(torch, stored.number_type.name)
            self._loaded[stored.place] = torch.from_numpy(numbers).view(kind).view(stored.shape)
        return self._loaded[stored.place]


def plain_copy(value: Any, where: str, *, allow_tensors: bool = False) -> Any:
    """A copy made of None, bool, int, float, str, list, tuple, dict and, if allowed, tensors.

    Subclasses of these, such as NumPy's float64 or an enumeration of strings, become the plain
    type. Tensors come back detached, on the CPU and with no more storage than they need.

    Args:
        value: Any value; dicts must have str or int keys.
        where: What the value is called in an error.
        allow_tensors: Whether dense tensors may be among them.

    Raises:
        ValueError: Names the first part that is something else.

    >>> plain_copy({"a": [1, (2.5, None)]}, "metrics")
    {'a': [1, (2.5, None)]}
    """
    if value is None or isinstance(value, bool):
        return value
    for kind in (int, float, str):
        if isinstance(value, kind):
            return kind(value)
    if isinstance(value, list | tuple):
        parts = [
            plain_copy(part, f"{where}[{index}]", allow_tensors=allow_tensors)
            for index, part in enumerate(value)
        ]
        return parts if isinstance(value, list) else tuple(parts)
    if isinstance(value, dict):
        return {
            _plain_key(key, where): plain_copy(
                part, f"{where}[{key!r}]", allow_tensors=allow_tensors
            )
            for key, part in value.items()
        }
    if allow_tensors and isinstance(value, Tensor) and value.layout == torch.strided:
        return compact_tensor(value)
    kinds = "numbers, text, lists and dicts" + (" and dense tensors" if allow_tensors else "")
    raise ValueError(f"{where} is a {type(value).__name__}; only {kinds} can be there")


def compact_tensor(tensor: Tensor) -> Tensor:
    """The tensor detached, on the CPU, contiguous, and alone in its storage.

    It shares memory with `tensor` where that is so already.

    Raises:
        ValueError: A sparse tensor.
    """
    if tensor.layout != torch.strided:
        raise ValueError(f"tensors must be dense, not {tensor.layout}")
    plain = tensor.detach().cpu().contiguous()
    is_alone = plain.untyped_storage().nbytes() == plain.numel() * plain.element_size()
    return plain if is_alone else plain.clone()


def _plain_key(key: Any, where: str) -> str | int:
    if isinstance(key, bool) or not isinstance(key, str | int):
        raise ValueError(f"{where} has the key {key!r}; keys must be text or integers")
    return str(key) if isinstance(key, str) else int(key)
