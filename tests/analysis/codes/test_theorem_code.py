"""Theorem 2's code against the formula of `analysis.bounds.lengths`, and field by field."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from analysis.bounds.lengths import index_bits, theorem_2_length
from analysis.codes.arithmetic_coder import ArithmeticCoder
from analysis.codes.errors import CodecError
from analysis.codes.ledger import Ledger
from analysis.codes.message import NetworkMessage, TensorListSpec
from analysis.codes.network_code import decode_network, encode_network
from analysis.codes.theorem_code import code_theorem_2
from analysis.codes.work import Work
from analysis.quantize.formats import FORMATS

SPEC = TensorListSpec((("a", (2, 3)), ("b", (2,))))
E4M3 = FORMATS["e4m3fn"]


def work_on(state, data: bytes | None = None) -> Work:
    return Work(
        coder=ArithmeticCoder(data), spec=SPEC, number_format=E4M3, state=state, ledger=Ledger()
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


NUMBERS = st.sampled_from([0.0, 1.0, -1.0, 2.0, 0.5, 448.0])


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
    work = work_on(state)
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
    work = work_on(None, forge(2, [0, 0x38], 2, 2, [1, 7], [1, 1]))
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
        work = work_on(None, forge(*fields))
        code_theorem_2(work)
        work.coder.finish()


def test_more_values_than_patterns_are_refused() -> None:
    spec = TensorListSpec((("a", (1000,)),))
    coder = ArithmeticCoder()
    coder.bits(600, 10)
    work = Work(
        coder=ArithmeticCoder(coder.finish()[0] + bytes(900)),
        spec=spec,
        number_format=E4M3,
        state=None,
        ledger=Ledger(),
    )
    with pytest.raises(CodecError, match="601 values among 1000 numbers"):
        code_theorem_2(work)
