"""Single changes of single numbers, kept if they lower the bound: the last step of compression.

Bits and errors are integers, and so are levels. Straight-through training ends near a good
network in levels, not at one that no single change improves. Here the gradient of the loss plus the
length of the levels ranks all changes to a neighbouring level; each is tried on the images whose
decisions are close, and what promises a lower bound is checked on all images and in real bits.
"""

from collections.abc import Callable, Mapping
from typing import Any

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


class Refinement:
    """Improves a network in levels in place, by single changes.

    It can be cut between any two of them and continues to the same levels from what `state` gave.

    Args:
        network: Its latents become integers.
        images: All m training images.
        inputs: What they are put through.
        count_bits: B of a network, by the real code.
        num_trials: Changes to try at most, >= 0.
        delta: δ.
        on_trial: Told of the trials done and all of them.
        on_batch: Called often; what it raises cuts the work, and `state` is still true.

    Attributes:
        num_tried: Changes that were tried.
        num_kept: Changes that were kept.
        num_errors: Errors of the refined network, in float32.
        bits: Its bits.
    """

    def __init__(
        self,
        network: QATNetwork,
        images: ImageSet,
        inputs: InputMap,
        *,
        count_bits: CountBits,
        num_trials: int,
        delta: float,
        on_trial: Callable[[int, int], None] = lambda done, total: None,
        on_batch: Callable[[], None] = lambda: None,
    ) -> None:
        self._network, self._images, self._inputs = network, images, inputs
        self._count_bits, self._num_trials, self._delta = count_bits, num_trials, delta
        self._on_trial, self._on_batch = on_trial, on_batch
        self.num_tried, self.num_kept, self.num_errors, self.bits = 0, 0, 0, 0
        tops = network.tops
        self._kept = network.values.detach().round().clamp(-tops, tops)
        # What the round began with, by which changes are ranked, and how many of them it has seen.
        self._ranked_at, self._position = self._kept.clone(), 0
        self._was_begun = False

    def state(self) -> dict[str, Any]:
        """All that `restore` needs; empty before there is something to continue."""
        if not self._was_begun:
            return {}
        return {
            "kept": self._kept,
            "ranked_at": self._ranked_at,
            "position": self._position,
            "num_tried": self.num_tried,
            "num_kept": self.num_kept,
            "num_errors": self.num_errors,
            "bits": self.bits,
        }

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Continue where `state` was asked for."""
        self._kept, self._ranked_at = saved["kept"], saved["ranked_at"]
        self._position, self.num_tried = saved["position"], saved["num_tried"]
        self.num_kept, self.num_errors, self.bits = (
            saved[name] for name in ("num_kept", "num_errors", "bits")
        )
        self._was_begun = True

    @torch.no_grad()
    def run(self) -> None:
        """Try changes until there are enough, or none of a whole round lowers the score."""
        values = self._network.values
        values.copy_(self._kept)
        if not self._was_begun:
            self.num_errors = count_wrong(self._evaluate(), self._images.labels)
            self.bits = self._count_bits(self._network)
            self._was_begun = True
        while self.num_tried < self._num_trials:
            values.copy_(self._ranked_at)
            self._run_round()
            if torch.equal(self._kept, self._ranked_at):
                return
            self._ranked_at, self._position = self._kept.clone(), 0

    def _run_round(self) -> None:
        """Try the changes of the network as it is at the round's start, from the position on."""
        network, labels = self._network, self._images.labels
        levels, tops = network.values, network.tops
        logits = self._evaluate()
        close, inputs = _close_images(logits, self._images, self._inputs)
        ranked = self._rank_changes(inputs, labels[close], count_wrong(logits, labels))
        levels.copy_(self._kept)
        errors_close = count_wrong(network(inputs), labels[close])
        best = self._score(self.num_errors, self.bits)
        for index, change in ranked[self._position :]:
            if self.num_tried == self._num_trials:
                return
            self._on_batch()
            if abs(float(levels[index]) + change) <= float(tops[index]):
                levels[index] += change
                wrong_close = count_wrong(network(inputs), labels[close])
                bits = self._count_bits(network)
                errors = max(self.num_errors + wrong_close - errors_close, 0)
                is_better = self._score(errors, bits) < best
                if is_better:  # by the close images; now by all
                    errors = count_wrong(self._evaluate(), labels)
                    is_better = self._score(errors, bits) < best
                if is_better:
                    best, errors_close = self._score(errors, bits), wrong_close
                    self.num_errors, self.bits = errors, bits
                    self._kept[index] += change
                    self.num_kept += 1
                else:
                    levels[index] -= change
                self.num_tried += 1
                self._on_trial(self.num_tried, self._num_trials)
            self._position += 1

    def _evaluate(self) -> Tensor:
        return evaluate_quantized(
            self._network, self._images, self._inputs, on_batch=self._on_batch
        )

    def _score(self, errors: int, bits: int) -> float:
        return score(errors, len(self._images), bits, self._delta)

    def _rank_changes(
        self, inputs: Tensor, labels: Tensor, num_errors: int
    ) -> list[tuple[int, int]]:
        """All changes to a neighbouring level, by what the loss and the lengths promise."""
        network, num_samples = self._network, len(self._images)
        with torch.enable_grad():
            network.zero_grad()
            loss_sum = 0.0
            for batch, own in zip(
                torch.split(inputs, _GRADIENT_BATCH),
                torch.split(labels, _GRADIENT_BATCH),
                strict=True,
            ):
                self._on_batch()
                loss = F.cross_entropy(network(batch), own, reduction="sum") / num_samples
                loss.backward()  # type: ignore[no-untyped-call]
                loss_sum += float(loss.detach())
        network.update_lengths()
        rate = float(network.rate())
        error = num_errors / num_samples
        penalty = BoundPenalty(num_samples, self._delta, 1.0)(error, loss_sum, rate)
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


def _close_images(logits: Tensor, images: ImageSet, inputs: InputMap) -> tuple[Tensor, Tensor]:
    """Indices of the images of smallest margins, errors among them, and their inputs."""
    index = images.labels[:, None]
    others = logits.scatter(1, index, float("-inf")).amax(dim=1)
    margins = logits.gather(1, index)[:, 0] - others
    close = margins.abs().argsort()[:_CLOSE]
    return close, inputs(images.images[close])
