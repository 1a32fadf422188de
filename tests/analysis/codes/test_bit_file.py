"""Files of bits: the round trip, and one clear error for every kind of damage."""

import hashlib
import random
import tracemalloc
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch

from analysis.certify.errors import counting_bytes
from analysis.codes import network_code
from analysis.codes.arithmetic_coder import ArithmeticCoder, CodecError
from analysis.codes.bit_file import MAGIC, decode_whole, is_bit_file, load_codeword, save_codeword
from analysis.codes.header import Header, code_header
from analysis.codes.message import NetworkMessage, TensorListSpec, expected_shapes
from analysis.codes.network_code import Codeword, encode_network
from analysis.quantize.formats import FORMATS
from training.data.input_map import InputMap
from training.errors import CheckpointError, OutOfMemoryError
from training.spec.architectures import NETWORKS, NetworkSpec
from training.spec.normalization import fixed_normalization


def frame(data: bytes) -> bytes:
    """A file around any bytes, its checksum right."""
    return MAGIC + hashlib.sha256(data).digest()[:16] + data


def check_one_line(error: pytest.ExceptionInfo[Exception], path: Path) -> None:
    text = str(error.value)
    assert text.startswith(f"{path}: ")
    assert "\n" not in text
    assert len(text) < 400


@pytest.fixture(scope="module")
def codeword() -> Codeword:
    spec = TensorListSpec((("weight", (3, 4)), ("bias", (3,)), ("scale", ())))
    state = {
        "weight": torch.tensor([[1.0, 0, 0, -1], [0, 0, 0, 0], [2, 0, 1, 0]]),
        "bias": torch.tensor([0.5, 1, -2]),
        "scale": torch.tensor(4.0),
    }
    return encode_network(
        NetworkMessage(spec=spec, number_format=FORMATS["e4m3fn"], state=state), "context"
    )


def test_round_trip(codeword: Codeword, tmp_path: Path) -> None:
    path = tmp_path / "net.mdl"
    save_codeword(codeword, path)
    assert path.read_bytes() == frame(codeword.data)
    assert is_bit_file(path)
    found = load_codeword(path)
    assert found.message.same_as(codeword.message)
    assert (found.num_bits, found.data) == (codeword.num_bits, codeword.data)
    assert codeword.num_bits <= 8 * (path.stat().st_size - 24) < codeword.num_bits + 8


def test_other_files_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for contents in (b"", b"mdl-bit", b"PK\x03\x04" + bytes(40), b"\0" * 100):
        path.write_bytes(contents)
        assert not is_bit_file(path)
        with pytest.raises(CheckpointError, match="not a file of bits") as error:
            load_codeword(path)
        check_one_line(error, path)
    assert not is_bit_file(tmp_path / "missing")
    assert not is_bit_file(tmp_path)
    for missing in (tmp_path / "missing", tmp_path):
        with pytest.raises(CheckpointError, match=r"no such file|a folder") as error:
            load_codeword(missing)
        check_one_line(error, missing)


def test_a_file_cut_anywhere_is_refused(codeword: Codeword, tmp_path: Path) -> None:
    whole, path = frame(codeword.data), tmp_path / "net.mdl"
    for kept in range(len(whole)):
        path.write_bytes(whole[:kept])
        with pytest.raises(CheckpointError, match=r"not a file of bits|damaged") as error:
            load_codeword(path)
        check_one_line(error, path)


def test_a_codeword_cut_anywhere_is_refused_without_its_checksum_too(
    codeword: Codeword, tmp_path: Path
) -> None:
    path = tmp_path / "net.mdl"
    for kept in range(len(codeword.data)):
        path.write_bytes(frame(codeword.data[:kept]))
        with pytest.raises(CheckpointError, match=r"cut short|damaged") as error:
            load_codeword(path)
        check_one_line(error, path)


@pytest.mark.parametrize("behind", [b"\0", b"\xff", b"\0" * 1000, b"mdl-bits"])
def test_a_file_that_goes_on_is_refused(codeword: Codeword, tmp_path: Path, behind: bytes) -> None:
    path = tmp_path / "net.mdl"
    path.write_bytes(frame(codeword.data) + behind)
    with pytest.raises(CheckpointError, match="checksum"):
        load_codeword(path)
    path.write_bytes(frame(codeword.data + behind))
    with pytest.raises(CheckpointError, match=f"{len(behind)} bytes follow the codeword"):
        load_codeword(path)


def test_one_flipped_bit_anywhere_is_refused(codeword: Codeword, tmp_path: Path) -> None:
    whole, path = frame(codeword.data), tmp_path / "net.mdl"
    for place in range(8 * len(whole)):
        changed = bytearray(whole)
        changed[place // 8] ^= 0x80 >> place % 8
        path.write_bytes(changed)
        with pytest.raises(CheckpointError) as error:
            load_codeword(path)
        check_one_line(error, path)


def test_a_flipped_bit_never_decodes_to_the_same_network(codeword: Codeword) -> None:
    """With a checksum that was put right: another network, or refused."""
    num_other = 0
    for place in range(8 * len(codeword.data)):
        changed = bytearray(codeword.data)
        changed[place // 8] ^= 0x80 >> place % 8
        try:
            found = decode_whole(bytes(changed))
        except CodecError:
            continue
        num_other += 1
        assert not found.message.same_as(codeword.message) or found.code != codeword.code
    assert num_other < 4 * len(codeword.data)


def test_the_last_byte_is_filled_up_with_zeros(codeword: Codeword) -> None:
    for code in ("plain", "theorem-2", "enumerative", "context"):
        found = encode_network(codeword.message, code)
        for junk in range(1, 1 << -found.num_bits % 8):
            changed = found.data[:-1] + bytes([found.data[-1] | junk])
            with pytest.raises(CodecError, match="fill up the last byte"):
                decode_whole(changed)


def test_nothing_half_written(codeword: Codeword, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="missing"):
        save_codeword(codeword, tmp_path / "missing" / "net.mdl")
    assert list(tmp_path.iterdir()) == []


ABSURD = 10**12


def heads_of_absurd_sizes() -> dict[str, list[int]]:
    """Numbers of heads that claim far more than any machine has."""
    heads = {}
    for index, name in enumerate(NETWORKS):
        size = [8, 10, 3, 2] + ([3] if name == "resnet18" else [])
        for place, field in ((2, "channels"), (3, "width")):
            fields = list(size)
            fields[place] = ABSURD
            heads[f"{name}, {field}"] = [index + 2, *fields]
    heads["s-conv, pixels"] = [NETWORKS.index("s-conv") + 2, ABSURD, 10, 3, 2]
    heads["3-fc, classes"] = [NETWORKS.index("3-fc") + 2, 8, ABSURD, 3, 2]
    heads["resnet18, kernel"] = [NETWORKS.index("resnet18") + 2, 8, 10, 3, 2, ABSURD + 1]
    heads["s-fc, beyond 64 bits"] = [NETWORKS.index("s-fc") + 2, 2**100, 10, 3, 2**120]
    heads["tensors"] = [1, 2**20]
    heads["more tensors"] = [1, 2**100]
    heads["name"] = [1, 1, 4097]
    heads["longer name"] = [1, 1, 2**60]
    heads["dimensions"] = [1, 1, 1, 2**40]
    heads["one tensor"] = [1, 1, 1, 3, 2**40, 2**40]
    heads["vector"] = [1, 1, 1, 2, 2**60]
    return heads


@pytest.mark.sample(3)
@pytest.mark.parametrize("filler", [b"\0", b"\xff", b"\x5a"])
@pytest.mark.parametrize("code", range(1, 7))
def test_heads_of_absurd_sizes_fail_with_little_memory(
    tmp_path: Path, code: int, filler: bytes
) -> None:
    path = tmp_path / "net.mdl"
    for what, numbers in heads_of_absurd_sizes().items():
        coder = ArithmeticCoder()
        for number in (1, 4, code, *numbers):
            coder.integer(number)
        path.write_bytes(frame(coder.finish()[0] + filler * 200))
        tracemalloc.start()
        with pytest.raises(CheckpointError) as error:
            load_codeword(path)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        check_one_line(error, path)
        assert peak < 1 << 20, what


def test_the_work_grows_with_the_tensors_not_with_their_square(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = TensorListSpec(tuple((f"{index}", (1,)) for index in range(1000)))
    state = {name: torch.tensor([1.0]) for name, _ in spec.shapes}
    message = NetworkMessage(spec=spec, number_format=FORMATS["e4m3fn"], state=state)
    path = tmp_path / "net.mdl"
    for code in ("plain", "theorem-2", "enumerative", "context"):
        save_codeword(encode_network(message, code), path)
        with monkeypatch.context() as patch:
            listing = Mock(side_effect=expected_shapes)
            patch.setattr(network_code, "expected_shapes", listing)
            found = load_codeword(path)
        assert found.message.same_as(message)
        assert listing.call_count == 1  # not once a tensor


def head_of_a_giant(spec: NetworkSpec, path: Path) -> Path:
    """A file whose bits begin like those of a network; no more is read where that is too large."""
    coder = ArithmeticCoder()
    inputs = InputMap(fixed_normalization(3))
    made = Header(spec=spec, number_format=FORMATS["e4m3fn"], code="context", inputs=inputs)
    code_header(coder, made)
    path.write_bytes(frame(coder.finish()[0] + bytes(8)))
    return path


def test_a_giant_is_refused_by_its_head_with_all_that_is_to_be_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = NetworkSpec(name="s-fc", image_size=96, num_classes=10, base_channels=8)
    path = head_of_a_giant(spec, tmp_path / "net.mdl")
    need = 4 * spec.num_weights
    monkeypatch.setattr("training.system.memory.available_memory", lambda: need - 1)
    with pytest.raises(OutOfMemoryError) as error:
        load_codeword(path)
    check_one_line(error, path)
    assert f"needs about {need / 1e9:.1f} GB of memory, and" in str(error.value)
    # Whoever counts errors needs a copy in float64 and the values of a batch as well.
    monkeypatch.setattr("training.system.memory.available_memory", lambda: 3 * need)
    with pytest.raises(OutOfMemoryError, match=f"{(3 * need + 2**28) / 1e9:.1f} GB of memory"):
        load_codeword(path, beside=counting_bytes)
    with pytest.raises(CheckpointError):  # large enough: what is missing is the rest of the bits
        load_codeword(path)


def test_an_image_too_large_is_refused_by_the_head(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A residual network has as many weights for images of any size."""
    spec = NetworkSpec(name="resnet18", image_size=2**15, num_classes=2, base_channels=1)
    assert spec.num_weights < 10_000
    path = head_of_a_giant(spec, tmp_path / "net.mdl")
    monkeypatch.setattr("training.system.memory.available_memory", lambda: 10**10)
    with pytest.raises(OutOfMemoryError, match="GB of memory, and 10"):
        load_codeword(path, beside=counting_bytes)


def test_fuzzed_files_give_one_line(
    tmp_path: Path, codeword: Codeword, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.system.memory.available_memory", lambda: 1 << 22)
    rng, path = random.Random(7), tmp_path / "net.mdl"
    for _ in range(300):
        data = bytearray(codeword.data)
        for _ in range(rng.randrange(1, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        path.write_bytes(frame(bytes(data)))
        try:
            load_codeword(path)
        except (CheckpointError, OutOfMemoryError) as error:
            assert str(error).startswith(f"{path}: ")
            assert "\n" not in str(error)
