"""Pruned and weight-normalised networks: one weight is described; torch's own modules load it."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune, weight_norm

from analysis.codes.network_code import decode_network, encode_network
from analysis.describe.describe import read_message
from analysis.describe.export import export_state
from analysis.describe.external_network import describe_tensors
from analysis.describe.external_report import report_external
from analysis.quantize.formats import find_format
from training.errors import CheckpointError
from training.tensor_files.open import open_tensor_file


def pruned() -> nn.Module:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 5))
    prune.l1_unstructured(network[0], "weight", 0.5)
    prune.random_unstructured(network[3], "bias", 0.4)
    return network


def old_norm() -> nn.Module:
    with pytest.warns(FutureWarning):
        inner = [weight_norm(nn.Conv2d(3, 4, 3)), weight_norm(nn.Linear(16, 5), dim=None)]
    return nn.Sequential(inner[0], nn.ReLU(), nn.Flatten(), inner[1])


def new_norm() -> nn.Module:
    return nn.Sequential(
        parametrizations.weight_norm(nn.Conv2d(3, 4, 3)),
        nn.ReLU(),
        nn.Flatten(),
        parametrizations.weight_norm(nn.Linear(16, 5), dim=1),
    )


NETWORKS: dict[str, tuple[Callable[[], nn.Module], list[str]]] = {
    "pruned": (pruned, ["0.bias", "0.weight@pruned", "3.weight", "3.bias@pruned"]),
    "old norm": (old_norm, ["0.bias", "0.weight@norm0", "3.bias", "3.weight@norm"]),
    "new norm": (
        new_norm,
        ["0.bias", "0.weight@parametrized_norm0", "3.bias", "3.weight@parametrized_norm1"],
    ),
}


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("bits", [16, 32])
def test_their_own_module_loads_and_computes_what_was_described(
    kind: str, bits: int, tmp_path: Path
) -> None:
    make, names = NETWORKS[kind]
    torch.manual_seed(0)
    network, other = make(), make()
    torch.save(network.state_dict(), tmp_path / "a.pt")
    message = read_message(tmp_path / "a.pt", find_format(bits))
    assert set(message.state) == set(names)
    for layer in (0, 3):  # what is coded is what the module computes with
        for field in ("weight", "bias"):
            coded = next(
                message.state[name] for name in names if name.startswith(f"{layer}.{field}")
            )
            own = getattr(network[layer], field).detach()
            torch.testing.assert_close(coded, own, rtol=2**-7 if bits == 16 else 1e-6, atol=1e-6)
    decoded = decode_network(encode_network(message).data).message
    other.load_state_dict(export_state(decoded.state))
    inputs = torch.randn(6, 3, 4, 4)
    described = other(inputs)
    tolerance = 0.05 if bits == 16 else 1e-5
    torch.testing.assert_close(described, network(inputs), rtol=tolerance, atol=tolerance)

    torch.save(other.state_dict(), tmp_path / "b.pt")  # describing that again changes nothing
    again = read_message(tmp_path / "b.pt", find_format(bits))
    for name in names:
        torch.testing.assert_close(again.state[name], message.state[name], rtol=1e-6, atol=0)
    with open_tensor_file(tmp_path / "b.pt") as file:
        report = report_external(describe_tensors(file), find_format(16))
    assert bits == 32 or report.num_rounded == 0


def test_zeros_of_a_mask_cost_almost_nothing(tmp_path: Path) -> None:
    layer = nn.Linear(50, 40)
    torch.save(layer.state_dict(), tmp_path / "dense.pt")
    prune.l1_unstructured(layer, "weight", 0.95)
    torch.save(layer.state_dict(), tmp_path / "pruned.pt")
    sizes = [
        encode_network(read_message(tmp_path / f"{name}.pt", find_format(16))).num_bits
        for name in ("pruned", "dense")
    ]
    assert sizes[0] < sizes[1] / 5


def test_rows_of_zeros_have_a_direction(tmp_path: Path) -> None:
    state = {
        "fc.weight_g": torch.tensor([[0.0], [2.0]]),
        "fc.weight_v": torch.tensor([[3.0, 4.0], [0.0, 5.0]]),
    }
    torch.save(state, tmp_path / "a.pt")
    message = read_message(tmp_path / "a.pt", find_format(16))
    assert message.state["fc.weight@norm0"].tolist() == [[0, 0], [0, 2]]
    back = export_state(message.state)
    assert back["fc.weight_g"].tolist() == [[0], [2]]
    assert back["fc.weight_v"].tolist() == [[1, 1], [0, 2]]


@pytest.mark.parametrize(
    "state",
    [
        {"a_g": torch.ones(3), "a_v": torch.ones(4, 3)},
        {"a_orig": torch.ones(3), "a_mask": torch.ones(2)},
        {"a_orig": torch.ones(3), "a_mask": torch.ones(3, dtype=torch.bool)},
        {"a_g": torch.ones(2, 1)},
        {"parametrizations.w.original": torch.ones(3, 3), "parametrizations.w.0._u": torch.ones(3)},
    ],
)
def test_other_tensors_of_such_names_are_what_they_are(
    state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    torch.save(state, tmp_path / "a.pt")
    assert list(read_message(tmp_path / "a.pt", find_format(16)).state) == list(state)


def test_a_norm_of_zero_is_refused(tmp_path: Path) -> None:
    torch.save({"a_g": torch.ones(2, 1), "a_v": torch.zeros(2, 3)}, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match="'a@norm0' has numbers that are not finite"):
        read_message(tmp_path / "a.pt", find_format(16))
