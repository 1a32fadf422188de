"""Fuzzes the decoder itself, past any checksum: a codeword or one CodecError, in bounded time.

The machine is told to have 4 MiB, so that nothing large is a network here; what the fuzzer makes
must then fit into a few times that.
"""

import random
from collections.abc import Iterator

import pytest

from analysis.codes import CODES
from analysis.codes.arithmetic_coder import ArithmeticCoder, CodecError
from analysis.codes.network_code import decode_network, encode_network
from analysis.quantize.formats import FORMATS
from training.errors import OutOfMemoryError
from training.spec.architectures import NETWORKS

SINGLE = ("plain", "theorem-2", "enumerative", "context")
SEEDS = [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2, 3))]


@pytest.fixture(autouse=True)
def small_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.system.memory.available_memory", lambda: 1 << 22)


def check(data: bytes, *, compiled: bool = True) -> bool:
    """Whether it decodes; then it is a codeword, and what follows it does not matter."""
    try:
        found = decode_network(data, compiled=compiled)
    except (CodecError, OutOfMemoryError) as error:
        assert str(error)
        assert "\n" not in str(error)
        return False
    assert found.num_bits <= 8 * len(data)
    again = decode_network(found.data + b"\xa5\xff")
    assert (again.data, again.num_bits) == (found.data, found.num_bits)
    assert again.message.same_as(found.message)
    return True


def random_tail(rng: random.Random) -> bytes:
    length = rng.randrange(150)
    return rng.choice(
        [
            bytes(length),
            b"\xff" * length,
            rng.randbytes(length),
            bytes([rng.randrange(256)]) * length,
            bytes(rng.choice((0, 255, 1, 128)) for _ in range(length)),
        ]
    )


def random_size(rng: random.Random) -> int:
    return rng.choice([1, 2, 3, 17, rng.randrange(1, 300), 1 << rng.randrange(60)])


def random_head(rng: random.Random) -> bytes:
    """A head that may well be good, of a network or of a list of tensors."""
    coder = ArithmeticCoder(compiled=False)
    coder.integer(1)
    coder.integer(rng.randrange(len(FORMATS)) + 1)
    coder.integer(rng.randrange(len(CODES)) + 1)
    if rng.random() < 0.5:
        num_tensors = rng.randrange(1, 4)
        for number in (1, num_tensors):
            coder.integer(number)
        for index in range(num_tensors):
            coder.integer(2)
            coder.uniform(97 + index, 256)
            shape = [random_size(rng) for _ in range(rng.randrange(5))]
            for number in (len(shape) + 1, *shape):
                coder.integer(number)
    else:
        network = rng.randrange(len(NETWORKS))
        fields = [random_size(rng), 1 + random_size(rng), rng.choice([1, 3]), random_size(rng)]
        fields += [rng.choice([1, 3, 5])] if NETWORKS[network] == "resnet18" else []
        for number in (network + 2, *fields):
            coder.integer(number)
        coder.uniform(0, 2)
        coder.uniform(0, 2)
    for _ in range(rng.randrange(3)):
        coder.uniform(rng.randrange(3), 3)
    return coder.finish()[0]


@pytest.fixture(scope="module")
def codewords(small_spec, random_message) -> list[bytes]:
    """Good codewords of every code and several networks."""
    found = []
    for number, name in enumerate(("s-conv", "s-fc", "d-conv", "3-fc")):
        for code in SINGLE:
            message = random_message(
                small_spec(name, image_size=4, in_channels=1),
                format_name=list(FORMATS)[(number + len(found)) % len(FORMATS)],
                density=(1.0, 0.3, 0.05)[len(found) % 3],
                num_levels=(None, 2)[len(found) % 2],
                seed=number,
            )
            found.append(encode_network(message, code).data)
    return found


@pytest.mark.parametrize("seed", SEEDS)
def test_random_bytes(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(400):
        check(rng.randbytes(rng.randrange(100)))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_head_and_anything(seed: int) -> None:
    rng = random.Random(seed)
    num_good = sum(check(random_head(rng) + random_tail(rng)) for _ in range(600))
    assert num_good  # the fuzzer reaches the end of some


def mutations(rng: random.Random, data: bytes) -> Iterator[bytes]:
    """A few bits flipped; a byte lost; a piece doubled; a new end."""
    flipped = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        flipped[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    yield bytes(flipped)
    place, other = sorted(rng.randrange(len(data)) for _ in range(2))
    yield data[:place] + data[place + 1 :]
    yield data[:other] + data[place:]
    yield data[:place] + random_tail(rng)


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_mutated_codewords(codewords: list[bytes], seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(6):
        for data in codewords:
            for changed in mutations(rng, data):
                check(changed)


def test_plain_python_refuses_the_same(codewords: list[bytes]) -> None:
    rng = random.Random(0)
    for data in sorted(codewords, key=len)[:3]:
        for changed in mutations(rng, data):
            assert check(changed, compiled=False) == check(changed, compiled=True)


def test_every_byte_cut_off(codewords: list[bytes]) -> None:
    for data in sorted(codewords, key=len)[:4]:
        for kept in range(0, len(data), max(len(data) // 60, 1)):
            assert not check(data[:kept])
