"""Good files of every format, small ones, from which the bad ones are made."""

import io
import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from analysis.certify.certify import certify
from analysis.codelength.label_code import encode_labels
from analysis.codelength.label_file import save_labels
from analysis.codes.bit_file import PRIOR_FILE, save_codeword
from analysis.codes.checkpoint_message import described_codeword
from analysis.codes.ledger import Entry
from analysis.quantize.formats import find_format
from mdl.experiments.store.result_store import ResultStore
from mdl.experiments.store.run_result import run_key
from tests.data import make_external_files
from tests.fuzz.arrays import good_arrays
from tests.fuzz.documents import SIX_LOGITS
from tests.fuzz.pictures import FEATURES, good_columns, good_images, write_table
from tests.fuzz.tensors import save_bytes
from tests.mdl.experiments.store.test_run_result import CONFIG, make_result
from training.checkpoint.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from training.data.loading import load_dataset
from training.distributed.run_options import RunOptions
from training.networks.models import fold_batch_norm, network_from_state
from training.run.loop import run_training
from training.run.progress import Unwatched
from training.run.run_folder import RunFolder
from training.spec.config import DataConfig, TrainConfig

Files = dict[str, bytes]
DATA = DataConfig(source="glyphs", image_size=8, num_train=12, num_test=6, validation=2)
_TIMES = ("seconds", "images_per_second", "memory_bytes")
_CODES = Path(__file__).resolve().parents[1] / "data" / "codes"
_RELATIVE = _CODES.with_name("relative")


def make_goods(folder: Path) -> dict[str, dict[str, Files]]:
    """Good files by format and name.

    Args:
        folder: Where to make them; it must not be there yet.
    """
    folder.mkdir()
    runs = {name: _train(folder / name, name, stop=name == "s-conv") for name in ("3-fc", "s-conv")}
    dense, stopped = runs["3-fc"], runs["s-conv"]
    sparse = _sparse(dense)
    folded = replace(
        stopped,
        state=fold_batch_norm(network_from_state(stopped.network, stopped.state)).state_dict(),
        training=None,
    )
    checkpoints = {"dense": dense, "sparse": sparse, "stopped": stopped, "folded": folded}
    external, state = make_external_files.make_good(), make_external_files.make_state()
    return {
        "checkpoint": {
            name: {"checkpoint.pt": _save(each, folder / "new.pt")}
            for name, each in checkpoints.items()
        },
        "external": {
            **{name: {"net.pt": data} for name, data in external.items() if name.endswith(".pt")},
            "types": {"net.pt": save_bytes(_state_of_types())},
        },
        "legacy": {
            "state": {"net.pt": save_bytes(state, _use_new_zipfile_serialization=False)},
            "model": {"net.pt": save_bytes({"model": state}, _use_new_zipfile_serialization=False)},
        },
        "safetensors": {"good": {"net.safetensors": external["good.safetensors"]}},
        "index": {"two shards": _shards(state)},
        "codeword": {
            path.stem: {"net.mdl": path.read_bytes()}
            for path in sorted(_CODES.glob("*.mdl"))
            if path.stat().st_size < 2000
        },
        "relative": {
            "golden": {
                "net.mdl": (_RELATIVE / "network.mdl").read_bytes(),
                PRIOR_FILE: (_RELATIVE / PRIOR_FILE).read_bytes(),
            }
        },
        "certificate": {
            "glyphs": _certificate(sparse, folder / "certificate"),
            "prior": _relative_certificate(sparse, folder / "prior"),
            "target": _certificate(
                sparse, folder / "target", held_out="test", target=[3, 1, 4, 1, 5, 9]
            ),
        },
        "labels": {"six images": {"labels.bits": _labels(folder / "labels.bits")}},
        "predictions": _predictions(),
        "image": _image_folders(good_images()),
        "parquet": _tables(),
        "arrays": good_arrays(),
        "policy": {"two steps": {"policy.json": _policy()}},
        "result": {"store": _store(folder / "store")},
        "run": {"finished": _texts(folder / "3-fc")},
    }


def _texts(run: Path) -> Files:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    steady = "".join(json.dumps(_without_times(line)) + "\n" for line in lines)
    return {"config.json": (run / "config.json").read_bytes(), "metrics.jsonl": steady.encode()}


def _without_times(values: dict[str, Any]) -> dict[str, Any]:
    """The same with what no two runs share set to 1: so equal seeds make equal files."""
    return {
        name: type(value)(1) if name in _TIMES and value is not None else value
        for name, value in values.items()
    }


class _OneStep(Unwatched):
    """Stops a run after its first step."""

    def on_step(self, step: int, num_steps: int) -> None:
        self.requested = True


def _train(folder: Path, network: str, *, stop: bool) -> Checkpoint:
    width = {"hidden_units": 3} if network == "3-fc" else {"base_channels": 1}
    config = TrainConfig(
        network=network, data=DATA, epochs=2, batch_size=5, method="sgd", precision="fp32", **width
    )
    watch = _OneStep() if stop else Unwatched()
    folder.mkdir()
    run = RunFolder(folder)
    run.write_config({"config": config.to_dict(), "versions": {"mdl": "0.2.0"}})
    dataset = load_dataset(DATA)
    run_training(
        config=config, dataset=dataset, folder=run, options=RunOptions(), progress=watch, stop=watch
    )
    made = load_checkpoint(folder)
    training = made.training and _without_times(made.training)
    return replace(made, training=training, metrics=_without_times(made.metrics), versions={})


def _sparse(checkpoint: Checkpoint) -> Checkpoint:
    """The same with most weights zero, so that its file holds sparse tensors."""
    state = {}
    for name, tensor in checkpoint.state.items():
        keep = tensor.abs() > tensor.abs().flatten().quantile(0.9) if tensor.dim() > 1 else None
        state[name] = tensor.clone() if keep is None else tensor * keep
    return replace(checkpoint, state=state, num_nonzeros={})


def _save(checkpoint: Checkpoint, path: Path) -> bytes:
    save_checkpoint(checkpoint, path)
    return path.read_bytes()


def _state_of_types() -> dict[str, Tensor]:
    """Numbers of several types, whole ones, a scalar, a tied tensor, and weight norm's parts."""
    weight = torch.arange(12.0).reshape(3, 4) / 8
    halves = {f"{name}.weight": weight.to(getattr(torch, name)) for name in ("float16", "bfloat16")}
    return {
        **halves,
        "quantized.weight": torch.quantize_per_tensor(weight, 0.1, 0, torch.qint8),
        "whole.weight": weight.to(torch.int8),
        "mask": weight > 1,
        "scale": torch.tensor(1.5),
        "tied.weight": halves["float16.weight"],
        "norm.weight_g": torch.ones(3, 1),
        "norm.weight_v": weight,
    }


def _shards(state: Mapping[str, Tensor]) -> Files:
    from safetensors.torch import save

    names = list(state)
    parts = {
        f"model-0000{number}-of-00002.safetensors": names[number - 1 :: 2] for number in (1, 2)
    }
    placed = {name: part for part, held in parts.items() for name in held}
    index = {"metadata": {"total_size": 264}, "weight_map": placed}
    return {
        "model.safetensors.index.json": json.dumps(index).encode(),
        **{part: save({name: state[name] for name in held}) for part, held in parts.items()},
    }


def _certificate(checkpoint: Checkpoint, folder: Path, **options: Any) -> Files:
    certify(checkpoint, folder=folder, bits=8, **options)
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def _relative_certificate(checkpoint: Checkpoint, folder: Path) -> Files:
    """The network that bits stand for, relative to these bits."""
    bits = folder.with_name("prior.mdl")
    codeword = described_codeword(checkpoint, find_format(8))
    save_codeword(codeword, bits)
    same = replace(checkpoint, state=codeword.message.state, num_nonzeros={})
    files = _certificate(same, folder, prior=bits)
    assert PRIOR_FILE in files
    return files


def _labels(path: Path) -> bytes:
    save_labels(encode_labels(SIX_LOGITS, np.array([3, 1, 4, 1, 5, 9])), path)
    return path.read_bytes()


def _predictions() -> dict[str, Files]:
    columns: dict[str, list[Any]] = {
        "prediction": [3, 1, 4, 1, 5, 9],
        "index": [1, 0, 2, 3, 5, 4],
        "fingerprint": ["0123456789abcdef"] * 6,
    }
    rows = [
        ",".join(columns),
        *(",".join(map(str, row)) for row in zip(*columns.values(), strict=True)),
    ]
    archive = io.BytesIO()
    np.savez(archive, **{name: np.array(values) for name, values in columns.items()})
    return {
        "csv": {"predictions.csv": "\n".join(rows).encode()},
        "npz": {"predictions.npz": archive.getvalue()},
        "parquet": {"predictions.parquet": write_table(columns)},
    }


def _image_folders(images: Mapping[str, bytes]) -> dict[str, Files]:
    """A data set for each image: the first one of two classes."""
    other = images["grey.png"]
    return {
        name: {f"train/a/{name}": data, "train/b/other.png": other, "test/a/other.png": other}
        for name, data in images.items()
    }


def _tables() -> dict[str, Files]:
    columns = good_columns()
    other = write_table(columns)
    text = {"image": columns["image"], "label": ["zero", "one"]}
    return {
        name: {"train-0.parquet": table, "test-0.parquet": table if name == "text" else other}
        for name, table in {
            "plain": other,
            "features": write_table(columns, FEATURES),
            "zipped": write_table(columns, FEATURES, compression="gzip", use_dictionary=False),
            "text": write_table(text),
        }.items()
    }


def _policy() -> bytes:
    steps: list[Any] = [[["Rotate", 0.7, 0.2], ["Invert", 0.1, 0.5]], [["Posterize", 1, 1.0]]]
    return json.dumps({"subpolicies": steps}).encode()


def _store(folder: Path) -> Files:
    store = ResultStore(folder)
    second = replace(CONFIG, seed=1)
    filters = np.linspace(-1, 1, 2 * 3 * 4 * 4).reshape(2, 3, 4, 4)
    store.put(make_result(), filters)
    store.put(make_result(config=second, key=run_key(second)))
    entry = {"tensor": "conv1.weight", "part": "values", "bits": 12.5}
    store.put_ledger(CONFIG, [Entry.from_dict(entry)])
    shutil.rmtree(folder / "runs", ignore_errors=True)
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".lock"
    }
