"""Every command that takes another program's file: its keys, and what was taken."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from tests.mdl.calls import Command

GIVEN = ("--samples", "1000", "--train-errors", "10")
CALLS = {
    "bound": GIVEN,
    "encode": ("--out", "x.mdl"),
    "nonzeros": (),
    "filters": ("--out", "x.png", "--num", "1"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("external")
    torch.manual_seed(0)
    small = nn.Sequential(nn.Conv2d(3, 6, 3), nn.Flatten(), nn.Linear(24, 4)).state_dict()
    large = nn.Sequential(nn.Conv2d(3, 9, 5), nn.Flatten(), nn.Linear(24, 4)).state_dict()
    torch.save({"net": small, "acc": 93.1, "epoch": 7}, place / "net.pt")
    torch.save({"G": {"raw": small, "ema": large}, "D": small}, place / "gan.pt")
    torch.save({"params": small, "params_ema": large}, place / "both.pt")
    torch.save(small, place / "old.pth", _use_new_zipfile_serialization=False)
    pruned = nn.Sequential(nn.Conv2d(3, 6, 3))
    prune.l1_unstructured(pruned[0], "weight", 0.5)
    torch.save(pruned.state_dict(), place / "pruned.pt")
    torch.save({"fc.weight": torch.randn(30, 784)}, place / "mlp.pt")
    torch.save({"fc.weight": torch.randn(30, 50)}, place / "odd.pt")
    (place / "pointer.pt").write_text("version https://git-lfs.github.com/spec/v1\n")
    return place


def one_line(done) -> str:
    assert done.returncode != 0
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1, done.stderr
    return str(done.stderr)


@pytest.mark.parametrize("command", CALLS)
def test_keys(command: str, mdl: Command, folder: Path, monkeypatch) -> None:
    monkeypatch.chdir(folder)
    rest = CALLS[command]

    def call(*arguments: object) -> str:
        done = mdl(command, *arguments, *rest)
        assert done.returncode == 0, done.stderr
        return " ".join(done.stdout.split())

    assert "net.pt under 'net'" in call(folder / "net.pt")
    assert "under 'params_ema'" in call(folder / "both.pt")
    assert "gan.pt under 'G.ema'" in call(folder / "gan.pt", "--key", "G.ema")
    message = one_line(mdl(command, folder / "gan.pt", *rest))
    for words in ("its keys are 'G' (", "'D' (", "say which with --key"):
        assert words in message
    message = one_line(mdl(command, folder / "gan.pt", "--key", "G.x", *rest))
    assert "has no key 'G.x'; its keys are 'G.ema' (" in message
    assert "give another --key" in message
    assert "leave --key out" in one_line(mdl(command, folder / "old.pth", "--key", "net", *rest))
    assert "a Git LFS pointer" in one_line(mdl(command, folder / "pointer.pt", *rest))
    call(folder / "old.pth")


@pytest.mark.parametrize("command", CALLS)
def test_options_of_others_are_refused_for_a_run_of_ours(
    command: str, mdl: Command, trained: Path
) -> None:
    done = mdl(command, trained, "--key", "net", *CALLS[command])
    assert done.returncode == 2
    assert "is not another program's network" in " ".join(done.stderr.replace("│", " ").split())


def test_the_commands_that_bound_suggests_take_the_same_key(mdl: Command, folder: Path) -> None:
    done = mdl("bound", folder / "gan.pt", "--key", "G.raw", *GIVEN)
    assert f"mdl encode {folder / 'gan.pt'} --out net.mdl --key G.raw" in done.stdout


def test_what_lies_beside_is_said(mdl: Command, folder: Path) -> None:
    done = mdl("bound", folder / "both.pt", *GIVEN)
    assert "the file has others under params" in " ".join(done.stdout.split())
    values = json.loads(mdl("bound", folder / "both.pt", *GIVEN, "--json").stdout)
    assert (values["key"], values["beside"]) == ("params_ema", ["params"])
    counts = mdl("nonzeros", folder / "both.pt").stdout
    assert "The file has other tensors under 'params': --key takes them." in counts


def test_counts_of_an_external_file(mdl: Command, folder: Path) -> None:
    state = torch.load(folder / "net.pt", weights_only=True)["net"]
    values = json.loads(mdl("nonzeros", folder / "net.pt", "--json").stdout)
    assert values["key"] == "net"
    numbers = torch.cat([tensor.flatten() for tensor in state.values()])
    total = values["counts"]["total"]
    assert total["num_weights"] == len(numbers)
    assert total["num_nonzeros"] == int(numbers.count_nonzero())
    assert total["num_distinct"] == len(numbers.unique())
    assert [row["name"] for row in values["counts"]["tensors"]] == list(state)
    full = mdl("nonzeros", folder / "net.pt", "--full").stdout
    assert "net.pt under 'net', as it is" in full


def test_filters_of_external_networks(mdl: Command, folder: Path, tmp_path: Path) -> None:
    out = ("--out", tmp_path / "x.png", "--num", "1", "--json")
    kernels = json.loads(mdl("filters", folder / "net.pt", *out).stdout)["checkpoints"][0]
    assert kernels["layer"] == "0.weight"
    assert kernels["num_filters"] == 6
    assert kernels["network"] == "net.pt under 'net': 0.weight on 3x3x3 kernels"
    laid = json.loads(mdl("filters", folder / "net.pt", "--image-size", "32", *out).stdout)
    small, large = (each["summary"] for each in (kernels, laid["checkpoints"][0]))
    assert small["radius"] == pytest.approx(large["radius"])
    assert large["chance_radius"] > 5 * small["chance_radius"]
    dense = json.loads(mdl("filters", folder / "mlp.pt", *out).stdout)["checkpoints"][0]
    assert dense["network"] == "mlp.pt: fc.weight on 1x28x28 images"
    pruned = json.loads(mdl("filters", folder / "pruned.pt", *out).stdout)["checkpoints"][0]
    assert pruned["layer"] == "0.weight@pruned"
    message = one_line(mdl("filters", folder / "odd.pt", *out))
    assert "give --image-size and --channels" in message
    odd = mdl("filters", folder / "odd.pt", "--channels", "2", "--image-size", "5", *out)
    assert json.loads(odd.stdout)["checkpoints"][0]["num_filters"] == 30


def test_a_kernel_that_is_no_square(mdl: Command, tmp_path: Path) -> None:
    weight = torch.randn(8, 1, 3, 7) + 5
    torch.save({"w": weight}, tmp_path / "a.pt")
    done = mdl("filters", tmp_path / "a.pt", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["checkpoints"][0]
    assert {row["num_nonzeros"] for row in found["filters"]} == {21}


def test_integers_there_and_back(mdl: Command, tmp_path: Path) -> None:
    state = {
        "fc.weight": torch.randint(-128, 128, (20, 30), dtype=torch.int8),
        "fc.scale": torch.tensor([0.5, 0.25]),
        "mask": torch.rand(40) > 0.5,
    }
    torch.save(state, tmp_path / "a.pt")
    done = mdl("encode", tmp_path / "a.pt", "-o", tmp_path / "a.mdl")
    assert done.returncode == 0, done.stderr
    assert "int8" in done.stdout
    assert mdl("decode", tmp_path / "a.mdl", "--state-dict", tmp_path / "b.pt").returncode == 0
    back = torch.load(tmp_path / "b.pt", weights_only=True)
    assert all(torch.equal(back[name], tensor) for name, tensor in state.items())
    assert all(back[name].dtype == tensor.dtype for name, tensor in state.items())
    done = mdl("bound", tmp_path / "a.mdl", *GIVEN, "--json")
    bits = json.loads(done.stdout)["description_bits"]
    assert bits == json.loads(mdl("encode", tmp_path / "a.pt", "--json").stdout)["description_bits"]
    for option in ("--full", "--lengths-only"):
        assert mdl("bound", tmp_path / "a.pt", *GIVEN, option).returncode == 0
