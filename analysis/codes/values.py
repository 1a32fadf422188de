"""The values of a tensor's nonzeros: through a codebook, or as adaptive bit patterns.

A codebook is k values of b bits, a set of patterns kept by value: negative ones from the smallest
up, then the others. It is written as a multiset, so its order costs nothing. Later tensors may use
an earlier one again.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from analysis.codes.arithmetic_coder import ArithmeticCoder, CodecError, counted_table
from analysis.codes.grid import Grid
from analysis.codes.kernels.range_kernel import MAX_TOTAL
from analysis.codes.kernels.value_kernel import NUM_SIGN_CONTEXTS
from analysis.codes.matrix import Ints, Numbers, make_values
from analysis.codes.support import plane_marks

Support = tuple[Grid, Ints, Ints]
"""Layout, row_starts, columns: where the nonzeros of a tensor are."""
Mode = Literal["new", "shared", "patterns"]
Choice = tuple[Mode, int]

_MODES: tuple[Mode, ...] = ("new", "shared", "patterns")
_TREE_BITS = 12
_TRIED_EXACTLY = 1 << 18


@dataclass(frozen=True, eq=False)
class Codebook:
    """Values that weights share.

    Attributes:
        patterns: int64 (k,), in the order of their values.
        num_negative: How many stand for values below zero; they come first.
    """

    patterns: Ints
    num_negative: int

    @property
    def num_values(self) -> int:
        """K."""
        return len(self.patterns)

    @property
    def tree_bits(self) -> Ints:
        """Bits of an index among the negative and among the other values; -1 where none is."""
        groups = (self.num_negative, self.num_values - self.num_negative)
        return np.array([(count - 1).bit_length() if count else -1 for count in groups])

    def holds(self, patterns: Ints) -> bool:
        """Whether every one of these distinct patterns is in it."""
        return bool(np.isin(patterns, self.patterns).all())

    def symbols(self, patterns: Ints) -> Ints:
        """The index in the codebook of each pattern, all of which it holds."""
        order = np.argsort(self.patterns)
        return order[np.searchsorted(self.patterns[order], patterns)].astype(np.int64, copy=False)


def make_codebook(patterns: Ints, number_format: Numbers) -> Codebook:
    """The codebook of the distinct ones among these patterns.

    Raises:
        CodecError: A pattern that is no number.
    """
    distinct = np.unique(patterns)
    values = make_values(distinct, number_format).numpy()
    order = np.argsort(values, kind="stable")
    return Codebook(distinct[order], int(np.count_nonzero(values < 0)))


def code_codebook(
    coder: ArithmeticCoder, codebook: Codebook | None, number_format: Numbers
) -> Codebook:
    """Code a codebook: k by the δ code, then its values as a set.

    Raises:
        CodecError: Decoding, and the values are not k distinct numbers of the set.
    """
    bits = number_format.bits_per_weight
    num_values = coder.integer(1 if codebook is None else codebook.num_values)
    if num_values > min(1 << bits, MAX_TOTAL - 1):
        raise CodecError(f"damaged: {num_values} values of {bits} bits")
    own = [] if codebook is None else [int(pattern) for pattern in codebook.patterns]
    found = code_multiset(coder, own, num_values, bits, distinct=True)
    return make_codebook(np.array(found, dtype=np.int64), number_format)


def code_multiset(
    coder: ArithmeticCoder,
    patterns: list[int],
    num_patterns: int,
    num_bits: int,
    *,
    distinct: bool = False,
) -> list[int]:
    """Code numbers of `num_bits` bits as a multiset; returns them in ascending order.

    The patterns of b bits form a tree. At each node that holds N of the numbers, how many go left
    is coded as one of N + 1 equally likely counts. That is as long as coding the numbers one after
    another by Laplace's rule, less the log2(N! / (n1! n2! ...)) bits of their order.

    Args:
        coder: Writes or reads.
        patterns: The numbers, in any order; ignored when decoding.
        num_patterns: How many there are; the decoder must know it.
        num_bits: Bits of each, in 1..32.
        distinct: Whether no number may occur twice.

    Raises:
        CodecError: Decoding, and a number occurs twice although none may.
    """
    found: list[int] = []
    waiting = [(0, num_bits, num_patterns, sorted(patterns))]
    while waiting:
        prefix, bits_left, count, members = waiting.pop()
        if count == 0:
            continue
        if distinct and count > 1 << bits_left:
            raise CodecError("damaged: a set that lists a number twice")
        if bits_left == 0:
            found += [prefix] * count
            continue
        middle = ((2 * prefix) | 1) << (bits_left - 1)
        left = [member for member in members if member < middle]
        num_left = coder.uniform(len(left), count + 1)
        right = members[len(left) :]
        waiting.append((2 * prefix + 1, bits_left - 1, count - num_left, right))
        waiting.append((2 * prefix, bits_left - 1, num_left, left))
    return found


class ValueCoder:
    """Codes the values of one tensor after another, and remembers their codebooks.

    Args:
        coder: Writes or reads.
        number_format: The set, such as R_b.

    Attributes:
        codebooks: Those written so far.
        mode: How the last tensor's values were coded: by a "new" or a "shared" codebook, or as
            "patterns".
        codebook_bits: Bits of the last tensor's codebook, the choice of it included.
    """

    def __init__(self, coder: ArithmeticCoder, number_format: Numbers) -> None:
        self.coder = coder
        self.number_format = number_format
        self.codebooks: list[Codebook] = []
        self.mode = ""
        self.codebook_bits = 0.0

    def code(self, support: Support, patterns: Ints | None) -> Ints:
        """Code the patterns of a tensor's nonzeros, whose places are known already.

        Args:
            support: Layout of the tensor, where each row's nonzeros start, and their columns.
            patterns: Their bit patterns; None when decoding.
        """
        self.codebook_bits = 0.0
        columns = support[2]
        if not len(columns):
            return np.zeros(0, dtype=np.int64)
        start = self.coder.information
        choice = None if patterns is None else self._choose(support, patterns)
        mode = _MODES[self.coder.uniform(_MODES.index(choice[0]) if choice else 0, len(_MODES))]
        self.mode = mode
        if mode == "patterns":
            found = np.zeros(len(columns), dtype=np.int64) if patterns is None else patterns
            code_patterns(self.coder, found, self.number_format.bits_per_weight)
            return found
        codebook = self._code_choice(mode, choice, patterns)
        symbols = np.zeros(len(columns), dtype=np.int64)
        if patterns is not None:
            symbols = codebook.symbols(patterns)
        in_context = self.coder.uniform(
            0 if patterns is None else self._pays_context(support, codebook, symbols), 2
        )
        self.codebook_bits = self.coder.information - start
        _code_symbols(self.coder, support, codebook, symbols, in_context)
        if symbols.max() >= codebook.num_values:
            raise CodecError("damaged: a value that its codebook does not have")
        return codebook.patterns[symbols]

    def _code_choice(self, mode: str, choice: Choice | None, patterns: Ints | None) -> Codebook:
        if mode == "new":
            own = None if patterns is None else make_codebook(patterns, self.number_format)
            codebook = code_codebook(self.coder, own, self.number_format)
            self.codebooks.append(codebook)
            return codebook
        if not self.codebooks:
            raise CodecError("damaged: it shares a codebook before there is one")
        index = self.coder.uniform(choice[1] if choice else 0, len(self.codebooks))
        return self.codebooks[index]

    def _choose(self, support: Support, patterns: Ints) -> Choice:
        """The way that takes the fewest bits, tried or, for many values, estimated."""
        distinct, counts = np.unique(patterns, return_counts=True)
        choices: list[Choice] = [("new", 0)]
        choices += [
            ("shared", index) for index, each in enumerate(self.codebooks) if each.holds(distinct)
        ]
        if len(patterns) > _TRIED_EXACTLY:
            if self._estimate_patterns(patterns) < self._estimate_codebook(counts):
                return ("patterns", 0)
            return choices[-1]
        choices.append(("patterns", 0))

        def cost(choice: Choice) -> float:
            trial = self.coder.fork()
            if choice[0] == "patterns":
                code_patterns(trial, patterns.copy(), self.number_format.bits_per_weight)
                return trial.information
            if choice[0] == "new":
                codebook = make_codebook(patterns, self.number_format)
                code_codebook(trial, codebook, self.number_format)
            else:
                codebook = self.codebooks[choice[1]]
                trial.uniform(choice[1], len(self.codebooks))
            symbols = codebook.symbols(patterns)
            _code_symbols(trial, support, codebook, symbols, 0)
            return trial.information

        return min(choices, key=cost)

    def _pays_context(self, support: Support, codebook: Codebook, symbols: Ints) -> int:
        """1 if signs are better coded in the context of those around them."""
        if not support[0].has_image or len(symbols) > _TRIED_EXACTLY or min(codebook.tree_bits) < 0:
            return 0

        def cost(in_context: int) -> float:
            trial = self.coder.fork()
            _code_symbols(trial, support, codebook, symbols, in_context)
            return trial.information

        return min((0, 1), key=cost)

    def _estimate_codebook(self, counts: Ints) -> float:
        """Entropy of the symbols, what it takes to learn it, and the codebook as a set."""
        num, k = int(counts.sum()), len(counts)
        room = 1 << self.number_format.bits_per_weight
        learning = 0.5 * k * np.log2(max(num / k, 2))
        return float(_entropy_bits(counts) + learning + k * (np.log2(room / k) + 1.5))

    def _estimate_patterns(self, patterns: Ints) -> float:
        plain = max(self.number_format.bits_per_weight - _TREE_BITS, 0)
        _, counts = np.unique(patterns >> plain, return_counts=True)
        learning = 0.5 * len(counts) * np.log2(max(len(patterns) / len(counts), 2))
        return float(_entropy_bits(counts) + learning + plain * len(patterns))


def code_patterns(coder: ArithmeticCoder, patterns: Ints, bits_per_weight: int) -> None:
    """Code patterns of b bits, the first twelve bits adaptive; filled in place when decoding."""
    tree_bits = min(bits_per_weight, _TREE_BITS)
    table = counted_table(1 << tree_bits)

    def step(state: Any, data: Any, first: int) -> int:
        kernel = coder.kernels.code_patterns
        return int(
            kernel(state, data, table, tree_bits, bits_per_weight - tree_bits, patterns, first)
        )

    coder.run(step, 0, len(patterns), room=lambda first: None)


def _code_symbols(
    coder: ArithmeticCoder, support: Support, codebook: Codebook, symbols: Ints, in_context: int
) -> None:
    grid, row_starts, columns = support
    layout, tree_bits = grid.as_array(), codebook.tree_bits
    signs = counted_table(NUM_SIGN_CONTEXTS)
    trees = counted_table(sum(1 << int(bits) for bits in tree_bits if bits >= 0))
    marks = plane_marks(grid)

    def step(state: Any, data: Any, first: int) -> int:
        return int(
            coder.kernels.code_symbols(
                state,
                data,
                layout,
                in_context,
                codebook.num_negative,
                tree_bits,
                signs,
                trees,
                row_starts,
                columns,
                symbols,
                first,
                marks,
            )
        )

    coder.run(step, 0, grid.num_rows, room=lambda first: None)


def _entropy_bits(counts: Ints) -> float:
    total = counts.sum()
    return float((counts * np.log2(total / counts)).sum())
