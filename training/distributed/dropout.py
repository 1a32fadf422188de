"""Dropout whose mask does not depend on how the batch is shared out among ranks."""

import torch
from torch import Tensor, nn

from training.distributed.ranks import BatchPart


class RanksDropout(nn.Module):
    """Draws the mask of the whole batch and takes this rank's rows of it.

    All ranks draw from generators in the same state. On a CPU the mask is the one that
    `torch.nn.functional.dropout` draws for the whole batch.

    Args:
        probability: Of dropping a value, in [0, 1).
        part: This rank's part of the batch.
    """

    def __init__(self, probability: float, part: BatchPart) -> None:
        super().__init__()
        self.probability, self.part = probability, part

    def forward(self, values: Tensor) -> Tensor:
        """Drop some values (rows, ...) and scale up the others, in train mode only."""
        if not self.training or self.probability == 0:
            return values
        kept = 1 - self.probability
        noise = torch.empty(
            (self.part.num_images, *values.shape[1:]), dtype=values.dtype, device=values.device
        ).bernoulli_(kept)
        return values * noise[self.part.rows].div_(kept)

    def extra_repr(self) -> str:
        """The probability and the part."""
        return f"{self.probability}, {self.part}"
