"""The kernel for CUDA: its results in Triton's interpreter, and that it compiles for a device."""

import pytest
import torch

from training.augment.image_policy import (
    Draws,
    apply_batched,
    apply_launched,
    apply_policy,
    draw_steps,
    rows_on,
)
from training.spec.built_in_policies import BUILT_IN_POLICIES, built_in_policy

INTERPRETED = """
import torch
from training.augment.image_policy import (
    Draws, apply_batched, apply_launched, draw_steps, rows_on
)
from training.spec.policy_table import LEVEL_RANGES, table_policy

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
