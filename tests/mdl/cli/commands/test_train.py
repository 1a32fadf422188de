import json
import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch

from tests.mdl.calls import HANGS_S, SMALL, call_here, start_process
from training.checkpoint.checkpoint import load_checkpoint
from training.run.run_folder import RunFolder


def start(*arguments: str, folder: Path) -> subprocess.Popen[str]:
    return start_process("train", *arguments, folder=folder)


def finish(*arguments: str, folder: Path) -> tuple[int, str, str]:
    done = call_here("train", *arguments, folder=folder)
    return done.returncode, done.stdout, done.stderr


def wait_for(condition: object, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + HANGS_S
    while not condition():  # type: ignore[operator]
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_train_prints_tables_and_the_next_steps(tmp_path: Path) -> None:
    code, out, err = finish("s-fc", *SMALL, "--epochs", "2", folder=tmp_path)
    assert code == 0, err
    run = tmp_path / "runs" / "0001-s-fc"
    assert (run / "checkpoint.pt").exists()
    config = json.loads((run / "config.json").read_text())
    assert config["config"]["network"] == "s-fc"
    assert {"torch", "python"} <= set(config["versions"])
    assert len((run / "metrics.jsonl").read_text().splitlines()) == 2
    assert "mdl bound runs/0001-s-fc" in out
    assert "mdl filters runs/0001-s-fc" in out
    assert "epoch 2/2" in err
    assert err.index("Each line: loss and accuracy") < err.index("epoch 1/2")
    assert "does not have" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("s-fc", "--method", "sgd", "--beta", "10"), "--beta belongs to --method beta-lasso"),
        (("s-conv", "--beta", "10"), "--beta belongs to --method beta-lasso"),
        (("s-fc", "--method", "sgd", "--sparse", "always"), "--sparse always needs --method"),
        (("s-conv", "--sparse", "always"), "--sparse always needs --method beta-lasso"),
        (("s-fc", "--beta", "0", "--sparse", "always"), "--sparse always needs --method"),
        (("s-fc", "--precision", "fp16", "--sparse", "always"), "--sparse always needs"),
    ],
)
def test_an_option_that_would_do_nothing_is_refused(
    arguments: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    code, out, err = finish(arguments[0], *SMALL, *arguments[1:], folder=tmp_path)
    assert (code, out) == (2, "")
    assert said in " ".join(err.split())
    assert not (tmp_path / "runs").exists()


def test_layers_too_small_to_be_sparse_are_said(tmp_path: Path) -> None:
    code, _, err = finish("s-fc", *SMALL, "--epochs", "1", "--sparse", "always", folder=tmp_path)
    assert code == 0, err
    assert "--sparse always: all layers stay dense" in err


def test_json_stands_alone_on_stdout(tmp_path: Path) -> None:
    out_folder = tmp_path / "elsewhere"
    code, out, err = finish(
        "s-conv", *SMALL, "--epochs", "1", "--out", str(out_folder), "--json", folder=tmp_path
    )
    assert code == 0, err
    result = json.loads(out)
    assert result["status"] == "finished"
    assert Path(result["checkpoint"]) == out_folder / "checkpoint.pt"
    assert result["metrics"]["num_samples"] == 256
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
@pytest.mark.process
def test_a_killed_run_resumes_to_bit_identical_weights(tmp_path: Path) -> None:
    arguments = ("s-fc", *SMALL, "--epochs", "40", "--shrinkage", "2", "--dropout", "0.1")
    code, _, err = finish(*arguments, "--out", "whole", folder=tmp_path)
    assert code == 0, err
    process = start(*arguments, "--out", "cut", "--save-every", "3steps", folder=tmp_path)
    metrics = tmp_path / "cut" / "metrics.jsonl"
    wait_for(lambda: metrics.exists() and len(metrics.read_text().splitlines()) >= 3, process)
    process.kill()
    process.communicate()
    assert load_checkpoint(tmp_path / "cut").training is not None
    code, _, err = finish("--resume", "cut", folder=tmp_path)
    assert code == 0, err
    whole, cut = (load_checkpoint(tmp_path / name) for name in ("whole", "cut"))
    for name, value in whole.state.items():
        assert torch.equal(value, cut.state[name]), name
    assert whole.metrics["train_errors"] == cut.metrics["train_errors"]
    lines = metrics.read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == list(range(1, 41))


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_ends_cleanly(number: signal.Signals, tmp_path: Path) -> None:
    process = start("s-fc", *SMALL, "--epochs", "100000", "--out", "cut", folder=tmp_path)
    metrics = tmp_path / "cut" / "metrics.jsonl"
    wait_for(lambda: metrics.exists() and len(metrics.read_text().splitlines()) >= 2, process)
    process.send_signal(number)
    out, err = process.communicate(timeout=HANGS_S)
    assert process.returncode == 128 + number
    assert "Traceback" not in err
    assert "mdl train --resume cut" in err
    assert out == ""
    saved = load_checkpoint(tmp_path / "cut").training
    assert saved is not None
    assert saved["step"] >= 16


@pytest.mark.sample(3)
@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("s-fcc",), 2, "mdl train: NETWORK must be one of d-conv"),
        ((), 2, "name a network"),
        (("s-fc", "--epochs", "0"), 2, "mdl train: --epochs must be >= 1, not 0"),
        (("s-fc", "--batch-size", "1"), 2, "mdl train: --batch-size must be >= 2, not 1"),
        (("s-fc", "--data-seed", "-1"), 2, "mdl train: --data-seed must be >= 0, not -1"),
        (("s-fc", "--seed", "-1"), 2, "mdl train: --seed must be >= 0, not -1"),
        (("s-fc", "--image-size", "0"), 2, "mdl train: --image-size must be >= 1, not 0"),
        (
            ("s-fc", "--momentum", "0.9"),
            2,
            "mdl train: --momentum and --weight-decay belong to sgd",
        ),
        (("s-fc", "--hidden-units", "9"), 2, "s-fc takes no --hidden-units; its width is --base"),
        (("s-fc", "--base-channels", "0"), 2, "--base-channels must be >= 1, not 0"),
        (("resnet18", "--kernel-size", "4"), 2, "mdl train: --kernel-size must be odd"),
        (("s-fc", "--shard", "always"), 2, "mdl train: --shard always needs several ranks"),
        (("s-fc", "--recipe", "slow"), 2, "slow"),
        (("s-fc", "--data", "no/such/folder"), 1, "no/such/folder"),
        (("s-fc", "--device", "tpu"), 2, "tpu"),
        (("s-fc", "--validation", "999999", "--num-train", "99"), 1, "validation"),
        (("s-fc", "--save-every", "often"), 2, "500steps, or a time such as 90s, 10m or 2h"),
        (("--resume", "nowhere"), 1, "not a run folder"),
        (("s-conv", "--resume", "nowhere"), 2, "NETWORK cannot change"),
        (("--resume", "nowhere", "--seed", "3"), 2, "--seed cannot change"),
        (("--resume", "nowhere", "--data-seed", "3"), 2, "--data-seed cannot change"),
    ],
)
def test_mistakes_get_one_line(
    arguments: tuple[str, ...], code: int, words: str, tmp_path: Path
) -> None:
    found, out, err = finish(*arguments, folder=tmp_path)
    assert found == code, err
    assert "Traceback" not in err
    assert words in " ".join(err.split())
    assert out == ""
    assert "Value error" not in err
    assert "Arithmetic:" not in err or code == 1
    if code == 1:
        assert sum(line.startswith("error: ") for line in err.splitlines()) == 1
    else:
        line, hint = err.splitlines()
        assert line.startswith("mdl train: ")
        assert hint == "Try 'mdl train --help'."
    assert not (tmp_path / "runs").exists()


def test_a_folder_in_use_is_told_before_any_image_is_read(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").write_text("mine")
    code, out, err = finish("s-fc", "--out", "run", folder=tmp_path)
    assert (code, out) == (2, "")
    assert err.splitlines()[0] == (
        "mdl train: --out run is not an empty folder; choose a new one, or resume it by "
        "--resume run"
    )


def test_a_run_that_another_process_works_on_is_refused(tmp_path: Path) -> None:
    code, _, err = finish("s-fc", *SMALL, "--epochs", "1", "--out", "run", folder=tmp_path)
    assert code == 0, err
    before = {entry.name: entry.read_bytes() for entry in (tmp_path / "run").iterdir()}
    with RunFolder(tmp_path / "run").hold():
        for call in (("--resume", "run"), ("s-fc", *SMALL, "--out", "run")):
            code, out, err = finish(*call, folder=tmp_path)
            assert (code, out) == (1, ""), err
            assert "error: run/run.lock: process " in err
            assert err.count("works on it; wait for its end") == 1
    after = {entry.name: entry.read_bytes() for entry in (tmp_path / "run").iterdir()}
    assert after == before


def test_a_run_killed_before_its_first_checkpoint_begins_anew(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    with run.hold():
        run.write_config({"config": {}, "versions": {}})
    run.lock.write_text("1234567 here\n")
    code, _, err = finish("--resume", "run", folder=tmp_path)
    assert code == 1
    assert err.splitlines() == [
        "error: run was ended before its first checkpoint; begin it anew by the command that began "
        "it, with --out run"
    ]
    code, _, err = finish("s-fc", *SMALL, "--epochs", "1", "--out", "run", folder=tmp_path)
    assert code == 0, err
    assert sorted(entry.name for entry in run.path.iterdir()) == [
        "checkpoint.pt",
        "config.json",
        "metrics.jsonl",
    ]


def test_one_epoch_is_not_several(tmp_path: Path) -> None:
    code, _, err = finish("s-fc", *SMALL, "--epochs", "1", folder=tmp_path)
    assert code == 0, err
    assert ", 1 epoch," in err.replace("\n", " ")


def test_a_diverging_run_ends_with_one_line(tmp_path: Path) -> None:
    code, _, err = finish(
        "3-fc",
        "--image-size",
        "8",
        "--num-train",
        "256",
        "--num-test",
        "64",
        "--hidden-units",
        "4",
        "--batch-size",
        "32",
        "--method",
        "sgd",
        "--lr",
        "1e12",
        "--out",
        "run",
        folder=tmp_path,
    )
    assert code == 1
    assert "Traceback" not in err
    assert err.splitlines()[-1].startswith("error: ")
    assert "not finite" in err
    load_checkpoint(tmp_path / "run")
