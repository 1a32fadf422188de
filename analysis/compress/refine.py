"""Single changes of single numbers, kept if they lower the bound: the last step of compression.

Bits and errors are integers, and so are levels. Straight-through training ends near a good
network in levels, not at one that no single change improves. Here the gradient of the loss plus the
length of the levels ranks all changes to a neighbouring level; each is tried in real bits and on
the images whose decisions are close, and kept if these give a lower bound. All images are counted
after every 25 changes kept, and at the end.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from analysis.compress.close_images import CloseImages
from analysis.compress.qat_network import QATNetwork
from analysis.compress.qat_training import count_wrong, evaluate_quantized
from analysis.compress.rate_penalty import BoundPenalty, score
from training.data.image_set import ImageSet
from training.data.input_map import InputMap

_GRADIENT_BATCH = 2048
_RECOUNT = 25  # changes kept

CountBits = Callable[[QATNetwork], float]


class Refinement:
    """Improves a network in levels in place, by single changes.

    It can be cut between any two of them and continues to the same levels from what `state` gave.

    Args:
        network: Its latents become integers.
        images: All m training images.
        inputs: What they are put through.
        count_bits: B of a network, by the real code, as the bound counts it.
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
        self.num_tried, self.num_kept, self.num_errors, self.bits = 0, 0, 0, 0.0
        tops = network.tops
        self._kept = network.values.detach().round().clamp(-tops, tops)
        # What the round began with, by which changes are ranked, and how many of them it has seen.
        self._ranked_at, self._position = self._kept.clone(), 0
        self._was_begun = False
        self._layers = network.layer_names()

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
            self.num_errors = self._count_all()
            self.bits = self._count_bits(self._network)
            self._was_begun = True
        while self.num_tried < self._num_trials:
            values.copy_(self._ranked_at)
            self._run_round()
            if torch.equal(self._kept, self._ranked_at):
                break
            self._ranked_at, self._position = self._kept.clone(), 0
        values.copy_(self._kept)
        self.num_errors = self._count_all()

    def _run_round(self) -> None:
        """Try the changes of the network as it is at the round's start, from the position on."""
        network, labels = self._network, self._images.labels
        levels, tops = network.values, network.tops
        logits = self._evaluate()
        close = CloseImages(network, logits, self._images, self._inputs)
        first = network.spec.layers[0].name
        ranked = self._rank_changes(close, count_wrong(logits, labels))
        levels.copy_(self._kept)
        errors_close = close.count_wrong(network, first)
        close.keep()
        best = self._score(self.num_errors, self.bits)
        for index, change in ranked[self._position :]:
            if self.num_tried == self._num_trials:
                return
            self._on_batch()
            if abs(float(levels[index]) + change) <= float(tops[index]):
                levels[index] += change
                wrong_close = close.count_wrong(network, self._layers[index])
                bits = self._count_bits(network)
                errors = max(self.num_errors + wrong_close - errors_close, 0)
                if self._score(errors, bits) < best:
                    if (self.num_kept + 1) % _RECOUNT == 0:
                        errors = self._count_all()
                    self._kept[index] += change
                    self.num_kept += 1
                    close.keep()
                    self.num_errors, self.bits, errors_close = errors, bits, wrong_close
                    best = self._score(errors, bits)
                else:
                    levels[index] -= change
                self.num_tried += 1
                self._on_trial(self.num_tried, self._num_trials)
            self._position += 1

    def _count_all(self) -> int:
        return count_wrong(self._evaluate(), self._images.labels)

    def _evaluate(self) -> Tensor:
        return evaluate_quantized(
            self._network, self._images, self._inputs, on_batch=self._on_batch
        )

    def _score(self, errors: int, bits: float) -> float:
        return score(errors, len(self._images), bits, self._delta)

    def _rank_changes(self, close: CloseImages, num_errors: int) -> list[tuple[int, int]]:
        """All changes to a neighbouring level, by what the loss and the lengths promise."""
        network, num_samples = self._network, len(self._images)
        with torch.enable_grad():
            network.zero_grad()
            loss_sum = 0.0
            for batch, own in zip(
                torch.split(close.inputs, _GRADIENT_BATCH),
                torch.split(close.labels, _GRADIENT_BATCH),
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
