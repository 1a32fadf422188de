"""Right and wrong answers to a number of test images, made up."""

import numpy as np

from analysis.bounds.bounds import ErrorCount
from mdl.experiments.store.run_result import pack_answers


def answers_with(count: ErrorCount, *, seed: int = 0) -> str:
    """The errors of `count` at random places, packed."""
    right = np.arange(count.num_samples) >= count.num_errors
    return pack_answers(np.random.default_rng(seed).permutation(right))


def fits_a_screen(text: str) -> bool:
    """Whether a terminal of 24 lines of 80 columns shows it all."""
    return sum(max(1, -(-len(line) // 80)) for line in text.splitlines()) <= 24
