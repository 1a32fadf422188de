"""How often bounds with a prior fail, simulated: all kinds hold, and one variant each does not.

The language is real: the lengths of all vectors of three numbers in -1, 0, 1, relative to each
other, by the encoder. Every classifier is wrong half of the time, so a bound below 1/2 fails.
"""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.stats import binomtest

from analysis.bounds.bounds import binomial_tail
from analysis.codes.bit_file import decoded_codeword
from analysis.codes.message import NetworkMessage, TensorListSpec
from analysis.codes.network_code import encode_network
from analysis.quantize.formats import find_format

DELTA, SURE = 0.1, 1e-6
TRUE_ERROR = 0.5
NUM_DRAWS = 3000
M, REST = 200, 60


@pytest.fixture(scope="module")
def lengths() -> np.ndarray:
    """Bits of network w, in column w, with the prior of row p."""
    spec = TensorListSpec((("w", (3,)),))
    messages = [
        NetworkMessage(spec=spec, number_format=find_format(8), state={"w": torch.tensor(values)})
        for values in itertools.product((-1.0, 0.0, 1.0), repeat=3)
    ]
    priors = [decoded_codeword(message) for message in messages]
    found = np.array(
        [[encode_network(each, prior=own).num_bits for each in messages] for own in priors]
    )
    assert (np.diag(found) == 3).all()
    assert (2.0**-found).sum(axis=1).max() <= 1
    return found


def quoted(errors: np.ndarray, bits: np.ndarray, num_samples: int) -> np.ndarray:
    """The least bound over all networks: errors and bits are (draws, networks)."""
    table = {
        int(length): np.array(
            [binomial_tail(e, num_samples, float(length), DELTA) for e in range(num_samples + 1)]
        )
        for length in np.unique(bits)
    }
    found = np.empty(errors.shape)
    for length, values in table.items():
        same = bits == length
        found[same] = values[errors[same]]
    return found.min(axis=1)


def fails_too_often(bounds: np.ndarray) -> bool:
    failures = int((bounds < TRUE_ERROR).sum())
    return bool(binomtest(failures, len(bounds), DELTA, alternative="greater").pvalue < SURE)


@pytest.fixture(scope="module")
def counts(lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Errors of every network on S0 and on the rest, (draws, networks)."""
    rng = np.random.default_rng(0)
    shape = (NUM_DRAWS, len(lengths))
    return rng.binomial(M - REST, TRUE_ERROR, shape), rng.binomial(REST, TRUE_ERROR, shape)


def test_a_prior_that_is_fixed_before_the_data_holds(lengths, counts) -> None:
    errors = counts[0] + counts[1]
    for fixed in (0, 13):
        bits = np.broadcast_to(lengths[fixed], errors.shape)
        assert not fails_too_often(quoted(errors, bits, M))


def test_a_prior_of_the_same_data_counted_as_independent_fails(lengths, counts) -> None:
    errors = counts[0] + counts[1]
    best = errors.argmin(axis=1)
    assert fails_too_often(quoted(errors, lengths[best], M))


def test_a_prior_chosen_among_some_costs_the_bits_of_the_choice(lengths, counts) -> None:
    errors = counts[0] + counts[1]
    best = errors.argmin(axis=1)
    paid = np.ceil(lengths[best] + math.log2(len(lengths)))
    assert not fails_too_often(quoted(errors, paid, M))


def test_a_prior_of_one_part_holds_on_the_other_part_alone(lengths, counts) -> None:
    """Whatever S0 chose, and whatever the rest then chooses among all networks near it."""
    best = counts[0].argmin(axis=1)
    assert not fails_too_often(quoted(counts[1], lengths[best], REST))
    assert fails_too_often(quoted(counts[0] + counts[1], lengths[best], M))  # S0 counted too


def test_with_or_without_the_prior_is_one_language(lengths, counts) -> None:
    """Each form on its own samples: the plain one on all, the relative one on the rest."""
    plain = np.ceil(np.log2(len(lengths))) + 1  # one bit says that it is plain
    best = counts[0].argmin(axis=1)
    relative = quoted(counts[1], lengths[best] + 1, REST)
    whole = counts[0] + counts[1]
    both = np.minimum(relative, quoted(whole, np.full(whole.shape, plain), M))
    assert not fails_too_often(both)
    free = quoted(whole, np.full(whole.shape, plain - 4), M)
    assert fails_too_often(np.minimum(relative, free))
