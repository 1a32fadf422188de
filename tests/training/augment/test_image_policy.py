"""Policies on batches: both ways give the same bytes, and the draws have the right frequencies."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from training.augment import image_policy
from training.augment.image_policy import (
    SMALLEST_COMPILED,
    Draws,
    apply_batched,
    apply_compiled,
    apply_launched,
    apply_policy,
    draw_steps,
    is_compiled,
    rows_on,
)
from training.spec.built_in_policies import BUILT_IN_POLICIES, built_in_policy
from training.spec.policy import LEVEL_RANGES, Policy, PolicyStep, table_policy

CPU = torch.device("cpu")


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_images(num: int, *, size: int = 9, channels: int = 3) -> torch.Tensor:
    shape = (num, channels, size, size)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=seeded(0))


tables = st.lists(
    st.lists(
        st.tuples(st.sampled_from(sorted(LEVEL_RANGES)), st.floats(0, 1), st.floats(0, 1)),
        min_size=1,
        max_size=3,
    ).map(tuple),
    min_size=1,
    max_size=5,
).map(tuple)


@given(
    table=tables, channels=st.sampled_from([1, 3]), size=st.integers(1, 12), seed=st.integers(0, 99)
)
def test_both_ways_agree_on_any_table(table, channels, size, seed):
    images = random_images(7, size=size, channels=channels)
    rows = rows_on(table_policy("test", table), size, CPU)
    draws = draw_steps(rows, 7, size, generator=seeded(seed))
    assert torch.equal(apply_compiled(images, rows, draws), apply_batched(images, rows, draws))


@pytest.mark.sample(3)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", BUILT_IN_POLICIES)
def test_both_ways_agree_on_large_batches_and_from_the_same_state(name, channels, monkeypatch):
    policy = built_in_policy(name)
    images = random_images(160, size=32, channels=channels)
    monkeypatch.setattr(image_policy, "SMALLEST_COMPILED", 1)
    assert is_compiled(images)
    compiled = apply_policy(images, policy, generator=seeded(3))
    monkeypatch.setattr(image_policy, "SMALLEST_COMPILED", 10**9)
    assert not is_compiled(images)
    batched = apply_policy(images, policy, generator=seeded(3))
    assert torch.equal(compiled, batched)
    assert not torch.equal(compiled, apply_policy(images, policy, generator=seeded(4)))


def test_every_number_of_threads_gives_the_same(monkeypatch):
    policy, images = built_in_policy("trivial"), random_images(150, size=32)
    assert images.numel() >= SMALLEST_COMPILED
    results = []
    for num_threads in (1, 3):
        monkeypatch.setattr(torch, "get_num_threads", lambda num=num_threads: num)
        results.append(apply_policy(images, policy, generator=seeded(1)))
    assert torch.equal(*results)


def test_images_are_left_alone_and_need_not_be_contiguous():
    images = random_images(6, size=8).permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    copy = images.clone()
    rows = rows_on(built_in_policy("trivial"), 8, CPU)
    draws = draw_steps(rows, 6, 8, generator=seeded(0))
    results = [way(images, rows, draws) for way in (apply_compiled, apply_batched)]
    assert torch.equal(*results)
    assert torch.equal(images, copy)


def test_images_of_two_channels_are_refused():
    images = torch.zeros(2, 2, 8, 8, dtype=torch.uint8)
    with pytest.raises(ValueError, match="1 or 3 channels, not 2; use policy none"):
        apply_policy(images, built_in_policy("rand"), generator=seeded(0))


def deviations(count: int, num: int, probability: float) -> float:
    spread = (num * probability * (1 - probability)) ** 0.5
    return abs(count - num * probability) / max(spread, 1e-9)


def test_draws_have_the_frequencies_of_the_table():
    table = (
        (("Rotate", 0.7, 1.0), ("Invert", 0.0, 0.0)),
        (("Solarize", 1.0, 0.5),),
        (("Cutout", 0.25, 0.5), ("Equalize", 0.5, 0.0)),
    )
    rows = rows_on(table_policy("test", table), 20, CPU)
    num = 60_000
    draws = draw_steps(rows, num, 20, generator=seeded(0))
    assert draws.rows.shape == (2, num)
    first, second = (torch.bincount(step, minlength=len(rows.kinds)) for step in draws.rows)
    turned, other = rows.choices[0, 0]
    assert turned != other  # the two signs of Rotate
    for row, probability in (
        (turned, 0.35 / 3),
        (other, 0.35 / 3),
        (rows.choices[1, 0, 0], 1 / 3),
        (rows.choices[2, 0, 0], 0.25 / 3),
        (0, (0.3 + 0.75) / 3),
    ):
        assert deviations(int(first[row]), num, probability) < 5
    assert int(second[rows.choices[0, 1, 0]]) == 0
    assert deviations(int(second[rows.choices[2, 1, 0]]), num, 0.5 / 3) < 5
    both = (draws.rows[0] == rows.choices[2, 0, 0]) & (draws.rows[1] == rows.choices[2, 1, 0])
    assert deviations(int(both.sum()), num, 0.125 / 3) < 5  # the steps are independent


def test_cutouts_lie_uniformly_and_are_empty_elsewhere():
    rows = rows_on(table_policy("test", ((("Cutout", 0.5, 1.0),),)), 20, CPU)
    draws = draw_steps(rows, 40_000, 20, generator=seeded(0))
    left, top, right, bottom = draws.boxes[0]
    happens = draws.rows[0] > 0
    assert (right[~happens] == left[~happens]).all()
    assert (bottom[~happens] == top[~happens]).all()
    # A side of 4: from max(0, c - 2), rounded down, 5 pixels long, c uniform in [0, 20).
    for first, last in ((left, right), (top, bottom)):
        assert torch.equal(last[happens], (first[happens] + 5).clamp(max=20))
        counts = torch.bincount(first[happens], minlength=18)
        expected = np.array([3] + [1] * 17) / 20 * int(happens.sum())
        assert ((counts.numpy() - expected) ** 2 / expected).sum() < 17 + 5 * (2 * 17) ** 0.5


def test_rounds_are_independent():
    two = tuple(
        (PolicyStep(operation=name, probability=1.0, magnitude=0.0),)
        for name in ("Invert", "Equalize")
    )
    rows = rows_on(Policy(name="test", subpolicies=two, rounds=3), 8, CPU)
    found = draw_steps(rows, 8000, 8, generator=seeded(0)).rows
    assert found.shape == (3, 8000)
    patterns = torch.unique(found, dim=1, return_counts=True)[1]
    assert len(patterns) == 8
    assert (patterns - 1000).abs().max() < 150


def test_nothing_drawn_changes_nothing():
    rows = rows_on(built_in_policy("rand"), 8, CPU)
    images = random_images(4, size=8)
    draws = Draws(
        rows=torch.zeros(3, 4, dtype=torch.int64), boxes=torch.zeros(3, 4, 4, dtype=torch.int32)
    )
    for way in (apply_compiled, apply_batched):
        assert torch.equal(way(images, rows, draws), images)


INTERPRETED = """
import torch
from training.augment.image_policy import (
    Draws, apply_batched, apply_launched, draw_steps, rows_on
)
from training.spec.policy import LEVEL_RANGES, table_policy

table = tuple(((name, 1.0, 0.8),) for name in LEVEL_RANGES)
for size, channels in ((6, 3), (5, 1)):
    generator = torch.Generator().manual_seed(size)
    num = len(table)
    images = torch.randint(0, 200, (num, channels, size, size), dtype=torch.uint8)
    images[::2] = images[::2] // 3 + 40
    rows = rows_on(table_policy("test", table), size, torch.device("cpu"))
    draws = draw_steps(rows, num, size, generator=generator)
    each = Draws(rows=rows.choices[:, 0, 0].to(torch.int64)[None], boxes=draws.boxes)
    each.boxes[:] = 0
    each.boxes[0, :, list(LEVEL_RANGES).index("Cutout")] = torch.tensor([1, 2, 4, 3])
    expected = apply_batched(images, rows, each)
    changed = (expected != images).flatten(1).any(dim=1)
    assert changed.sum() >= num - 3, changed
    assert torch.equal(apply_launched(images, rows, each), expected), (size, channels)
print("same")
"""

COMPILED = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from training.kernels import triton_images

signature = {
    "images": "*u8", "outputs": "*u8", "found": "*i64", "boxes": "*i32", "kinds": "*u8",
    "maps": "*i32", "tables": "*u8", "factors": "*fp32", "num_images": "i32", "size": "i32",
    "CHANNELS": "constexpr", "BLOCK": "constexpr",
}
for channels in (1, 3):
    constants = {"CHANNELS": channels, "BLOCK": 1024}
    source = ASTSource(fn=triton_images.apply_step, signature=signature, constexprs=constants)
    options = {"enable_fp_fusion": False, "num_warps": 4}
    built = triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options)
    assert "fma.rn.f" not in built.asm["ptx"]
print("compiled")
"""


@pytest.mark.slow
@pytest.mark.process
def test_the_kernel_gives_the_bytes_of_the_batched_form(run_triton_script):
    assert run_triton_script(INTERPRETED, TRITON_INTERPRET="1") == "same\n"


@pytest.mark.process
@pytest.mark.slow
def test_the_kernel_compiles_for_a_device_without_fused_products(run_triton_script, tmp_path):
    assert run_triton_script(COMPILED, TRITON_CACHE_DIR=str(tmp_path)) == "compiled\n"


@pytest.mark.cuda
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", BUILT_IN_POLICIES)
def test_cuda_gives_the_bytes_of_a_cpu_without_waiting(name, channels):
    device, policy = torch.device("cuda", 0), built_in_policy(name)
    cpu = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (64, channels, 32, 32), dtype=torch.uint8, generator=cpu)
    rows = rows_on(policy, 32, torch.device("cpu"))
    draws = draw_steps(rows, 64, 32, generator=cpu)
    there = Draws(rows=draws.rows.to(device), boxes=draws.boxes.to(device))
    on_device, rows_there = images.to(device), rows_on(policy, 32, device)
    generator = torch.Generator(device).manual_seed(0)
    assert on_device.device == device  # its rows are there: the first call copies them
    torch.cuda.set_sync_debug_mode("error")
    try:
        batched = apply_batched(on_device, rows_there, there)
        launched = apply_launched(on_device, rows_there, there)
        apply_policy(on_device, policy, generator=generator)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    expected = apply_batched(images, rows, draws)
    assert torch.equal(batched.cpu(), expected)
    assert torch.equal(launched.cpu(), expected)


@pytest.mark.cuda
def test_a_graph_draws_anew_at_every_replay():
    device, policy = torch.device("cuda", 0), built_in_policy("autoaugment-cifar10")
    images = torch.randint(0, 256, (64, 3, 32, 32), dtype=torch.uint8, device=device)
    generator = torch.Generator(device).manual_seed(0)
    apply_policy(images, policy, generator=generator)
    graph = torch.cuda.CUDAGraph()
    graph.register_generator_state(generator)
    with torch.cuda.graph(graph):
        result = apply_policy(images, policy, generator=generator)
    seen = []
    for _ in range(2):
        graph.replay()
        seen.append(result.clone())
    assert not torch.equal(*seen)
