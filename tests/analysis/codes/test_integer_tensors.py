"""Tensors of integers in every code: the same integers come back, and lengths are those by hand."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from analysis.bounds.lengths import theorem_2_length
from analysis.codes.arithmetic_coder import ArithmeticCoder, CodecError
from analysis.codes.header import FORMAT_VERSION, code_header, make_header
from analysis.codes.message import NetworkMessage, TensorListSpec
from analysis.codes.network_code import decode_network, encode_network
from analysis.quantize.formats import FORMATS
from analysis.quantize.integers import IntegerFormat
from tests.data.make_golden_codes import INTEGERS, make_integers, make_message
from tests.examples import examples

CODES = ("plain", "theorem-2", "enumerative", "context")
FORMS = (
    IntegerFormat(stored="int8", bits_per_weight=8),
    IntegerFormat(stored="int8", bits_per_weight=3),
    IntegerFormat(stored="uint8", bits_per_weight=4, num_fields=2),
    IntegerFormat(stored="int32", bits_per_weight=32),
    IntegerFormat(stored="uint32", bits_per_weight=32),
    IntegerFormat(stored="int64", bits_per_weight=17),
    IntegerFormat(stored="bool", bits_per_weight=1),
)


@st.composite
def messages(draw: st.DrawFn) -> NetworkMessage:
    shapes, integers, state = [], [], {}
    for index in range(draw(st.integers(1, 4))):
        name = f"t{index}"
        form = draw(st.sampled_from(FORMS if index == 0 else (None, *FORMS)))
        shape = tuple(draw(st.lists(st.integers(1, 4), max_size=3)))
        if form is None:
            values = torch.randn(shape).to(torch.float8_e4m3fn).float() + 0.0
        else:
            shape += (form.num_fields,) if form.num_fields > 1 else ()
            last = form.smallest + 2**form.bits_per_weight - 1
            few = st.sampled_from([0, form.smallest, last, 1])
            room = draw(st.sampled_from([few, st.integers(form.smallest, last)]))
            count = math.prod(shape)
            numbers = draw(st.lists(room, min_size=count, max_size=count))
            values = torch.tensor(numbers, dtype=form.dtype).view(shape)
            integers.append((name, form))
        shapes.append((name, shape))
        state[name] = values
    spec = TensorListSpec(tuple(shapes), tuple(integers))
    return NetworkMessage(spec=spec, number_format=FORMATS["e4m3fn"], state=state)


@given(messages(), st.sampled_from(CODES), st.binary(max_size=3))
@examples(2)
def test_the_same_integers_come_back(message: NetworkMessage, code: str, behind: bytes) -> None:
    codeword = encode_network(message, code)
    decoded = decode_network(codeword.data + behind)
    assert decoded.num_bits == codeword.num_bits
    assert decoded.message.same_as(message)
    for name, tensor in message.state.items():
        assert decoded.message.state[name].dtype == tensor.dtype


@pytest.mark.parametrize("code", CODES)
def test_plain_python_writes_the_same(code: str) -> None:
    message = make_message(INTEGERS, "bfloat16", make_integers(INTEGERS))
    codeword = encode_network(message, code)
    assert encode_network(message, code, compiled=False).data == codeword.data
    assert decode_network(codeword.data, compiled=False).message.same_as(message)


def test_lengths_are_those_of_the_sets_one_by_one() -> None:
    message = make_message(INTEGERS, "bfloat16", make_integers(INTEGERS))
    parts = [(16, ["scale"]), (4, ["words"]), (8, ["weight", "zero"]), (1, ["mask"])]
    plain = theorem_2 = 0
    for bits, names in parts:
        numbers = torch.cat([message.state[name].flatten().float() for name in names])
        n, k = len(numbers), len(numbers.unique())
        plain += n * bits
        theorem_2 += theorem_2_length(n, int(numbers.count_nonzero()), k, bits).whole_bits
    for code, expected in (("plain", plain), ("theorem-2", theorem_2)):
        codeword = encode_network(message, code)
        body = sum(
            each.bits for each in codeword.ledger.entries if each.tensor not in ("head", "end")
        )
        assert body == pytest.approx(expected)


def test_a_skewed_distribution_comes_near_its_entropy() -> None:
    form = IntegerFormat(stored="int32", bits_per_weight=4, num_fields=8)
    torch.manual_seed(0)
    shape = (40, 50, 8)
    fields = torch.randn(shape).mul(1.5).add(8).round().clamp(0, 15).to(torch.uint8)
    spec = TensorListSpec((("q", shape),), (("q", form),))
    message = NetworkMessage(spec=spec, number_format=FORMATS["bfloat16"], state={"q": fields})
    counts = fields.flatten().bincount().double()
    shares = counts[counts > 0] / counts.sum()
    entropy = float(-(shares * shares.log2()).sum()) * fields.numel()
    found = encode_network(message, "context").num_bits
    assert entropy < found < 1.02 * entropy + 200
    assert found < 0.75 * 4 * fields.numel()


def test_counts_know_integers_from_numbers() -> None:
    counts = make_message(INTEGERS, "bfloat16", make_integers(INTEGERS)).counts
    assert [row.name for row in counts.tensors] == [name for name, _ in INTEGERS.shapes]
    state = make_integers(INTEGERS)
    groups = (["scale"], ["words"], ["weight", "zero"], ["mask"])
    joined = [torch.cat([state[name].flatten() for name in group]) for group in groups]
    distinct = [each[each != 0].unique().numel() for each in joined]
    assert counts.total.num_distinct_nonzero == sum(distinct)
    assert counts.total.num_nonzeros == sum(int(each.count_nonzero()) for each in joined)


def test_what_has_no_integers_is_of_version_1() -> None:
    coder = ArithmeticCoder()
    spec = TensorListSpec((("a", (2,)),))
    message = NetworkMessage(spec=spec, number_format=FORMATS["e4m3fn"], state={"a": torch.ones(2)})
    code_header(coder, make_header(message, "plain"))
    assert ArithmeticCoder(coder.finish()[0]).integer(1) == 1
    newer = encode_network(make_message(INTEGERS, "bfloat16", make_integers(INTEGERS)))
    assert ArithmeticCoder(newer.data).integer(1) == FORMAT_VERSION == 2


def test_refuses_formats_that_no_encoder_writes() -> None:
    def forge(*numbers: int, choice: tuple[int, int]) -> bytes:
        coder = ArithmeticCoder()
        for number in (2, 1, 1, 1, 1, 1, 1, *numbers):  # one tensor, no name, no dimensions
            coder.integer(number)
        coder.uniform(*choice)
        return coder.finish()[0] + bytes(20)

    for data, words in (
        (forge(1, 10, 8, 1, choice=(1, 2)), "a choice that is none of int8"),
        (forge(1, 1, 33, 1, choice=(1, 2)), "33 bits of an integer are more than 32"),
        (forge(1, 1, 9, 1, choice=(1, 2)), "int8 has no 9 bits"),
        (forge(1, 1, 8, 1, choice=(0, 2)), "formats of integers that no tensor has"),
        (forge(1, 2, 4, 2, choice=(1, 2)), "last dimension is 2 fields"),
    ):
        with pytest.raises(CodecError, match=words):
            decode_network(data)
