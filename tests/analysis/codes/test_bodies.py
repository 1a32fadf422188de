"""Lengths of the bodies by their formulas, field by field; what their decoders refuse."""

import math
from collections import Counter, defaultdict

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from analysis.bounds.lengths import index_bits, plain_length, theorem_2_length
from analysis.codes import CODES
from analysis.codes.arithmetic_coder import ArithmeticCoder, CodecError, delta_bits
from analysis.codes.bodies import BODIES, Body, code_theorem_2
from analysis.codes.ledger import Ledger
from analysis.codes.message import NetworkMessage, TensorListSpec
from analysis.codes.network_code import decode_network, encode_network
from analysis.codes.values import code_codebook, make_codebook
from analysis.quantize.formats import FORMATS

E4M3 = FORMATS["e4m3fn"]
NAMES = ["s-conv", "s-local", "s-fc", "3-fc", "resnet18"]
SPEC = TensorListSpec((("a", (2, 3)), ("b", (2,))))
NUMBERS = st.sampled_from([0.0, 1.0, -1.0, 2.0, 0.5, 448.0])


def read(code: str, data: bytes, *shape: int):
    body = Body(
        coder=ArithmeticCoder(data),
        spec=TensorListSpec((("a", shape),)),
        shapes={"a": shape},
        number_format=E4M3,
        state=None,
        ledger=Ledger(),
    )
    return BODIES[code](body)


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
    found: dict[str, float] = defaultdict(float)
    for entry in codeword.ledger.entries:
        found[entry.tensor] += entry.bits
    assert found["all tensors"] == pytest.approx(expected, abs=1e-6)
    for tensor_name, tensor in message.state.items():
        n, nonzeros = tensor.numel(), int(np.count_nonzero(tensor))
        bits = math.log2(n + 1) + math.log2(math.comb(n, nonzeros)) + nonzeros * math.log2(k)
        assert found[tensor_name] == pytest.approx(bits, abs=1e-5)
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


def body_of(state, data: bytes | None = None) -> Body:
    return Body(
        coder=ArithmeticCoder(data),
        spec=SPEC,
        shapes=dict(SPEC.shapes),
        number_format=E4M3,
        state=state,
        ledger=Ledger(),
    )


def counts(message: NetworkMessage) -> tuple[int, int, int, int]:
    """n, ‖w‖₀, k and b, from the tensors alone."""
    numbers = np.concatenate([tensor.numpy().ravel() for tensor in message.state.values()])
    return (
        len(numbers),
        int(np.count_nonzero(numbers)),
        len(set(numbers.tolist())),
        message.number_format.bits_per_weight,
    )


@pytest.mark.parametrize("name", ["s-conv", "s-local", "s-fc", "d-conv", "3-fc", "resnet18"])
@pytest.mark.parametrize(
    "fields",
    [
        {"format_name": "bfloat16", "density": 0.1},
        {"format_name": "e4m3fn", "density": 0.3, "num_levels": 3},
        {"format_name": "float32"},
    ],
)
def test_length_is_the_formula_term_by_term(small_spec, random_message, name, fields) -> None:
    message = random_message(small_spec(name), **fields)
    codeword = encode_network(message, "theorem-2")
    formula = theorem_2_length(*counts(message))
    head, *terms, end = codeword.ledger.entries
    assert codeword.num_bits == head.bits + formula.whole_bits
    assert [(term.part, term.bits) for term in terms] == [
        (term.name, term.whole_bits) for term in formula.terms
    ]
    assert (head.tensor, end.bits) == ("head", 0)


@given(st.lists(NUMBERS, min_size=8, max_size=8))
def test_length_of_any_tensors(numbers: list[float]) -> None:
    state = {"a": torch.tensor(numbers[:6]).view(2, 3), "b": torch.tensor(numbers[6:])}
    message = NetworkMessage(spec=SPEC, number_format=E4M3, state=state)
    codeword = encode_network(message, "theorem-2")
    expected = theorem_2_length(*counts(message)).whole_bits
    assert codeword.num_bits - codeword.ledger.entries[0].bits == expected
    assert decode_network(codeword.data).message.same_as(message)


def test_fields_stand_where_the_proof_has_them() -> None:
    """n = 8, b = 8: k - 1, the values, ‖w‖₀, k - 1 again, indices of 3 bits, symbols of 2."""
    state = {"a": torch.tensor([[0, 1, 0], [0, -1.0, 0]]), "b": torch.tensor([0, 1.0])}
    work = body_of(state)
    code_theorem_2(work)
    fields = [(2, 3), (0, 8), (0x38, 8), (0xB8, 8), (3, 4), (2, 3), (1, 3), (4, 3), (7, 3)]
    fields += [(1, 2), (2, 2), (1, 2)]
    expected = "".join(f"{value:0{width}b}" for value, width in fields)
    data, num_bits = work.coder.finish()
    assert "".join(f"{byte:08b}" for byte in data)[:num_bits] == expected


def forge(k: int, values: list[int], nonzeros: int, again: int, *lists: list[int]) -> bytes:
    places, symbols = lists or ([], [])
    coder = ArithmeticCoder()
    coder.bits(k - 1, 3)
    for value in values:
        coder.bits(value, 8)
    coder.bits(nonzeros, 4)
    coder.bits(again - 1, 3)
    for place in places:
        coder.bits(place, 3)
    for symbol in symbols:
        coder.bits(symbol, index_bits(k))
    return coder.finish()[0]


def test_a_forged_description_that_is_good_is_read() -> None:
    work = body_of(None, forge(2, [0, 0x38], 2, 2, [1, 7], [1, 1]))
    found = code_theorem_2(work)
    assert found["a"].tolist() == [[0, 1, 0], [0, 0, 0]]
    assert found["b"].tolist() == [0, 1]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ((2, [5, 5], 2, 2), "do not ascend"),
        ((2, [0x38, 0], 2, 2), "do not ascend"),
        ((2, [0, 0x38], 9, 2), "number of nonzeros"),
        ((2, [1, 0x38], 2, 2, [1, 7], [1, 1]), "number of nonzeros"),  # no zero among the values
        ((2, [0, 0x38], 2, 3, [1, 7], [1, 1]), "twice, and not the same"),
        ((2, [0, 0x38], 2, 2, [7, 1], [1, 1]), "indices that do not ascend"),
        ((2, [0, 0x38], 2, 2, [1, 1], [1, 1]), "indices that do not ascend"),
        ((2, [0, 0x38], 2, 2, [1, 7], [0, 1]), "without a value of its own"),
        ((3, [0, 0x38, 0x40], 2, 3, [1, 7], [1, 3]), "without a value of its own"),
        ((2, [0, 0x7F], 2, 2, [1, 7], [1, 1]), "not a number"),
        ((2, [0, 0x80], 2, 2, [1, 7], [1, 1]), "negative zero"),
        ((8, [0, 1], 0, 1), "cut short"),
    ],
)
def test_fields_that_do_not_fit_are_refused(fields, message: str) -> None:
    with pytest.raises(CodecError, match=message):
        work = body_of(None, forge(*fields))
        code_theorem_2(work)
        work.coder.finish()


def test_more_values_than_patterns_are_refused() -> None:
    spec = TensorListSpec((("a", (1000,)),))
    coder = ArithmeticCoder()
    coder.bits(600, 10)
    work = Body(
        coder=ArithmeticCoder(coder.finish()[0] + bytes(900)),
        spec=spec,
        shapes=dict(spec.shapes),
        number_format=E4M3,
        state=None,
        ledger=Ledger(),
    )
    with pytest.raises(CodecError, match="601 values among 1000 numbers"):
        code_theorem_2(work)
