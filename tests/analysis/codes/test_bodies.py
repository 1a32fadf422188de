"""Lengths of the plain and the enumerative code by their formulas; what their decoders refuse."""

import math
from collections import Counter

import numpy as np
import pytest
import torch

from analysis.bounds.lengths import plain_length
from analysis.codes.arithmetic_coder import ArithmeticCoder
from analysis.codes.bodies import BODIES
from analysis.codes.codebooks import code_codebook, make_codebook
from analysis.codes.elias import delta_bits
from analysis.codes.errors import CodecError
from analysis.codes.header import CODES
from analysis.codes.ledger import Ledger
from analysis.codes.message import NetworkMessage, TensorListSpec
from analysis.codes.network_code import encode_network
from analysis.codes.work import Work
from analysis.quantize.formats import FORMATS

E4M3 = FORMATS["e4m3fn"]
NAMES = ["s-conv", "s-local", "s-fc", "3-fc", "resnet18"]


def read(code: str, data: bytes, *shape: int):
    work = Work(
        coder=ArithmeticCoder(data),
        spec=TensorListSpec((("a", shape),)),
        number_format=E4M3,
        state=None,
        ledger=Ledger(),
    )
    return BODIES[code](work)


def test_every_code_has_a_body() -> None:
    assert set(BODIES) == set(CODES)


@pytest.mark.parametrize("format_name", FORMATS)
@pytest.mark.parametrize("name", NAMES)
def test_plain_is_b_bits_a_number(small_spec, random_message, name: str, format_name: str) -> None:
    message = random_message(small_spec(name), format_name=format_name, density=0.5)
    codeword = encode_network(message, "plain")
    n = sum(tensor.numel() for tensor in message.state.values())
    expected = plain_length(n, message.number_format.bits_per_weight).whole_bits
    assert codeword.num_bits == codeword.ledger.entries[0].bits + expected
    for entry in codeword.ledger.entries[1:-1]:
        size = message.state[entry.tensor].numel()
        assert entry.bits == size * message.number_format.bits_per_weight


@pytest.mark.parametrize("num_levels", [2, None])
@pytest.mark.parametrize("name", NAMES)
def test_enumerative_is_its_formula(
    small_spec, random_message, name: str, num_levels: int | None
) -> None:
    """1 + δ(k) + the set of values + Σ (log2(n + 1) + log2 C(n, ‖w‖₀) + ‖w‖₀ log2 k)."""
    message = random_message(
        small_spec(name), format_name="e4m3fn", density=0.2, num_levels=num_levels
    )
    codeword = encode_network(message, "enumerative")
    numbers = np.concatenate([tensor.numpy().ravel() for tensor in message.state.values()])
    patterns = E4M3.codes(torch.from_numpy(np.unique(numbers[numbers != 0]))).tolist()
    k = len(patterns)
    expected = 1.0 + len(delta_bits(k))
    for length in range(8):
        prefixes = Counter(pattern >> (8 - length) for pattern in patterns)
        expected += sum(math.log2(count + 1) for count in prefixes.values())
    assert codeword.ledger.by_part()["codebook"] == pytest.approx(expected, abs=1e-6)
    for tensor_name, tensor in message.state.items():
        n, nonzeros = tensor.numel(), int(np.count_nonzero(tensor))
        bits = math.log2(n + 1) + math.log2(math.comb(n, nonzeros)) + nonzeros * math.log2(k)
        assert codeword.ledger.by_tensor()[tensor_name] == pytest.approx(bits, abs=1e-5)
        expected += bits
    head = codeword.ledger.entries[0].bits
    assert head + expected - 1e-4 <= codeword.num_bits <= head + expected + 2


def test_enumerative_without_any_nonzero() -> None:
    spec = TensorListSpec((("a", (3, 5)), ("b", ())))
    state = {"a": torch.zeros(3, 5), "b": torch.tensor(0.0)}
    message = NetworkMessage(spec=spec, number_format=E4M3, state=state)
    codeword = encode_network(message, "enumerative")
    head = codeword.ledger.entries[0].bits
    assert codeword.num_bits <= head + 1 + math.log2(16) + math.log2(2) + 2


def test_plain_patterns_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(CodecError, match="not a number"):
        read("plain", b"\x38\x7f\x38", 3)
    with pytest.raises(CodecError, match="negative zero"):
        read("plain", b"\x38\x80\x38", 3)
    assert read("plain", b"\x38\x00\xb8", 3)["a"].tolist() == [1, 0, -1]


def test_nonzeros_without_values_are_refused() -> None:
    coder = ArithmeticCoder()
    coder.uniform(0, 2)
    coder.uniform(3, 4)
    with pytest.raises(CodecError, match="without values"):
        read("enumerative", coder.finish()[0] + bytes(9), 3)


def test_a_codebook_that_holds_zero_is_refused() -> None:
    coder = ArithmeticCoder()
    coder.uniform(1, 2)
    code_codebook(coder, make_codebook(np.array([0, 0x38]), E4M3), E4M3)
    with pytest.raises(CodecError, match="whose value is zero"):
        read("enumerative", coder.finish()[0] + bytes(9), 3)
