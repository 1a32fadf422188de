"""A copy of a checkpoint that stays as it is while training continues."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from training.checkpoint.checkpoint import Checkpoint

_PARTS = ("state", "config", "metrics", "num_nonzeros", "versions", "training")


class Snapshot:
    """Buffers for the tensors of one checkpoint, made once and filled again and again.

    On the CPU a tensor is copied into its buffer. On CUDA it is copied twice: to another place on
    the device, among the training's own work and at the speed of the device's memory, and from
    there into pinned memory by a stream of its own, which only `read` waits for. So the next step
    may change every tensor as soon as `take` returns, and neither the loop nor the device waits
    for the slow way to the host. It costs the device's memory for one more copy.
    """

    def __init__(self) -> None:
        self._checkpoint: Checkpoint | None = None
        self._buffers: dict[str, Tensor] = {}
        self._staged: dict[str, Tensor] = {}
        self._stream: torch.cuda.Stream | None = None
        self._arrived: torch.cuda.Event | None = None

    def take(self, checkpoint: Checkpoint) -> None:
        """Copy a checkpoint whose tensors all belong to one step.

        A tensor is known by its place in the checkpoint; a new shape or type gets a new buffer.
        """
        on_device: dict[str, Tensor] = {}
        copied = {name: self._copy(getattr(checkpoint, name), name, on_device) for name in _PARTS}
        self._checkpoint = replace(checkpoint, **copied)
        if on_device:
            self._fetch(on_device)

    def read(self) -> Checkpoint:
        """The copy, once all of it is in the host's memory; good until the next `take`.

        Raises:
            ValueError: Nothing has been taken.
        """
        if self._checkpoint is None:
            raise ValueError("nothing has been taken yet; call take first")
        if self._arrived is not None:
            self._arrived.synchronize()
        return self._checkpoint

    def _copy(self, value: Any, place: str, on_device: dict[str, Tensor]) -> Any:
        """Plain containers anew, and tensors in their buffers; `on_device` gets those to fetch.

        Anything else stays as it is: `save_checkpoint` refuses what may not be there.
        """
        if isinstance(value, dict):
            return {
                key: self._copy(part, f"{place}/{key}", on_device) for key, part in value.items()
            }
        if isinstance(value, list | tuple):
            parts = [self._copy(part, f"{place}/{i}", on_device) for i, part in enumerate(value)]
            return parts if isinstance(value, list) else tuple(parts)
        if not isinstance(value, Tensor) or value.layout != torch.strided:
            return value
        tensor = value.detach()
        buffer = self._buffers.get(place)
        if buffer is None or buffer.shape != tensor.shape or buffer.dtype != tensor.dtype:
            buffer = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=tensor.is_cuda)
            self._buffers[place] = buffer
            self._staged.pop(place, None)
        if tensor.is_cuda:
            on_device[place] = tensor
        else:
            buffer.copy_(tensor)
        return buffer

    def _fetch(self, tensors: dict[str, Tensor]) -> None:
        """Bring tensors from the device to their buffers, without waiting."""
        current = torch.cuda.current_stream(next(iter(tensors.values())).device)
        if self._stream is None or self._arrived is None:
            self._stream = torch.cuda.Stream(current.device)  # type: ignore[no-untyped-call]
            # Waiting for it takes no processor.
            self._arrived = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
        else:
            current.wait_event(self._arrived)  # what was staged last has left
        for place, tensor in tensors.items():
            if place not in self._staged:
                self._staged[place] = torch.empty_like(
                    tensor, memory_format=torch.contiguous_format
                )
            self._staged[place].copy_(tensor)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            for place in tensors:
                self._buffers[place].copy_(self._staged[place], non_blocking=True)
            self._arrived.record()
