"""The description in Theorem 2's proof, as bits: exactly `bounds.lengths.theorem_2_length` of them.

The k distinct values, zero among them if it occurs; ‖w‖₀; k again; then of each nonzero weight its
index among n and its value's index among k. All fields have fixed lengths, so every term of the
formula can be read off the string.
"""

import numpy as np

from analysis.bounds.lengths import index_bits
from analysis.codes.errors import CodecError
from analysis.codes.work import Ints, State, Work

_ALL = "all tensors"


def code_theorem_2(work: Work) -> State:
    """Write or read the description.

    Raises:
        CodecError: Decoding, and the fields do not fit together.
    """
    n = work.num_weights
    own = (
        None
        if work.state is None
        else np.concatenate([work.patterns(name) for name in work.shapes])
    )
    distinct = None if own is None else np.unique(own)
    with work.part(_ALL, "number of values"):
        count = 0 if distinct is None else len(distinct) - 1
        k = work.coder.bits(count, index_bits(n)) + 1
    if k > min(n, 1 << work.number_format.bits_per_weight):
        raise CodecError(f"damaged: {k} values among {n} numbers")
    values = np.zeros(k, dtype=np.int64) if distinct is None else distinct
    with work.part(_ALL, "values"):
        work.code_fields(values, 1 << work.number_format.bits_per_weight)
    if np.any(np.diff(values) <= 0):
        raise CodecError("damaged: values that do not ascend")
    places = np.zeros(0, dtype=np.int64) if own is None else np.flatnonzero(own)
    with work.part(_ALL, "number of nonzeros"):
        num_nonzeros = work.coder.bits(len(places), index_bits(n + 1))
    if num_nonzeros > n or (num_nonzeros < n and 0 not in values):
        raise CodecError("damaged: a number of nonzeros that these values do not allow")
    with work.part(_ALL, "number of values, in the map"):
        again = work.coder.bits(k - 1, index_bits(n)) + 1
    if again != k:
        raise CodecError("damaged: it gives the number of values twice, and not the same")
    places, symbols = _code_map(work, n, values, own, num_nonzeros)
    return work.spread(places, values[symbols])


def _code_map(
    work: Work, n: int, values: Ints, own: Ints | None, num_nonzeros: int
) -> tuple[Ints, Ints]:
    places, symbols = (np.zeros(num_nonzeros, dtype=np.int64) for _ in range(2))
    if own is not None:
        places = np.flatnonzero(own)
        symbols = np.searchsorted(values, own[places])
    with work.part(_ALL, "indices of the nonzeros"):
        work.code_fields(places, 1 << index_bits(n))
    if num_nonzeros and (places[-1] >= n or np.any(np.diff(places) <= 0)):
        raise CodecError("damaged: indices that do not ascend")
    with work.part(_ALL, "values of the nonzeros"):
        work.code_fields(symbols, 1 << index_bits(len(values)))
    if num_nonzeros and (symbols.max() >= len(values) or np.any(values[symbols] == 0)):
        raise CodecError("damaged: a nonzero without a value of its own")
    return places, symbols
