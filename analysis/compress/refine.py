"""Single changes of single numbers, kept if they lower the bound: the last step of compression.

Bits and errors are integers, and so are levels. Straight-through training ends near a good
network in levels, not at one that no single change improves. Here the gradient of the loss plus the
length of the levels ranks all changes to a neighbouring level; each is tried on the images whose
decisions are close, and what promises a lower bound is checked on all images and in real bits.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from analysis.compress.qat_network import QATNetwork
from analysis.compress.qat_training import count_wrong, evaluate_quantized
from analysis.compress.rate_penalty import BoundPenalty, score
from training.data.image_set import ImageSet
from training.data.input_map import InputMap

_CLOSE = 6_000
"""Images of the smallest margins, on which changes are tried first."""
_GRADIENT_BATCH = 2048

CountBits = Callable[[QATNetwork], int]


@dataclass(frozen=True, kw_only=True)
class Refinement:
    """What refinement came to.

    Attributes:
        num_tried: Changes that were tried.
        num_kept: Changes that were kept.
        num_errors: Errors of the refined network, in float32.
        bits: Its bits.
    """

    num_tried: int
    num_kept: int
    num_errors: int
    bits: int


@torch.no_grad()
def refine(
    network: QATNetwork,
    images: ImageSet,
    inputs: InputMap,
    *,
    count_bits: CountBits,
    num_trials: int,
    delta: float,
    on_trial: Callable[[int, int], None] | None = None,
) -> Refinement:
    """Improve a network in levels in place, by single changes.

    Args:
        network: Its latents become integers.
        images: All m training images.
        inputs: What they are put through.
        count_bits: B of a network, by the real code.
        num_trials: Changes to try at most, >= 0.
        delta: δ.
        on_trial: Told of the trials done and all of them.
    """
    levels, tops = network.values, network.tops
    levels.copy_(levels.round().clamp(-tops, tops))
    tried, kept = 0, 0
    bits = count_bits(network)
    logits = evaluate_quantized(network, images, inputs)
    errors = count_wrong(logits, images.labels)
    best = score(errors, len(images), bits, delta)
    improved = True
    while improved and tried < num_trials:
        improved = False
        close, values = _close_images(logits, images, inputs)
        labels = images.labels[close]
        ranked = _rank_changes(
            network, values, labels, num_errors=errors, num_samples=len(images), delta=delta
        )
        errors_close = count_wrong(network(values), labels)
        for index, change in ranked[: num_trials - tried]:
            if abs(float(levels[index]) + change) > float(tops[index]):
                continue
            levels[index] += change
            tried += 1
            now = errors + count_wrong(network(values), labels) - errors_close
            now_bits = count_bits(network)
            if score(max(now, 0), len(images), now_bits, delta) < best:
                found = evaluate_quantized(network, images, inputs)
                now = count_wrong(found, images.labels)
                if (value := score(now, len(images), now_bits, delta)) < best:
                    best, errors, bits, logits = value, now, now_bits, found
                    errors_close = count_wrong(network(values), labels)
                    kept, improved = kept + 1, True
                    continue
            levels[index] -= change
            if on_trial is not None:
                on_trial(tried, num_trials)
    return Refinement(num_tried=tried, num_kept=kept, num_errors=errors, bits=bits)


def _close_images(logits: Tensor, images: ImageSet, inputs: InputMap) -> tuple[Tensor, Tensor]:
    """Indices of the images of smallest margins, errors among them, and their inputs."""
    index = images.labels[:, None]
    others = logits.scatter(1, index, float("-inf")).amax(dim=1)
    margins = logits.gather(1, index)[:, 0] - others
    close = margins.abs().argsort()[:_CLOSE]
    values = inputs(images.images[close])
    return close, values.contiguous(memory_format=torch.channels_last)


def _rank_changes(
    network: QATNetwork,
    inputs: Tensor,
    labels: Tensor,
    *,
    num_errors: int,
    num_samples: int,
    delta: float,
) -> list[tuple[int, int]]:
    """All changes to a neighbouring level, by what the loss and the lengths promise."""
    with torch.enable_grad():
        network.zero_grad()
        loss_sum = 0.0
        batches = zip(
            torch.split(inputs, _GRADIENT_BATCH), torch.split(labels, _GRADIENT_BATCH), strict=True
        )
        for batch, own in batches:
            loss = F.cross_entropy(network(batch), own, reduction="sum") / num_samples
            loss.backward()  # type: ignore[no-untyped-call]
            loss_sum += float(loss.detach())
    network.update_lengths()
    rate = float(network.rate())
    penalty = BoundPenalty(num_samples, delta, 1.0)(num_errors / num_samples, loss_sum, rate)
    levels, tops, gradient = network.values.detach(), network.tops, network.values.grad
    if gradient is None:
        raise AssertionError("no batch gave a gradient")
    promises = []
    for change in (-1, 1):
        changed = (levels + change).clamp(-tops, tops)
        longer = network.level_bits(changed) - network.level_bits(levels)
        promise = gradient * change + penalty * longer
        promises.append(promise.masked_fill(changed == levels, float("inf")))
    order = torch.cat(promises).argsort().tolist()
    return [(index % len(levels), -1 if index < len(levels) else 1) for index in order]
