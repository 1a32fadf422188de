"""Integer, packed and quantized weights of other programs: their integers, and back."""

import json
import struct
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from analysis.bounds.bounds import ErrorCount
from analysis.bounds.lengths import enumerative_length, theorem_2_length
from analysis.codes.network_code import decode_network, encode_network
from analysis.describe.describe import read_message
from analysis.describe.export import export_state
from analysis.describe.external_network import describe_tensors
from analysis.describe.external_report import ExternalReport, count_stored, report_external
from analysis.quantize.formats import find_format
from tests.examples import examples
from training.errors import CheckpointError
from training.tensor_files.open import open_tensor_file

BF16 = find_format(16)
INTEGERS = (torch.int8, torch.uint8, torch.int16, torch.int32, torch.int64, torch.bool)


def decode(path: Path, bits: int = 16) -> dict[str, Any]:
    """The state dict that the bits of a file decode to."""
    message = decode_network(encode_network(read_message(path, find_format(bits))).data).message
    return export_state(message.state, integers=message.integers)


def save(contents: Any, path: Path) -> Path:
    with warnings.catch_warnings():  # of torch about its own storages
        warnings.simplefilter("ignore")
        torch.save(contents, path)
    return path


def report(path: Path, **options: Any) -> ExternalReport:
    with open_tensor_file(path) as file:
        return report_external(describe_tensors(file), BF16, **options)


@st.composite
def states(draw: st.DrawFn) -> dict[str, torch.Tensor]:
    state = {}
    for index in range(draw(st.integers(1, 4))):
        dtype = draw(st.sampled_from(INTEGERS))
        shape = draw(st.lists(st.integers(0, 4), max_size=3))
        room = st.integers(0, 1)
        if dtype != torch.bool:
            limits = torch.iinfo(dtype)
            room = st.integers(max(limits.min, -(2**31)), min(limits.max, 2**31 - 1))
        count = int(np.prod(shape, dtype=int))
        numbers = draw(st.lists(room, min_size=count, max_size=count))
        state[f"t{index}.weight"] = torch.tensor(numbers, dtype=dtype).view(shape)
    return state


@given(state=states(), bits=st.sampled_from([8, 16]))
@examples(0.5)
def test_every_integer_comes_back_at_any_number_of_bits(
    state: dict[str, torch.Tensor], bits: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = save({"x": torch.ones(2), **state}, tmp_path_factory.mktemp("state") / "a.pt")
    back = decode(path, bits)
    for name, tensor in state.items():
        if tensor.numel():
            assert back[name].dtype == tensor.dtype
            assert torch.equal(back[name], tensor)


def gptq(bits: int, *, rows: int = 32, columns: int = 64) -> tuple[dict[str, torch.Tensor], Any]:
    """A layer as GPTQ packs it, in int32 by hand; and its small integers, (rows, columns)."""
    numbers = np.random.default_rng(bits).normal(2 ** (bits - 1), 2 ** (bits - 3), (rows, columns))
    small = numbers.round().clip(0, 2**bits - 1).astype(np.uint64)
    per_word = 32 // bits
    words = np.zeros((rows // per_word, columns), np.uint32)
    for row in range(rows):
        shift = np.uint64(bits * (row % per_word))
        words[row // per_word] |= (small[row] << shift).astype(np.uint32)
    zeros = np.full((2, columns // per_word), 0x77777777, np.uint32)
    return {
        "fc.qweight": torch.from_numpy(words.view(np.int32)),
        "fc.qzeros": torch.from_numpy(zeros.view(np.int32)),
        "fc.scales": torch.rand(2, columns).half(),
        "fc.g_idx": torch.arange(rows, dtype=torch.int32) // (rows // 2),
    }, small


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_gptq_is_described_by_its_small_integers(bits: int, tmp_path: Path) -> None:
    state, small = gptq(bits)
    path = save(state, tmp_path / "a.pt")
    with open_tensor_file(path) as file:
        network = describe_tensors(file)
        source = network.sources["fc.qweight"]
        found = source.read().numpy()
    per_word = 32 // bits
    assert source.shape == (32 // per_word, 64, per_word)
    assert np.array_equal(found.transpose(0, 2, 1).reshape(32, 64), small)
    counts = np.unique(small, return_counts=True)[1]
    shares = counts / counts.sum()
    entropy = float(-(shares * np.log2(shares)).sum()) * small.size
    codeword = encode_network(read_message(path, BF16), "context")
    spent = sum(each.bits for each in codeword.ledger.entries if each.tensor == "fc.qweight")
    if bits < 8:  # of 256 values, each occurs too rarely to be learned
        assert spent < 1.05 * entropy + 150
    if bits == 4:
        assert spent < 0.9 * bits * small.size
    back = decode(path)
    assert all(
        torch.equal(back[f"fc.{name}"], state[f"fc.{name}"])
        for name in ("qweight", "qzeros", "g_idx")
    )


def test_awq_and_three_bits(tmp_path: Path) -> None:
    state = {
        "q.qweight": torch.randint(-(2**31), 2**31 - 1, (16, 4), dtype=torch.int32),
        "q.qzeros": torch.randint(-(2**31), 2**31 - 1, (2, 4), dtype=torch.int32),
        "q.scales": torch.rand(2, 32),
        "three.qweight": torch.randint(-(2**31), 2**31 - 1, (3, 32), dtype=torch.int32),
        "three.qzeros": torch.randint(-(2**31), 2**31 - 1, (2, 3), dtype=torch.int32),
        "three.scales": torch.rand(2, 32),
    }
    path = save(state, tmp_path / "a.pt")
    with open_tensor_file(path) as file:
        network = describe_tensors(file)
    shapes = {name: each.shape for name, each in network.integers.items()}
    assert shapes["q.qweight"] == (16, 4, 8)
    assert shapes["three.qweight"] == (3, 32)  # no fields of 3 bits in 32: words as they are
    back = decode(path)
    assert all(torch.equal(back[name], state[name]) for name in shapes)


def test_four_bits_of_bitsandbytes_and_compressed_tensors(tmp_path: Path) -> None:
    state = {
        "a.weight": torch.randint(0, 256, (24, 1), dtype=torch.uint8),
        "a.weight.absmax": torch.rand(3),
        "a.weight.quant_state.bitsandbytes__nf4": torch.tensor(list(b"{}"), dtype=torch.uint8),
        "b.weight_packed": torch.randint(-(2**31), 2**31 - 1, (5, 3), dtype=torch.int32),
        "b.weight_shape": torch.tensor([5, 20]),
        "c.weight": torch.randint(-127, 128, (4, 4), dtype=torch.int8),
        "c.SCB": torch.rand(4),
    }
    path = save(state, tmp_path / "a.pt")
    with open_tensor_file(path) as file:
        shapes = {name: each.shape for name, each in describe_tensors(file).integers.items()}
    assert shapes["a.weight"] == (24, 1, 2)
    assert shapes["b.weight_packed"] == (5, 3, 8)
    assert shapes["c.weight"] == (4, 4)
    back = decode(path)
    assert all(torch.equal(back[name], state[name]) for name in shapes)


def quantized_network(*, bias: bool) -> nn.Module:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 3, bias=bias))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.ao.quantization.quantize_dynamic(network, {nn.Linear}, torch.qint8)


@pytest.mark.parametrize("bias", [True, False])
def test_a_quantized_module_loads_what_was_decoded(bias: bool, tmp_path: Path) -> None:
    network = quantized_network(bias=bias)
    path = save(network.state_dict(), tmp_path / "a.pt")
    other = quantized_network(bias=bias)
    for module in other.modules():
        if hasattr(module, "set_weight_bias"):
            weight, own = module._weight_bias()
            empty = torch._make_per_tensor_quantized_tensor(
                torch.zeros_like(weight.int_repr()), 1, 0
            )
            module.set_weight_bias(empty, own)
    state = other.state_dict()
    state.update(decode(path, 32))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        other.load_state_dict(state)
    inputs = torch.randn(20, 8)
    torch.testing.assert_close(other(inputs), network(inputs))


@pytest.mark.parametrize("dtype", [torch.qint8, torch.quint8, torch.qint32])
def test_quantized_tensors(dtype: torch.dtype, tmp_path: Path) -> None:
    scales = torch.tensor([0.5, 0.25, 2.0], dtype=torch.float64)
    values = torch.randn(3, 4).abs()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        one = torch.quantize_per_tensor(values, 0.125, 3, dtype)
        state = {"one": one}
        if dtype != torch.qint32:
            state["many"] = torch.quantize_per_channel(values, scales, torch.arange(3), 0, dtype)
        state["turned"] = torch.quantize_per_tensor(values, 0.125, 3, dtype).t()
    path = save(state, tmp_path / "a.pt")
    back = decode(path)
    for name, tensor in state.items():
        assert back[name].dtype == dtype
        assert torch.equal(back[name].int_repr(), tensor.int_repr())
        assert torch.equal(back[name].dequantize(), tensor.dequantize())
    with open_tensor_file(path) as file:
        names = list(describe_tensors(file).sources)
    assert names[:3] == ["one@int_repr", "one@scale", "one@zero_point"]


def test_a_scale_that_rounding_makes_zero_is_refused(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tiny = torch.quantize_per_tensor(torch.ones(3) * 1e-9, 1e-10, 0, torch.qint8)
    path = save({"a": tiny}, tmp_path / "a.pt")
    with pytest.raises(ValueError, match="a has a scale that rounding made 0"):
        decode(path, 8)


def test_lengths_are_sums_over_the_sets_of_numbers(tmp_path: Path) -> None:
    torch.manual_seed(0)
    state = {
        "fc.weight": torch.randint(-100, 100, (6, 5), dtype=torch.int8),
        "bias": torch.tensor([0.0, 0.5, 0.5]),
        "ids": torch.arange(4),
        "more": torch.zeros(3, dtype=torch.int8),
    }
    found = report(save(state, tmp_path / "a.pt"))
    assert [(bits, len(part.tensors)) for bits, part in found.parts] == [(16, 1), (8, 2), (3, 1)]
    eight = torch.cat([state["fc.weight"].flatten(), state["more"]])
    expected = {"plain": 15, "theorem-2": 15, "enumerative": 15}  # five bits for each b
    for bits, tensors in (
        (16, [state["bias"]]),
        (8, [state["fc.weight"], state["more"]]),
        (3, [state["ids"]]),
    ):
        numbers = eight if bits == 8 else tensors[0]
        n, nonzeros, k = numbers.numel(), int(numbers.count_nonzero()), numbers.unique().numel()
        expected["plain"] += n * bits
        expected["theorem-2"] += theorem_2_length(n, nonzeros, k, bits).whole_bits
        counts = [(each.numel(), int(each.count_nonzero())) for each in tensors]
        k -= int(nonzeros < n)
        expected["enumerative"] += enumerative_length(counts, k, bits).whole_bits
    assert {name: length.whole_bits for name, length in found.lengths.items()} == expected
    assert [row.name for row in found.counts.tensors] == list(state)
    assert found.counts.total.num_weights == 40


def test_a_network_of_integers_alone(tmp_path: Path) -> None:
    path = save({"w": torch.tensor([[3, -4]], dtype=torch.int8)}, tmp_path / "a.pt")
    found = report(path, train=ErrorCount(num_errors=1, num_samples=100))
    assert found.lengths["plain"].whole_bits == 5 + 2 * 3
    assert found.is_valid
    assert "theorem_2" not in {bound.name for bound in found.bounds["theorem-2"]}
    finding = next(each for each in found.findings if each.rule == "integers")
    assert "int8 in 3 bits" in finding.text
    json.dumps(found.to_dict())


def test_what_cannot_be_coded(tmp_path: Path) -> None:
    for state, words in (
        ({"n": torch.tensor(2**40)}, "'n' holds integers of more than 32 bits"),
        ({"c": torch.ones(2, dtype=torch.complex64)}, "'c' holds complex64 numbers"),
        ({"a@scale": torch.ones(2)}, "'a@scale' means something else here"),
        ({"a@norm0": torch.ones(2)}, "'a@norm0' means something else here"),
    ):
        with (
            pytest.raises(CheckpointError, match=words),
            open_tensor_file(save(state, tmp_path / "a.pt")) as file,
        ):
            describe_tensors(file)


def test_safetensors_with_wide_unsigned_integers(tmp_path: Path) -> None:
    data = struct.pack("<QHI", 2**31, 65535, 2**32 - 1)
    fields = {
        "a": {"dtype": "U64", "shape": [1], "data_offsets": [0, 8]},
        "b": {"dtype": "U16", "shape": [1], "data_offsets": [8, 10]},
        "c": {"dtype": "U32", "shape": [1], "data_offsets": [10, 14]},
    }
    header = json.dumps(fields).encode()
    path = tmp_path / "a.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + data)
    back = decode(path)
    assert [back[name].item() for name in "abc"] == [2**31, 65535, 2**32 - 1]
    assert [str(back[name].dtype) for name in "abc"] == [
        "torch.uint64",
        "torch.uint16",
        "torch.uint32",
    ]


def test_counts_of_a_file_as_it_is(tmp_path: Path) -> None:
    shared = torch.tensor([1e-60, 0.0, 2.0], dtype=torch.float64)
    state = {
        "a": shared,
        "b": shared,
        "f": torch.tensor([2.0, 0.25]),
        "i": torch.tensor([2, 0], dtype=torch.int8),
        "n.num_batches_tracked": torch.tensor(9),
    }
    with open_tensor_file(save(state, tmp_path / "a.pt")) as file:
        counts = count_stored(file)
    assert [(row.name, row.num_nonzeros) for row in counts.tensors] == [
        ("a = b", 2),
        ("f", 2),
        ("i", 1),
    ]
    assert counts.total.num_distinct == 5  # 1e-60, 2 and 0.25; the integer 2; and zero
    with open_tensor_file(
        save({"h": torch.tensor([0.5, 0.5, -0.0]).half()}, tmp_path / "b.pt")
    ) as file:
        assert count_stored(file).total.num_distinct == 2


@pytest.mark.parametrize("which", ["bound", "encode", "nonzeros"])
def test_a_bit_that_flipped_is_noticed(which: str, tmp_path: Path) -> None:
    state = {"a": torch.randn(30), "i": torch.arange(9)}
    data = bytearray(
        save({"net": state, "ema": {"x": [torch.ones(3)]}}, tmp_path / "a.pt").read_bytes()
    )
    data[data.index(state["a"].numpy().tobytes()) + 41] ^= 2
    (tmp_path / "a.pt").write_bytes(data)

    def count() -> None:
        with open_tensor_file(tmp_path / "a.pt") as file:
            count_stored(file)

    calls: dict[str, Any] = {
        "bound": lambda: report(tmp_path / "a.pt"),
        "encode": lambda: read_message(tmp_path / "a.pt", BF16),
        "nonzeros": count,
    }
    with pytest.raises(CheckpointError, match=r"a.pt: damaged: 'a/data/0' in it is not what was"):
        calls[which]()


def test_an_adapter_is_said_to_rest_on_its_base(tmp_path: Path) -> None:
    names = ("base.q_proj.lora_A.weight", "base.q_proj.lora_B.weight")
    found = report(save({name: torch.ones(2, 3) for name in names}, tmp_path / "a.pt"))
    assert "adapter" in {finding.rule for finding in found.findings}
    found = report(save({names[0]: torch.ones(2), "head.weight": torch.ones(2)}, tmp_path / "b.pt"))
    assert "adapter" not in {finding.rule for finding in found.findings}
