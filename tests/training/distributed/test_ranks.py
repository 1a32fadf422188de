import os
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.training.two_ranks import read_result, run_two_ranks, save_result
from training.augment.image_policy import apply_policy
from training.augment.inputs import augment_images
from training.distributed.layers import RanksBatchNorm, RanksDropout, merge_moments, span_ranks
from training.distributed.ranks import (
    ALONE,
    FirstRankError,
    LostRankError,
    Ranks,
    Vote,
    naming_lost_ranks,
)
from training.networks.models import build_network
from training.networks.symmetric import SymmetricBatchNorm2d
from training.spec.architectures import NetworkSpec
from training.spec.config import Augmentation
from training.spec.normalization import fixed_normalization

NUM_IMAGES = 7  # Uneven: 3 for rank 0 and 4 for rank 1.


@given(st.integers(0, 200), st.integers(1, 20), st.integers(0, 50))
def test_rows_share_out_every_image_once(num_images: int, size: int, start: int) -> None:
    shares = [Ranks(rank=rank, size=size).rows(num_images, start=start) for rank in range(size)]
    shared = [index for share in shares for index in range(share.start, share.stop)]
    assert shared == list(range(start, start + num_images))
    lengths = [share.stop - share.start for share in shares]
    assert max(lengths) - min(lengths) <= 1


def test_a_rank_must_be_one_of_them() -> None:
    with pytest.raises(ValueError, match=r"rank must lie in \[0, 2\), not 2"):
        Ranks(rank=2, size=2)


def test_one_rank_alone_needs_no_group() -> None:
    assert ALONE.rows(5) == slice(0, 5)
    assert (ALONE.sum(3), ALONE.sum_real(0.5), ALONE.all_hold(False)) == (3, 0.5, False)
    assert ALONE.from_first(lambda: "made") == "made"
    with Vote(lambda: True, ALONE) as vote:
        assert vote.ask()
        assert vote.ask_now()
    network = build_network(NetworkSpec(name="s-fc", image_size=8, num_classes=3, base_channels=1))
    span_ranks(network, ALONE, num_images=1)
    assert type(network.get_submodule("conv1_norm")) is nn.BatchNorm1d


def test_every_rank_needs_an_image() -> None:
    network = build_network(NetworkSpec(name="s-fc", image_size=8, num_classes=3, base_channels=1))
    with pytest.raises(ValueError, match="batch_size must be at least the 3 ranks, not 2"):
        span_ranks(network, Ranks(rank=0, size=3), num_images=2)


@given(st.lists(st.integers(1, 6), min_size=1, max_size=5), st.integers(0, 2**31))
def test_merged_moments_are_those_of_the_whole(counts: list[int], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    parts = [torch.randn(n, 3, generator=generator, dtype=torch.float64) + 1e3 for n in counts]
    rows = [
        torch.cat([part.mean(0), part.var(0, correction=0), torch.tensor([float(len(part))])])
        for part in parts
    ]
    mean, variance, count = merge_moments(torch.stack(rows))
    whole = torch.cat(parts)
    assert int(count) == len(whole)
    torch.testing.assert_close(mean, whole.mean(0), rtol=1e-13, atol=0)
    torch.testing.assert_close(variance, whole.var(0, correction=0), rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_parts_of_a_dropout_mask_are_torchs_own(dtype: torch.dtype) -> None:
    values = torch.randn(NUM_IMAGES, 5).to(dtype)
    torch.manual_seed(3)
    whole = F.dropout(values, 0.3)
    for rank in range(3):
        part = Ranks(rank=rank, size=3).part(NUM_IMAGES)
        dropout = RanksDropout(0.3, part)
        torch.manual_seed(3)
        assert torch.equal(dropout(values[part.rows]), whole[part.rows])
        assert torch.equal(dropout.eval()(values[part.rows]), values[part.rows])


@pytest.mark.parametrize("num_images", [7, 300])  # 300 are changed by compiled code, 7 by torch's
def test_parts_of_a_batch_are_augmented_as_the_whole(num_images: int) -> None:
    generator = torch.Generator().manual_seed(1)
    shape = (num_images, 3, 8, 8)
    images = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
    augmentation = Augmentation(flip=True, crop=2, cutout=3, policy="autoaugment-cifar10")

    def augment(rank: int, size: int) -> Tensor:
        part = Ranks(rank=rank, size=size).part(num_images)
        return augment_images(
            images[part.rows],
            augmentation,
            fixed_normalization(3),
            generator=torch.Generator().manual_seed(2),
            part=part,
        )

    whole = augment(0, 1)
    assert torch.equal(torch.cat([augment(rank, 3) for rank in range(3)]), whole)
    policy = augmentation.chosen_policy
    assert policy is not None
    changed = apply_policy(images, policy, generator=torch.Generator().manual_seed(2))
    assert not torch.equal(changed, images)


def make_norms() -> dict[str, tuple[nn.Module, tuple[int, ...]]]:
    """BatchNorms and the shapes of their inputs."""
    torch.manual_seed(4)
    norms: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
        "units": (nn.BatchNorm1d(6), (NUM_IMAGES, 6)),
        "channels": (nn.BatchNorm2d(3), (NUM_IMAGES, 3, 2, 2)),
        "kernels": (SymmetricBatchNorm2d(2), (NUM_IMAGES, 16, 2, 2)),
    }
    for norm, _ in norms.values():
        norm.double()
        for parameter in norm.parameters():
            nn.init.normal_(parameter)
    return norms


def differentiate(norm: nn.Module, values: Tensor, direction: Tensor) -> dict[str, Tensor]:
    """Output, gradients of <direction, output>, statistics and the output in eval mode."""
    values = values.clone().requires_grad_()
    outputs = norm(values)
    outputs.backward(direction)
    found = {"outputs": outputs.detach(), "values": values.grad}
    found |= {f"{name}.grad": parameter.grad for name, parameter in norm.named_parameters()}
    found |= dict(norm.named_buffers())
    return found | {"eval": norm.eval()(values.detach()).detach()}


def make_values(shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(5)
    values = 1e3 + torch.randn(shape, generator=generator, dtype=torch.float64)
    return values, torch.randn(shape, generator=generator, dtype=torch.float64)


def norm_on_ranks(ranks: Ranks, folder: Path) -> None:
    rows = ranks.rows(NUM_IMAGES)
    found = {}
    for name, (norm, shape) in make_norms().items():
        values, direction = make_values(shape)
        spanning = RanksBatchNorm(norm)  # type: ignore[arg-type]
        assert list(spanning.state_dict()) == list(norm.state_dict())
        found[name] = differentiate(spanning, values[rows], direction[rows])
        assert spanning(values[:0]).shape == values[:0].shape
    save_result(folder, "norm", ranks, found)


def talk(ranks: Ranks, folder: Path) -> None:
    assert ranks.sum(ranks.rank + 1) == 3
    assert ranks.sum_real(0.25) == 0.5
    assert not ranks.all_hold(ranks.is_first)
    assert ranks.from_first(lambda: {"rank": ranks.rank}) == {"rank": 0}
    asked = iter([False, ranks.rank == 1, False, False, ranks.rank == 0])
    with Vote(lambda: next(asked), ranks) as vote:
        assert [vote.ask() for _ in range(4)] == [False, False, True, False]
        assert vote.ask_now()
    norm_on_ranks(ranks, folder)


@pytest.mark.slow
@pytest.mark.process
def test_two_ranks_agree_and_norm_as_one(tmp_path: Path) -> None:
    run_two_ranks(talk, tmp_path)
    parts = [read_result(tmp_path, "norm", rank) for rank in range(2)]
    for name, (norm, shape) in make_norms().items():
        whole = differentiate(norm, *make_values(shape))
        for key, expected in whole.items():
            first, second = parts[0][name][key], parts[1][name][key]
            if key in ("outputs", "values", "eval"):
                found = torch.cat([first, second])
            elif key.endswith(".grad"):
                found = first + second
            else:
                assert torch.equal(first, second)
                found = first
            torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


def lose_rank_0(ranks: Ranks, folder: Path) -> None:
    with pytest.raises(ZeroDivisionError), naming_lost_ranks(ranks, "go on"):
        _ = 1 // 0  # Errors of other kinds pass.
    with pytest.raises(RuntimeError, match="mine"), naming_lost_ranks(ranks, "go on"):
        raise RuntimeError("mine")
    assert ranks.sum(1) == 2
    if ranks.is_first:
        os._exit(3)
    with pytest.raises(LostRankError) as caught, naming_lost_ranks(ranks, "go on", patience=0.2):
        ranks.sum(1)
    # Rank 0 keeps the store where torchrun does not, so nobody can be asked who else is left.
    assert str(caught.value) == "rank 0 of 2 is gone; go on"
    assert caught.value.speaks
    os._exit(0)


@pytest.mark.slow
@pytest.mark.process
def test_a_lost_rank_is_named(tmp_path: Path) -> None:
    run_two_ranks(lose_rank_0, tmp_path, exit_codes=(3, 0))


def fail_to_begin(ranks: Ranks, folder: Path) -> None:
    def make() -> None:
        raise ValueError("no such data")

    kind = ValueError if ranks.is_first else FirstRankError
    with pytest.raises(kind, match="no such data" if ranks.is_first else "rank 0 could not begin"):
        ranks.from_first(make)


@pytest.mark.slow
@pytest.mark.process
def test_what_rank_0_cannot_make_ends_all(tmp_path: Path) -> None:
    run_two_ranks(fail_to_begin, tmp_path)
