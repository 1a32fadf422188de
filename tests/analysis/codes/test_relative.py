"""The relative code: round trips, its lengths, its language by brute force, and its files."""

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from analysis.codes import RELATIVE
from analysis.codes.arithmetic_coder import CodecError
from analysis.codes.bit_file import (
    PRIOR_FILE,
    decoded_codeword,
    load_codeword,
    load_prior_bits,
    save_codeword,
)
from analysis.codes.message import NetworkMessage, TensorListSpec
from analysis.codes.network_code import Codeword, decode_network, encode_network
from analysis.codes.prior import adapt_prior, why_not
from analysis.quantize.formats import find_format, quantize_tensors
from tests.analysis.codes.conftest import _random_message, _small_spec
from tests.examples import examples
from training.errors import CheckpointError, OutOfMemoryError
from training.networks.models import build_network
from training.spec.architectures import NetworkSpec

GOLDEN = Path(__file__).parents[2] / "data" / "relative"
E4M3 = find_format(8)


def tensor_message(values: list[list[float]], format_name: str = "e4m3fn") -> NetworkMessage:
    """Tensors without a network: one vector a list."""
    number_format = find_format(name=format_name)
    state = {f"t{index}": torch.tensor(own) for index, own in enumerate(values)}
    spec = TensorListSpec(tuple((name, tuple(each.shape)) for name, each in state.items()))
    return NetworkMessage(
        spec=spec, number_format=number_format, state=quantize_tensors(state, number_format)
    )


def changed(message: NetworkMessage, share: float, seed: int = 0) -> NetworkMessage:
    """Some numbers of every tensor take the place of others in it, or become 0 or 1."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, tensor in message.state.items():
        pool = torch.cat([tensor.flatten(), torch.tensor([0.0, 1.0])])
        drawn = pool[torch.randint(len(pool), tensor.shape, generator=generator)]
        state[name] = torch.where(
            torch.rand(tensor.shape, generator=generator) < share, drawn, tensor
        )
    return replace(message, state=state)


@pytest.fixture(scope="module")
def prior() -> Codeword:
    message = _random_message(
        _small_spec("s-conv"), format_name="e4m3fn", density=0.5, num_levels=1
    )
    return decoded_codeword(message)


# --- round trips ---


@given(
    name=st.sampled_from(["s-conv", "s-local", "s-fc", "3-fc", "tiny-conv"]),
    formats=st.tuples(*[st.sampled_from(["e4m3fn", "bfloat16", "float32"])] * 2),
    share=st.sampled_from([0.0, 0.02, 0.5, 1.0]),
    num_levels=st.sampled_from([None, 1, 3]),
    num_classes=st.integers(2, 5),
    seed=st.integers(0, 2**16),
)
@examples(3)
def test_what_is_decoded_is_what_was_encoded(
    *,
    name: str,
    formats: tuple[str, str],
    share: float,
    num_levels: int | None,
    num_classes: int,
    seed: int,
) -> None:
    """Whatever the prior: of other numbers, of other classes, alike or not at all."""
    spec = _small_spec(name, image_size=4, in_channels=1)
    first = _random_message(spec, format_name=formats[0], num_levels=num_levels, seed=seed)
    own = decoded_codeword(first, "plain")
    spec = replace(spec, num_classes=num_classes)
    message = _random_message(spec, format_name=formats[1], num_levels=num_levels, seed=seed + 1)
    if spec == first.spec and formats[0] == formats[1]:
        message = changed(first, share, seed)
    codeword = encode_network(message, RELATIVE, prior=own)
    found = decode_network(codeword.data + b"\xa5", prior=own)
    assert found.message.same_as(message)
    assert (found.num_bits, found.data, found.code) == (codeword.num_bits, codeword.data, RELATIVE)
    assert found.prior_sha256 == own.sha256
    assert sum(each.bits for each in found.ledger.entries) == pytest.approx(found.num_bits)
    assert [each.part for each in found.ledger.entries] == [
        each.part for each in codeword.ledger.entries
    ]


def test_plain_python_writes_and_reads_the_same(prior: Codeword) -> None:
    message = changed(prior.message, 0.1)
    codeword = encode_network(message, RELATIVE, prior=prior)
    slow = encode_network(message, RELATIVE, prior=prior, compiled=False)
    assert slow.data == codeword.data
    assert decode_network(slow.data, prior=prior, compiled=False).message.same_as(message)


@pytest.mark.parametrize("width", [1, 3])
@pytest.mark.parametrize(
    "name", ["s-conv", "s-local", "s-fc", "d-conv", "tiny-conv", "tiny-separable", "resnet18"]
)
def test_a_prior_of_another_width(name: str, width: int) -> None:
    spec = _small_spec(name, in_channels=1)
    own = decoded_codeword(_random_message(spec, num_levels=2), "plain")
    other = replace(spec, base_channels=width, num_classes=3)
    adapted = adapt_prior(own.message, other, E4M3)
    message = NetworkMessage(
        spec=other, number_format=E4M3, state=adapted, inputs=own.message.inputs
    )
    codeword = decoded_codeword(message, RELATIVE, prior=own)
    assert codeword.message.same_as(message)
    assert codeword.num_bits < 80  # the other shape, and that nothing else differs


# --- lengths ---


def test_the_prior_itself_takes_three_bits(prior: Codeword) -> None:
    codeword = encode_network(prior.message, prior=prior)
    assert (codeword.code, codeword.num_bits) == (RELATIVE, 3)
    assert encode_network(prior.message).num_bits > 1000


@pytest.mark.parametrize("share", [0.003, 0.03, 0.3])
def test_a_number_as_the_prior_has_it_costs_a_fraction_of_a_bit(
    prior: Codeword, share: float
) -> None:
    """At most the entropy of which numbers change, 1.6 bits a changed one, and a little."""
    message = changed(prior.message, share)
    n = sum(tensor.numel() for tensor in message.state.values())
    num = sum(
        int((tensor != prior.message.state[name]).sum()) for name, tensor in message.state.items()
    )
    p = torch.tensor(num / n, dtype=torch.float64)
    entropy = float(-(p * p.log2() + (1 - p) * (1 - p).log2())) * n
    codeword = encode_network(message, RELATIVE, prior=prior)
    assert codeword.num_bits < 1.05 * (entropy + 1.6 * num) + 60


def test_never_longer_than_without_a_prior(prior: Codeword) -> None:
    """A network that has nothing of the prior is coded as without it, bit for bit."""
    other = _random_message(_small_spec("s-conv"), num_levels=4, density=0.3, seed=9)
    plain = encode_network(other)
    found = encode_network(other, prior=prior)
    assert (found.data, found.num_bits, found.prior_sha256) == (plain.data, plain.num_bits, None)
    assert decode_network(found.data, prior=prior).message.same_as(other)


def test_small_steps_among_all_numbers_cost_little() -> None:
    """Where all numbers move a little, steps are shorter than new values."""
    spec = _small_spec("s-conv")
    own = decoded_codeword(_random_message(spec), "plain")
    state = {name: each * 1.01 for name, each in own.message.state.items()}
    message = replace(own.message, state=quantize_tensors(state, own.message.number_format))
    codeword = encode_network(message, prior=own)
    assert codeword.num_bits < 0.4 * encode_network(message).num_bits
    assert any("all numbers" in each.part for each in codeword.ledger.entries)


# --- the language, by brute force ---


def test_no_codeword_begins_another_one_and_their_sum_is_at_most_one() -> None:
    """All strings of 13 bits: each is decoded."""
    own = decoded_codeword(tensor_message([[0.0, 1.0], [0.5]]))
    num_bits, kraft, seen = 13, 0.0, {}
    for number in range(1 << num_bits):
        data = (number << (16 - num_bits)).to_bytes(2, "big")
        try:
            found = decode_network(data, prior=own)
        except (CodecError, OutOfMemoryError):
            continue
        if found.num_bits > num_bits:
            continue
        word = number >> (num_bits - found.num_bits)
        if (found.num_bits, word) not in seen:
            seen[found.num_bits, word] = found
            kraft += 2.0**-found.num_bits
            assert decode_network(found.data, prior=own).num_bits == found.num_bits
    words = [f"{word:0{length}b}" for length, word in seen]
    assert len(words) > 20
    assert 0.1 < kraft <= 1
    assert not any(a != b and b.startswith(a) for a in words for b in words)
    assert all(
        encode_network(each.message, RELATIVE, prior=own).num_bits <= each.num_bits
        for each in seen.values()
        if each.prior_sha256
    )


def test_lengths_of_a_whole_language_fit_into_it_and_a_prior_chosen_later_does_not() -> None:
    """All networks of one number: a fixed prior keeps Kraft's inequality, the best breaks it."""
    patterns = [pattern for pattern in range(256) if pattern not in (0x7F, 0x80, 0xFF)]
    values = torch.tensor(patterns, dtype=torch.uint8).view(torch.float8_e4m3fn).float()
    words = [tensor_message([[float(value)]]) for value in values]
    for fixed in (0.0, 1.0, -448.0):
        own = decoded_codeword(tensor_message([[fixed]]))
        assert sum(2.0 ** -encode_network(each, prior=own).num_bits for each in words) <= 1
    best = [encode_network(each, prior=decoded_codeword(each)).num_bits for each in words[:20]]
    assert sum(2.0**-bits for bits in best) > 1


# --- what does not fit, and damage ---


def test_what_a_prior_does_not_fit(prior: Codeword) -> None:
    spec = prior.message.spec
    assert isinstance(spec, NetworkSpec)
    for field, value in (("image_size", 9), ("in_channels", 1), ("name", "d-conv")):
        other = replace(spec, **{field: value})
        assert field in why_not(prior.message, other)
        state = {
            name: torch.zeros_like(tensor)
            for name, tensor in build_network(other, folded=True).state_dict().items()
        }
        inputs = _random_message(_small_spec("s-conv", in_channels=other.in_channels)).inputs
        message = NetworkMessage(spec=other, number_format=E4M3, state=state, inputs=inputs)
        with pytest.raises(ValueError, match=field):
            encode_network(message, RELATIVE, prior=prior)
    with pytest.raises(ValueError, match="takes a prior"):
        encode_network(prior.message, RELATIVE)
    external = tensor_message([[0.0, 1.0]])
    assert "mdl's" in why_not(prior.message, external.spec)
    assert "shapes" in why_not(external, tensor_message([[0.0]]).spec)


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_damaged_codewords_decode_to_something_or_one_line(
    prior: Codeword, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.system.memory.available_memory", lambda: 1 << 22)
    rng = random.Random(seed)
    good = [
        encode_network(changed(prior.message, share), RELATIVE, prior=prior).data
        for share in (0.01, 0.2)
    ]
    other = _random_message(_small_spec("s-conv"), num_levels=3, seed=3)
    good.append(encode_network(other, RELATIVE, prior=prior).data)
    for _ in range(150):
        data = bytearray(rng.choice(good))
        for _ in range(rng.choice((1, 1, 3))):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        data = data[: rng.choice((len(data), rng.randrange(len(data))))]
        try:
            found = decode_network(bytes(data), prior=prior)
        except (CodecError, OutOfMemoryError) as error:
            assert str(error)
            assert "\n" not in str(error)
        else:
            assert found.num_bits <= 8 * len(data)
            again = decode_network(found.data + b"\xff", prior=prior)
            assert again.message.same_as(found.message)


# --- files ---


@pytest.fixture
def pair(prior: Codeword, tmp_path: Path) -> tuple[Path, NetworkMessage]:
    """A file of relative bits with its prior beside it, and what it stands for."""
    message = changed(prior.message, 0.05)
    save_codeword(encode_network(message, RELATIVE, prior=prior), tmp_path / "network.mdl")
    save_codeword(prior, tmp_path / PRIOR_FILE)
    return tmp_path / "network.mdl", message


def refused(read: Callable[[], object]) -> str:
    with pytest.raises(CheckpointError) as caught:
        read()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_prior_beside_the_file_or_the_given_one(
    pair: tuple[Path, NetworkMessage], prior: Codeword
) -> None:
    path, message = pair
    assert load_codeword(path).message.same_as(message)
    path.with_name(PRIOR_FILE).unlink()
    assert load_codeword(path, prior=prior).message.same_as(message)
    assert f"no {PRIOR_FILE} lies beside it" in refused(lambda: load_codeword(path))


def test_another_prior_is_refused(pair: tuple[Path, NetworkMessage], prior: Codeword) -> None:
    path, _ = pair
    other = decoded_codeword(changed(prior.message, 0.5))
    assert "another prior" in refused(lambda: load_codeword(path, prior=other))
    save_codeword(other, path.with_name(PRIOR_FILE))
    assert "another prior" in refused(lambda: load_codeword(path))


def test_a_prior_has_bits_of_its_own(pair: tuple[Path, NetworkMessage], prior: Codeword) -> None:
    path, _ = pair
    assert "bits of its own" in refused(lambda: load_prior_bits(path))
    path.with_name(PRIOR_FILE).write_bytes(path.read_bytes())
    assert "bits of its own" in refused(lambda: load_codeword(path))


def test_every_changed_byte_of_the_frame_is_noticed(pair: tuple[Path, NetworkMessage]) -> None:
    path, _ = pair
    good = path.read_bytes()
    for place in range(len(good)):
        data = bytearray(good)
        data[place] ^= 0x10
        path.write_bytes(bytes(data))
        assert refused(lambda: load_codeword(path))
    for end in (0, 7, 8, 23, 24, 40, 55, 56, 57):
        path.write_bytes(good[:end])
        assert refused(lambda: load_codeword(path))


def test_old_bits_are_not_relative(pair: tuple[Path, NetworkMessage], prior: Codeword) -> None:
    """A frame that names a prior around bits that have none."""
    path, _ = pair
    save_codeword(replace(prior, prior_sha256=prior.sha256), path)
    assert "relative to none" in refused(lambda: load_codeword(path))


def test_golden_files_pin_the_format(tmp_path: Path) -> None:
    """`network.mdl` is `prior.mdl` with numbers changed by all four ways."""
    own = load_prior_bits(GOLDEN / PRIOR_FILE)
    found = load_codeword(GOLDEN / "network.mdl")
    parts = {each.part.lstrip("0123456789, ") for each in found.ledger.entries}
    assert {"as the prior has it", "changes among its values", "changes among all numbers"} < parts
    assert "kind" in parts
    again = encode_network(found.message, prior=own)
    save_codeword(again, tmp_path / "again.mdl")
    assert (tmp_path / "again.mdl").read_bytes() == (GOLDEN / "network.mdl").read_bytes()
