"""`mdl encode` and `mdl decode` as processes: the round trip, the lengths, and bad input."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from analysis.bounds.bounds import binomial_tail
from analysis.bounds.lengths import theorem_2_length
from analysis.codes.checkpoint_message import checkpoint_message
from analysis.quantize.formats import find_format
from training.checkpoint.checkpoint import load_checkpoint


@pytest.fixture(scope="module")
def encoded(mdl, trained, tmp_path_factory) -> tuple[Path, dict]:
    """The bits of the trained run at 16 bits, and what encoding printed as JSON."""
    file = tmp_path_factory.mktemp("encoded") / "net.mdl"
    done = mdl("encode", str(trained), "-o", str(file), "--json")
    assert done.returncode == 0, done.stderr
    return file, json.loads(done.stdout)


def test_decode_gives_back_the_network_that_was_encoded(mdl, trained, encoded, tmp_path):
    file, report = encoded
    out = tmp_path / "back.pt"
    done = mdl("decode", str(file), "-o", str(out), "--json")
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    assert printed["description_bits"] == report["description_bits"]
    message = checkpoint_message(load_checkpoint(trained), find_format(16))
    decoded = load_checkpoint(out)
    assert decoded.network == message.spec
    assert decoded.normalization == message.inputs.normalization
    assert all(torch.equal(decoded.state[name], message.state[name]) for name in message.state)


def test_lengths_stand_side_by_side_and_the_ledger_adds_up(encoded):
    _, report = encoded
    assert set(report["lengths"]) == {"plain", "theorem-2", "enumerative", "context"}
    assert report["description_bits"] == min(report["lengths"].values())
    assert sum(entry["bits"] for entry in report["ledger"]) == pytest.approx(
        report["description_bits"]
    )
    assert (report["description_bits"] + 7) // 8 == report["file_bytes"] - 24


def test_theorem_2_code_has_the_length_of_the_formula(encoded, trained):
    _, report = encoded
    message = checkpoint_message(load_checkpoint(trained), find_format(16))
    values = torch.cat([tensor.flatten() for tensor in message.state.values()])
    formula = theorem_2_length(len(values), int(values.count_nonzero()), len(values.unique()), 16)
    head = next(entry["bits"] for entry in report["ledger"] if entry["tensor"] == "head")
    plain_head = report["lengths"]["plain"] - 16 * len(values)
    assert abs(plain_head - head) <= 5  # the code's own number in the head
    assert abs(report["lengths"]["theorem-2"] - formula.whole_bits - plain_head) <= 5


def test_convolution_as_fully_connected_network_is_as_short_as_itself(mdl, tmp_path):
    run = tmp_path / "conv"
    done = mdl(
        "train",
        "s-conv",
        "--image-size",
        "8",
        "--num-train",
        "200",
        "--num-test",
        "50",
        "--base-channels",
        "2",
        "--batch-size",
        "20",
        "--epochs",
        "1",
        "--out",
        str(run),
    )
    assert done.returncode == 0, done.stderr
    own, twin = (
        json.loads(mdl("encode", str(run), "-o", str(tmp_path / "a.mdl"), "--json", *more).stdout)
        for more in ((), ("--as", "s-fc"))
    )
    lengths = twin["lengths"]
    assert twin["code"] == "structured-conv"
    assert abs(lengths["structured-conv"] - own["description_bits"]) < 40
    assert lengths["structured-conv"] < lengths["context"] / 2 < lengths["plain"] / 2
    done = mdl("decode", str(tmp_path / "a.mdl"), "-o", str(tmp_path / "fc.pt"), "--json")
    assert json.loads(done.stdout)["network"] == "s-fc"


def test_tables_for_people(mdl, trained, tmp_path):
    done = mdl("encode", str(trained), "-o", str(tmp_path / "net.mdl"), "--bits", "8", "--full")
    assert done.returncode == 0, done.stderr
    assert "Where the bits go" in done.stdout
    assert "conv1.weight" in done.stdout
    assert "mdl decode" in done.stdout


@pytest.mark.sample(3)
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("encode", "nowhere.pt"), "nowhere.pt: no such file"),
        (("decode", "nowhere.mdl"), "nowhere.mdl: no such file"),
        (("encode", "RUN", "--bits", "3"), "bits must be one of"),
        (("encode", "RUN", "--code", "structured-conv"), "structure"),
        (("encode", "RUN", "--as", "d-fc"), "not of the d- family"),
        (("decode", "RUN/checkpoint.pt"), "not a file of bits"),
    ],
)
def test_mistake_is_one_line_and_leaves_no_file(mdl, trained, tmp_path, arguments, said):
    given = [each.replace("RUN", str(trained)) for each in arguments]
    done = mdl(*given, "-o", str(tmp_path / "out"))
    assert done.returncode in (1, 2)
    assert said in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_damaged_file_is_refused(mdl, encoded, tmp_path):
    file, _ = encoded
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 4
    (tmp_path / "bad.mdl").write_bytes(data)
    done = mdl("decode", str(tmp_path / "bad.mdl"))
    assert done.returncode == 1
    assert "damaged" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def make_external() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 5)
    )


def test_another_programs_network_comes_back_under_its_own_names(mdl, tmp_path):
    torch.manual_seed(0)
    module = make_external()
    module(torch.randn(64, 3, 8, 8))
    state = {f"module.{name}": tensor for name, tensor in module.state_dict().items()}
    torch.save({"epoch": 3, "state_dict": state}, tmp_path / "theirs.pt")
    bits, back = tmp_path / "theirs.mdl", tmp_path / "back.pt"
    done = mdl("encode", str(tmp_path / "theirs.pt"), "-o", str(bits), "--bits", "32", "--json")
    assert done.returncode == 0, done.stderr
    length = json.loads(done.stdout)["description_bits"]
    refused = mdl("decode", str(bits))
    assert refused.returncode == 1
    assert "--state-dict FILE" in refused.stderr
    assert mdl("decode", str(bits), "--state-dict", str(back)).returncode == 0
    decoded = make_external()
    decoded.load_state_dict(torch.load(back, weights_only=True), strict=False)
    inputs = torch.randn(5, 3, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(decoded.eval()(inputs), module.eval()(inputs))
    given = ("--samples", "50000", "--train-errors", "900")
    done = mdl("bound", str(bits), *given, "--json")
    report = json.loads(done.stdout)
    assert report["description_bits"] == length
    assert report["bound"] == binomial_tail(900, 50_000, length, 0.05)
    assert report["errors"] == "given"
    done = mdl("bound", str(bits))
    assert done.returncode == 2
    assert "without the network's code" in " ".join(done.stderr.split())
