"""Whole networks: round trips in every code, exact lengths, and prefix-freeness by enumeration."""

import itertools
import math
from dataclasses import replace
from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from analysis.codes import CODES
from analysis.codes.arithmetic_coder import CodecError
from analysis.codes.checkpoint_message import checkpoint_message, message_checkpoint
from analysis.codes.message import NetworkMessage, TensorListSpec
from analysis.codes.network_code import Codeword, auto_codes, decode_network, encode_network
from analysis.quantize.formats import FORMATS, quantize_tensors
from training.data.input_map import InputMap
from training.errors import OutOfMemoryError
from training.spec.architectures import NETWORKS
from training.spec.normalization import Normalization

SINGLE = ("plain", "theorem-2", "enumerative", "context")
FORMAT_NAMES = list(FORMATS)
TINY = TensorListSpec((("w", (2, 2)), ("v", (2,))))


def check_round_trip(codeword: Codeword, message: NetworkMessage) -> None:
    """What is decoded is what was encoded, whatever follows, and B is what was consumed."""
    for behind in (b"", b"\xff" * 9, b"\x00\xa5"):
        found = decode_network(codeword.data + behind)
        assert found.message.same_as(message)
        assert list(found.message.state) == list(message.state)
        assert (found.data, found.num_bits) == (codeword.data, codeword.num_bits)
        assert found.code == codeword.code
        assert found.ledger.entries == codeword.ledger.entries
    assert len(codeword.data) == -(-codeword.num_bits // 8)
    padding = (1 << -codeword.num_bits % 8) - 1
    junk = codeword.data[:-1] + bytes([codeword.data[-1] | padding])
    assert decode_network(junk).data == codeword.data
    assert sum(each.bits for each in codeword.ledger.entries) == pytest.approx(
        codeword.num_bits, abs=1e-6
    )
    assert 0 <= codeword.ledger.entries[-1].bits <= 2


def flip(bits: str, place: int) -> str:
    return bits[:place] + "10"[int(bits[place])] + bits[place + 1 :]


def to_bytes(bits: str) -> bytes:
    return int(bits + "0" * (-len(bits) % 8), 2).to_bytes(-(-len(bits) // 8), "big")


@pytest.mark.sample(3)
@pytest.mark.parametrize("code", SINGLE)
@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_in_every_code(small_spec, random_message, name: str, code: str) -> None:
    number = NETWORKS.index(name) + SINGLE.index(code)
    message = random_message(
        small_spec(name, image_size=5 + number % 3, in_channels=1 + number % 3),
        format_name=FORMAT_NAMES[number % len(FORMAT_NAMES)],
        density=(1.0, 0.3, 0.02, 0.0)[number % 4],
        num_levels=(None, 2, 5)[number % 3],
        seed=number,
    )
    check_round_trip(encode_network(message, code), message)


@pytest.mark.sample(3)
@pytest.mark.parametrize("format_name", FORMAT_NAMES)
@pytest.mark.parametrize("code", SINGLE)
def test_every_format(small_spec, random_message, code: str, format_name: str) -> None:
    message = random_message(small_spec("s-local"), format_name=format_name, density=0.4)
    check_round_trip(encode_network(message, code), message)


@pytest.mark.parametrize("code", SINGLE)
def test_plain_python_writes_and_reads_the_same_bits(small_spec, random_message, code: str) -> None:
    message = random_message(
        small_spec("s-conv", image_size=4, in_channels=1), density=0.4, num_levels=3
    )
    plain = encode_network(message, code, compiled=False)
    assert plain.data == encode_network(message, code, compiled=True).data
    assert decode_network(plain.data, compiled=False).message.same_as(message)


def test_constants_from_data_and_a_seed(small_spec, random_message) -> None:
    own = Normalization(mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6), source="data")
    message = replace(random_message(small_spec("s-conv")), inputs=InputMap(own, 2**40))
    codeword = encode_network(message, "context")
    found = decode_network(codeword.data).message
    assert found.inputs == codeword.message.inputs
    assert found.inputs.permutation_seed == 2**40
    assert found.inputs.normalization.mean == pytest.approx(own.mean, rel=1e-7)
    check_round_trip(codeword, codeword.message)


NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
DIMENSIONS = st.lists(st.integers(1, 5), max_size=5).map(tuple)


@given(
    st.dictionaries(NAMES, DIMENSIONS, min_size=1, max_size=4),
    st.sampled_from(FORMAT_NAMES),
    st.sampled_from((*SINGLE, "auto")),
    st.integers(0, 2**31),
)
def test_external_tensors(shapes, format_name: str, code: str, seed: int) -> None:
    """Unicode names, scalars, up to five dimensions, anything sparse."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, shape in shapes.items():
        keep = torch.rand(shape, generator=generator) < (seed % 5) / 4
        state[name] = torch.randn(shape, generator=generator) * keep
    number_format = FORMATS[format_name]
    message = NetworkMessage(
        spec=TensorListSpec(tuple(shapes.items())),
        number_format=number_format,
        state=quantize_tensors(state, number_format),
    )
    check_round_trip(encode_network(message, code), message)


def tiny_messages() -> list[NetworkMessage]:
    """All networks of one 2 x 2 tensor and one of length 2 with values 0, 1 and -1."""
    return [
        NetworkMessage(
            spec=TINY,
            number_format=FORMATS["e4m3fn"],
            state={"w": torch.tensor(values[:4]).view(2, 2), "v": torch.tensor(values[4:])},
        )
        for values in itertools.product((0.0, 1.0, -1.0), repeat=6)
    ]


@pytest.mark.slow
def test_all_codewords_of_a_tiny_language_are_prefix_free(bit_string) -> None:
    """Of all four codes together: 4 x 729 strings, none of which begins another."""
    words = []
    for number, message in enumerate(tiny_messages()):
        lengths = []
        for code in SINGLE:
            codeword = encode_network(message, code)
            words.append(bit_string(codeword.data, codeword.num_bits))
            lengths.append(codeword.num_bits)
        if number % 7 == 0:
            assert encode_network(message).num_bits == min(lengths)
    assert len(set(words)) == 4 * 729
    words.sort()
    assert all(not after.startswith(word) for word, after in itertools.pairwise(words))
    assert sum(Fraction(1, 2 ** len(word)) for word in words) < 1


@pytest.mark.slow
def test_every_tiny_network_is_decoded() -> None:
    for number, message in enumerate(tiny_messages()):
        codeword = encode_network(message, SINGLE[number % 4])
        assert decode_network(codeword.data + b"\xff").message.same_as(message)


def test_what_is_accepted_depends_on_b_bits_only(bit_string) -> None:
    """Flip any bit: refused, or another codeword; never a string that is no codeword."""
    message = tiny_messages()[600]
    for code in SINGLE:
        codeword = encode_network(message, code)
        bits = bit_string(codeword.data, codeword.num_bits)
        for place in range(len(bits)):
            changed = flip(bits, place) + "0110" * 40
            try:
                found = decode_network(to_bytes(changed))
            except CodecError:
                continue
            own = bit_string(found.data, found.num_bits)
            assert changed.startswith(own)
            other = own + "1" * 80
            again = decode_network(to_bytes(other))
            assert (again.data, again.num_bits) == (found.data, found.num_bits)
            assert again.message.same_as(found.message)


@pytest.mark.sample(3)
@pytest.mark.parametrize("name", ["s-conv", "s-fc", "3-fc"])
@pytest.mark.parametrize("density", [0.0, 0.05, 1.0])
def test_auto_is_the_shortest_of_all(small_spec, random_message, name: str, density: float) -> None:
    message = random_message(small_spec(name, image_size=4), density=density, format_name="e4m3fn")
    tried = auto_codes(message)
    auto = encode_network(message)
    assert auto.num_bits == min(encode_network(message, code).num_bits for code in tried)
    assert auto.num_bits <= min(encode_network(message, code).num_bits for code in SINGLE)
    check_round_trip(auto, message)


def test_contexts_are_near_the_entropy_of_what_is_random(random_message, small_spec) -> None:
    """A tenth nonzero, two values of equal chance: n h(0.1) + ‖w‖₀ bits are the least."""
    message = random_message(small_spec("s-fc", image_size=16), density=0.1, format_name="e4m3fn")
    state = {
        name: tensor.sign() if tensor.dim() > 1 else tensor
        for name, tensor in message.state.items()
    }
    codeword = encode_network(replace(message, state=state), "context")
    n = sum(tensor.numel() for tensor in state.values() if tensor.dim() > 1)
    nonzeros = sum(int((tensor != 0).sum()) for tensor in state.values() if tensor.dim() > 1)
    share = nonzeros / n
    ideal = nonzeros - n * (share * math.log2(share) + (1 - share) * math.log2(1 - share))
    weights = sum(
        entry.bits for entry in codeword.ledger.entries if entry.tensor.endswith("weight")
    )
    assert 0.98 * ideal < weights < 1.03 * ideal


@pytest.mark.parametrize("code", ["", "huffman", "Plain", "structured"])
def test_unknown_codes_are_refused(code: str) -> None:
    with pytest.raises(ValueError, match=f"code must be auto or one of {', '.join(CODES)}"):
        encode_network(tiny_messages()[0], code)


def test_values_that_are_not_in_the_format_are_refused() -> None:
    state = {"w": torch.tensor([[0.1, 0], [0, 0]]), "v": torch.zeros(2)}
    message = NetworkMessage(spec=TINY, number_format=FORMATS["e4m3fn"], state=state)
    for code in (*SINGLE, "auto"):
        with pytest.raises(ValueError, match="must be finite numbers of e4m3fn"):
            encode_network(message, code)


@pytest.mark.parametrize("bad", [math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("format_name", FORMAT_NAMES)
@pytest.mark.parametrize("place", ["w", "v"])
def test_what_is_not_finite_is_refused(place: str, format_name: str, bad: float) -> None:
    state = {"w": torch.ones(2, 2), "v": torch.zeros(2)}
    state[place] = torch.full_like(state[place], bad)
    message = NetworkMessage(spec=TINY, number_format=FORMATS[format_name], state=state)
    for code in SINGLE:
        with pytest.raises(ValueError, match="must be finite numbers"):
            encode_network(message, code)


def test_minus_zero_is_described_as_zero() -> None:
    state = {"w": torch.tensor([[-0.0, 1], [-1, -0.0]]), "v": torch.tensor([-0.0, 1])}
    message = NetworkMessage(spec=TINY, number_format=FORMATS["bfloat16"], state=state)
    for code in SINGLE:
        found = decode_network(encode_network(message, code).data).message
        assert found.same_as(message)
        assert not any(torch.signbit(tensor[tensor == 0]).any() for tensor in found.state.values())


def test_networks_too_large_for_memory_are_refused(monkeypatch, small_spec, random_message) -> None:
    message = random_message(small_spec("s-conv"))
    data = encode_network(message, "context").data
    monkeypatch.setattr("training.system.memory.available_memory", lambda: 1000)
    with pytest.raises(OutOfMemoryError, match="is available"):
        decode_network(data)


def test_a_tensor_of_more_numbers_than_the_counters_hold_is_refused(monkeypatch) -> None:
    from analysis.codes.arithmetic_coder import ArithmeticCoder
    from analysis.codes.header import Header, code_header

    coder = ArithmeticCoder()
    spec = TensorListSpec((("w", (2**16, 2**16)),))
    code_header(
        coder, Header(spec=spec, number_format=FORMATS["e4m3fn"], code="plain", inputs=None)
    )
    monkeypatch.setattr("training.system.memory.available_memory", lambda: None)
    with pytest.raises(CodecError, match=r"a tensor of 4,294,967,296 numbers is more"):
        decode_network(coder.finish()[0] + bytes(40))


def test_a_decoded_network_is_described_by_the_same_bits(small_spec, random_message) -> None:
    """The seed of the pixels' order goes along, which no data set on record could tell."""
    message = random_message(small_spec("s-conv"), format_name="bfloat16")
    message = replace(message, inputs=InputMap(message.known_inputs.normalization, 7))
    codeword = encode_network(message, "context")
    checkpoint = message_checkpoint(decode_network(codeword.data).message)
    again = checkpoint_message(checkpoint, message.number_format, canonical=False)
    assert encode_network(again, "context").data == codeword.data
