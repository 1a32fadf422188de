"""What a bit costs in training errors, by the bound itself: the Lagrangian of compression.

To first order the bound changes by slope_bits · ΔB + slope_error · Δ(e/m), so a bit is worth
slope_bits / slope_error of training error. Training minimises cross-entropy, of which an error is
worth about as much as it has at present: loss / error.

Both are those of the batches of training, which with augmentation, and while the network still
learns, are higher than on the images as they are. What is asked of them stands it: loss / error is
a ratio of two numbers of the same batches, and the ratio of the slopes varies little with the
error (within 10% from 30% to 60% of errors at 10,000 bits on 50,000 images).
"""

from analysis.bounds.bounds import binomial_tail, chernoff_kl, occam_hoeffding

_BITS_STEP = 16
_ERROR_STEP = 1e-3
_SMALLEST_ERROR = 1e-3
_SAYS_NOTHING = 1 - 1e-9
_FEW_BITS_A_SAMPLE = 1 / 8
_MANY_ERRORS = 0.3


def penalty_of_a_bit(error: float, bits: float, num_samples: int, delta: float) -> float:
    """Fraction of training errors that one bit is worth at this point.

    By differences of the Chernoff-kl bound, which follows the binomial tail closely; where that is
    1 and flat, of Occam-Hoeffding's.

    Args:
        error: e/m, in [0, 1].
        bits: B >= 0.
        num_samples: m >= 1.
        delta: δ, in (0, 1).

    >>> 0.8e-5 < penalty_of_a_bit(0.02, 2000, 60_000, 0.05) < 1.1e-5
    True
    """
    errors = min(max(round(error * num_samples), 0), num_samples)
    more = min(max(errors + 1, round((error + _ERROR_STEP) * num_samples)), num_samples)
    function = chernoff_kl
    if more == errors or function(more, num_samples, bits + _BITS_STEP, delta) >= 1:
        function = occam_hoeffding
        more = errors + 1 if errors < num_samples else errors
    here = function(errors, num_samples, bits, delta)
    by_bits = (function(errors, num_samples, bits + _BITS_STEP, delta) - here) / _BITS_STEP
    if more == errors:
        return by_bits
    by_error = (function(more, num_samples, bits, delta) - here) * num_samples / (more - errors)
    return by_bits / by_error


class BoundPenalty:
    """λ of the rate penalty, nats of loss per bit, as `analysis.compress.qat_training` asks.

    Args:
        num_samples: m.
        delta: δ.
        factor: On λ, > 0. The loss falls more slowly than the errors where they are few,
            and the steps are too few to bring every latent to rest: 3 gave the best bounds.
    """

    def __init__(self, num_samples: int, delta: float, factor: float = 3.0) -> None:
        self.num_samples = num_samples
        self.delta = delta
        self.factor = factor

    def __call__(self, error: float, loss: float, bits: float) -> float:
        """Nats that a bit is worth.

        Far from a bound that says something the slopes say nothing either: there λ is taken
        as it will be nearer to it, at m/8 bits and 3/10 of errors at most.
        """
        near = min(bits, _FEW_BITS_A_SAMPLE * self.num_samples)
        worth = penalty_of_a_bit(min(error, _MANY_ERRORS), near, self.num_samples, self.delta)
        return self.factor * worth * loss / max(error, _SMALLEST_ERROR)


def score(num_errors: int, num_samples: int, bits: float, delta: float) -> float:
    """The binomial tail; where it is 1, Occam-Hoeffding's bound, which tells bad from worse."""
    bound = binomial_tail(num_errors, num_samples, bits, delta)
    return (
        bound
        if bound < _SAYS_NOTHING
        else max(1.0, occam_hoeffding(num_errors, num_samples, bits, delta))
    )
