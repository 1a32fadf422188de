"""Which tensors of an external file are coded, under which names; and back to their module."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from analysis.describe.export import export_state
from analysis.describe.external_network import (
    ExternalNetwork,
    describe_tensors,
    external_message_tensors,
)
from analysis.describe.folded_norms import AFFINE, STATISTICS, fold_vectors, round_to_type
from analysis.quantize.formats import find_format, quantize_tensors
from analysis.quantize.nonzeros import count_tensors
from analysis.quantize.stream_counts import count_sources
from training.errors import CheckpointError
from training.networks.models import BATCH_NORM_EPS, fold_state
from training.spec.architectures import NetworkSpec
from training.tensor_files.open import open_tensor_file

CORPUS = Path(__file__).resolve().parents[2] / "data" / "external"


def make_network(*, affine: bool = True, eps: float = 1e-5, seed: int = 0) -> nn.Sequential:
    """A convolution and two fully-connected layers with BatchNorm, after a few batches."""
    torch.manual_seed(seed)
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3, bias=False),
        nn.BatchNorm2d(4, eps=eps),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(16, 6),
        nn.BatchNorm1d(6, affine=affine, eps=eps),
        nn.ReLU(),
        nn.Linear(6, 3),
    )
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) and module.affine:
            nn.init.normal_(module.weight, 1, 0.3)
            nn.init.normal_(module.bias)
    for _ in range(5):
        network(torch.randn(32, 1, 4, 4) * 2 + 1)
    return network.eval()


@pytest.fixture
def read() -> Iterator[Callable[..., ExternalNetwork]]:
    """Saves what it is given and describes the file, which stays open until the test ends."""
    with ExitStack() as files:

        def call(path: Path, contents: Any, **options: Any) -> ExternalNetwork:
            torch.save(contents, path)
            file = files.enter_context(open_tensor_file(path))
            return describe_tensors(file, **options)

        yield call


def test_names_of_what_is_coded(tmp_path: Path, read: Callable[..., ExternalNetwork]) -> None:
    network = make_network(affine=False)
    found = read(tmp_path / "a.pt", network.state_dict())
    assert list(found.sources) == [
        "0.weight",
        "1.bn_scale",
        "1.bn_shift",
        "4.weight",
        "4.bias",
        "5.stat_scale",
        "5.stat_shift",
        "7.weight",
        "7.bias",
    ]
    assert [(norm.name, norm.affine, norm.num_batches) for norm in found.norms] == [
        ("1", True, 5),
        ("5", False, 5),
    ]
    assert not any(norm.is_initial or norm.is_plain for norm in found.norms)


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("eps", [1e-5, 1e-3])
@pytest.mark.parametrize("bits", [8, 16, 32])
def test_their_own_module_loads_and_computes_what_was_coded(
    affine: bool, eps: float, bits: int, tmp_path: Path, read: Callable[..., ExternalNetwork]
) -> None:
    network = make_network(affine=affine, eps=eps)
    described = read(tmp_path / "a.pt", network.state_dict(), bn_eps=eps)
    tensors = external_message_tensors(described, find_format(bits))
    exported = export_state(tensors, bn_eps=eps)
    other = make_network(affine=affine, eps=eps, seed=1)
    other.load_state_dict(exported)  # strict: no tensor is missing or left over
    images = torch.randn(50, 1, 4, 4, dtype=torch.float64)
    found = other.double()(images)

    values = images
    first = torch.conv2d(values, tensors["0.weight"].double())
    scale, shift = (
        tensors[f"1.bn_{part}"].double().view(1, -1, 1, 1) for part in ("scale", "shift")
    )
    values = torch.relu(first * scale + shift).flatten(1)
    values = values @ tensors["4.weight"].double().t() + tensors["4.bias"].double()
    kind = "bn" if affine else "stat"
    scale, shift = (tensors[f"5.{kind}_{part}"].double() for part in ("scale", "shift"))
    values = torch.relu(values * scale + shift)
    expected = values @ tensors["7.weight"].double().t() + tensors["7.bias"].double()
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    if bits == 32:
        torch.testing.assert_close(found, network.double()(images), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("bits", [8, 16])
def test_describing_the_decoded_file_gives_the_same_message(
    affine: bool, bits: int, tmp_path: Path, read: Callable[..., ExternalNetwork]
) -> None:
    network, chosen = make_network(affine=affine), find_format(bits)
    first = external_message_tensors(read(tmp_path / "a.pt", network.state_dict()), chosen)
    decoded = read(tmp_path / "b.pt", export_state(first))
    second = external_message_tensors(decoded, chosen)
    assert list(first) == list(second)
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name
    assert decoded.norms[0].is_plain
    found = count_sources(decoded.sources, chosen)
    assert all(count == 0 or name.startswith("5.stat") for name, count in found.rounded.items())


def test_counts_are_those_of_the_message(
    tmp_path: Path, read: Callable[..., ExternalNetwork]
) -> None:
    chosen = find_format(16)
    described = read(tmp_path / "a.pt", make_network().state_dict())
    tensors = external_message_tensors(described, chosen)
    assert count_sources(described.sources, chosen).counts == count_tensors(tensors, chosen)


def test_folding_by_hand(tmp_path: Path, read: Callable[..., ExternalNetwork]) -> None:
    state = {
        "weight": torch.tensor([3.0]),
        "bias": torch.tensor([1.0]),
        "running_mean": torch.tensor([2.0]),
        "running_var": torch.tensor([4 - 1e-3]),
    }
    found = read(tmp_path / "a.pt", state, bn_eps=1e-3)
    assert list(found.sources) == ["bn_scale", "bn_shift"]
    np.testing.assert_allclose(found.sources["bn_scale"], [1.5])
    np.testing.assert_allclose(found.sources["bn_shift"], [-2.0], rtol=1e-6)


def test_tied_tensors_are_coded_once_and_come_back_under_all_names(
    tmp_path: Path, read: Callable[..., ExternalNetwork]
) -> None:
    norm = nn.BatchNorm1d(3)
    network = nn.ModuleDict(
        {"a": nn.Linear(3, 3), "b": nn.Linear(3, 3), "n": norm, "m": norm, "c": nn.Linear(3, 3)}
    )
    network["c"].weight = network["a"].weight
    described = read(tmp_path / "a.pt", network.state_dict())
    assert list(described.sources) == [
        "a.weight = c.weight",
        "a.bias",
        "b.weight",
        "b.bias",
        "n.bn_scale = m.bn_scale",
        "n.bn_shift = m.bn_shift",
        "c.bias",
    ]
    exported = export_state(external_message_tensors(described, find_format(32)))
    network.load_state_dict(exported)
    assert torch.equal(exported["a.weight"], exported["c.weight"])
    assert torch.equal(exported["n.weight"], exported["m.weight"])


def test_buffers_are_fixed_only_if_their_owner_says_so(
    tmp_path: Path, read: Callable[..., ExternalNetwork]
) -> None:
    state = {"a": torch.ones(2), "x.ids": torch.arange(3), "x.name": None}
    with pytest.raises(CheckpointError, match=r"'x\.name' is a value of type NoneType"):
        read(tmp_path / "a.pt", state, fixed=["x.ids"])
    assert list(read(tmp_path / "a.pt", state, fixed=["x.name"]).sources) == ["a", "x.ids"]
    found = read(tmp_path / "a.pt", state, fixed=["*.ids", "x.name"])
    assert list(found.sources) == ["a"]
    assert found.fixed == ("x.ids", "x.name")
    with pytest.raises(CheckpointError, match="no number to describe"):
        read(tmp_path / "a.pt", state, fixed=["*"])


def test_names_that_would_mean_something_else_are_refused(
    tmp_path: Path, read: Callable[..., ExternalNetwork]
) -> None:
    with pytest.raises(CheckpointError, match="means something else"):
        read(tmp_path / "a.pt", {"a = b": torch.ones(2)})
    state = {f"x.{field}": torch.ones(1) for field in ("running_mean", "running_var", "stat_shift")}
    with pytest.raises(CheckpointError, match="means something else"):
        read(tmp_path / "a.pt", state)


def test_counters_without_statistics_are_noticed(
    tmp_path: Path, read: Callable[..., ExternalNetwork]
) -> None:
    state = {"n.weight": torch.ones(2), "n.num_batches_tracked": torch.tensor(4)}
    assert read(tmp_path / "a.pt", state).counters == ("n.",)


READ_NOW = ("infinite", "legacy_torch", "integer_weight", "boolean_mask", "quantised")
BAD = [
    path for path in sorted(CORPUS.glob("bad*")) if not any(each in path.name for each in READ_NOW)
]


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.name)
def test_a_bad_file_gives_one_line_and_runs_nothing(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError) as caught, open_tensor_file(path) as file:
        external_message_tensors(describe_tensors(file), find_format(16))
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    assert len(message.removeprefix(str(path))) < 300
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("hostile_value.pt", "'a' is an object of class"),
        ("whole_module.pt", r"save its state_dict\(\)"),
        ("complex.pt", "'a' holds complex64 numbers, so it is neither coded nor fixed"),
        ("csr.pt", "'a' is a sparse tensor"),
        ("norm_lacks_var.pt", "BatchNorm '1' lacks running_var"),
        ("norm_negative.pt", "negative variances"),
        ("norm_not_finite.pt", "its run diverged"),
        ("expanded.pt", "pretends to more numbers than are stored"),
        ("with_gaps.pt", r"call \.contiguous\(\)"),
    ],
)
def test_messages_name_what_is_wrong(name: str, words: str) -> None:
    path = CORPUS / f"bad_{name}"
    with pytest.raises(CheckpointError, match=words), open_tensor_file(path) as file:
        describe_tensors(file)


def test_refusals(tmp_path: Path, read: Callable[..., ExternalNetwork]) -> None:
    with pytest.raises(ValueError, match="bn_eps must be > 0, not 0"):
        read(tmp_path / "a.pt", {"a": torch.ones(1)}, bn_eps=0)
    with pytest.raises(ValueError, match="bn_eps must be > 0"):
        export_state({}, bn_eps=-1)
    scale = {"n.stat_scale": torch.zeros(1), "n.stat_shift": torch.zeros(1)}
    with pytest.raises(ValueError, match="a scale that rounding made 0"):
        export_state(scale)
    with pytest.raises(ValueError, match=r"tensors lack n\.stat_shift"):
        export_state({"n.stat_scale": torch.ones(1)})
    state = {"a": torch.tensor([1.0, torch.nan])}
    with pytest.raises(CheckpointError, match="a: values to quantise must be finite"):
        external_message_tensors(read(tmp_path / "a.pt", state), find_format(16))
    assert quantize_tensors({}, find_format(16)) == {}


FOLDED_SPEC = NetworkSpec(name="s-fc", image_size=8, num_classes=3, in_channels=1, base_channels=4)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_folding_on_vectors_is_bit_by_bit_that_on_a_state(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    vectors = {field: torch.randn(2000, generator=generator) for field in (*AFFINE, *STATISTICS)}
    vectors["running_var"] = vectors["running_var"].abs()
    state = {f"conv1_norm.{field}": vector.to(dtype) for field, vector in vectors.items()}
    folded = fold_state(FOLDED_SPEC, state)
    read = {field: state[f"conv1_norm.{field}"].double().numpy() for field in vectors}
    parts = fold_vectors(read, BATCH_NORM_EPS)
    for name, part in zip(("scale", "shift"), parts, strict=True):
        expected = folded[f"conv1_norm.{name}"].float().numpy()
        found = round_to_type(part, str(dtype).removeprefix("torch."))
        np.testing.assert_array_equal(found.view(np.uint32), expected.view(np.uint32))
