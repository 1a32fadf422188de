"""A training step on CUDA, recorded once as a graph and replayed: no gap between its kernels."""

from collections.abc import Callable

import torch

NUM_EAGER = 3
"""Steps taken as they are before one is recorded, so that all has been compiled and allocated."""


class StepGraph:
    """Runs a step: the first times as it is, then by replaying what the device was told to do.

    The step must read what changes from one call to the next from memory that stays where it is,
    and must not wait for the device. Recording runs nothing, so every call is one step.

    Args:
        step: Takes one step.
        generator: A CUDA generator that the step draws from, besides torch's own.
    """

    def __init__(self, step: Callable[[], None], *, generator: torch.Generator) -> None:
        self._step = step
        self._generator = generator
        self._num_eager = 0
        self._graph: torch.cuda.CUDAGraph | None = None
        self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]

    def run(self) -> None:
        """Take one step."""
        if self._graph is None and self._num_eager < NUM_EAGER:
            self._num_eager += 1
            self._run_aside()
            return
        if self._graph is None:
            self._graph = self._record()
        self._graph.replay()

    def _run_aside(self) -> None:
        """On the stream that the recording will use, as autograd wants it."""
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            self._step()
        torch.cuda.current_stream().wait_stream(self._stream)

    def _record(self) -> torch.cuda.CUDAGraph:
        graph = torch.cuda.CUDAGraph()
        graph.register_generator_state(self._generator)
        with torch.cuda.graph(graph, stream=self._stream):
            self._step()
        return graph
