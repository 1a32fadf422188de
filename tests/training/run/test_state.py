"""The order of eager steps, one recording and replays; on a device, the weights of eager steps."""

import contextlib

import pytest
import torch

from training.run.state import NUM_EAGER, StepGraph


class FakeDevice:
    """Stands for CUDA: work asked for while recording is kept, and done when replayed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.recording = False
        self.kept: list[object] = []
        self.log: list[str] = []
        device = self

        class Stream:
            def wait_stream(self, other: object) -> None:
                pass

        class Graph:
            def register_generator_state(self, generator: object) -> None:
                device.log.append(f"register {generator}")

            def replay(self) -> None:
                device.log.append("replay")
                for work in device.kept:
                    work()

        @contextlib.contextmanager
        def graph(recorded: object, stream: object):
            device.log.append("record")
            device.recording = True
            yield
            device.recording = False

        monkeypatch.setattr(torch.cuda, "Stream", Stream)
        monkeypatch.setattr(torch.cuda, "current_stream", Stream)
        monkeypatch.setattr(torch.cuda, "stream", lambda _: contextlib.nullcontext())
        monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
        monkeypatch.setattr(torch.cuda, "graph", graph)

    def do(self, work) -> None:
        if self.recording:
            self.kept.append(work)
        else:
            work()


def test_every_call_is_one_step_and_one_recording_serves_them_all(monkeypatch):
    device = FakeDevice(monkeypatch)
    done: list[int] = []
    graph = StepGraph(lambda: device.do(lambda: done.append(1)), generator="generator")
    for number in range(1, NUM_EAGER + 6):
        graph.run()
        assert len(done) == number
    assert device.log == ["register generator", "record"] + ["replay"] * 5


@pytest.mark.cuda
def test_replayed_steps_draw_new_numbers_and_move_weights_as_eager_ones_do():
    found = []
    for graphed in (False, True):
        generator = torch.Generator("cuda").manual_seed(0)
        weight = torch.zeros(1000, device="cuda")

        def step(weight=weight, generator=generator) -> None:
            weight.add_(torch.rand(1000, device="cuda", generator=generator))

        run = StepGraph(step, generator=generator).run if graphed else step
        for _ in range(10):
            run()
        found.append(weight.cpu())
    assert torch.equal(*found)
