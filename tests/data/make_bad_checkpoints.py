"""Writes the corpus of checkpoints in tests/data/checkpoints: good ones, and every kind of bad one.

The files are committed, so that later versions are tested against files of this one. Run it again
(`python -m tests.data.make_bad_checkpoints` from the root) only to add a file, and commit only
that one: the others must stay as they are.

The hostile files are harmless: what they would run makes a file `hostile_code_ran` in the current
folder.
"""

import io
import os
import pickle
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from training.checkpoint.checkpoint import Checkpoint, DataRecord, save_checkpoint
from training.networks.models import build_network, fold_batch_norm
from training.spec.architectures import NetworkSpec
from training.spec.normalization import fixed_normalization

FOLDER = Path(__file__).resolve().parent / "checkpoints"
MARKER = "hostile_code_ran"
SPEC = NetworkSpec(name="s-fc", image_size=4, num_classes=2, in_channels=1, base_channels=1)


class Hostile:
    """Runs a command when it is unpickled: one that makes an empty file."""

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"echo > {MARKER}",)


def make_checkpoint() -> Checkpoint:
    """A tiny s-fc, two thirds of its weights zero, with every field filled."""
    generator = torch.Generator().manual_seed(0)
    state = {}
    for name, tensor in build_network(SPEC).state_dict().items():
        if tensor.is_floating_point():
            filled = torch.randint(-8, 9, tensor.shape, generator=generator) / 8
            keep = torch.rand(tensor.shape, generator=generator) < (1 if tensor.dim() < 2 else 0.3)
            state[name] = (filled * keep).to(tensor.dtype)
            if name.endswith("running_var"):
                state[name] = filled.abs() + 1
        else:
            state[name] = torch.tensor(7)
    data = DataRecord(
        config={"source": "glyphs"},
        name="glyphs",
        fingerprint="0123456789abcdef",
        num_samples=100,
        num_validation=10,
        num_test=50,
        image_size=4,
        in_channels=1,
        num_classes=2,
        class_names=("zero", "one"),
    )
    return Checkpoint(
        network=SPEC,
        state=state,
        data=data,
        normalization=fixed_normalization(1),
        config={"lr": 0.1, "epochs": 3, "data": {"source": "glyphs"}},
        metrics={"test_accuracy": 0.75},
        versions={"mdl": "0.1.0", "gpu": None},
        training={"step": 5, "sums": [0.5, None], "generator": torch.arange(4)},
    )


def to_bytes(contents: Any, **options: Any) -> bytes:
    """What torch.save writes."""
    file = io.BytesIO()
    torch.save(contents, file, **options)
    return file.getvalue()


def bad_csr(rows_end: list[int], columns: list[int], size: tuple[int, int] = (4, 16)) -> Tensor:
    """A CSR tensor that nobody has checked."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.sparse_csr_tensor(
            torch.tensor(rows_end, dtype=torch.int32),
            torch.tensor(columns, dtype=torch.int32),
            torch.ones(len(columns)),
            size=size,
            check_invariants=False,
        )


def other_zip() -> bytes:
    """A zip archive that has nothing to do with torch."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("readme.txt", "not a checkpoint")
    return file.getvalue()


def changed(good: dict[str, Any], **values: Any) -> bytes:
    """The good file with other values at its top."""
    return to_bytes({**good, **values})


def with_tensor(good: dict[str, Any], name: str, tensor: Tensor) -> bytes:
    """The good file with one other tensor in its state."""
    return changed(good, state={**good["state"], name: tensor})


def make_bad(good_bytes: bytes) -> dict[str, bytes]:
    """Every bad file by name."""
    good = torch.load(io.BytesIO(good_bytes), weights_only=True)
    state = good["state"]
    weight = torch.ones(4, 16)
    nan = weight.clone()
    nan[1, 2] = torch.nan
    linear = nn.Linear(2, 3)
    linear_state = dict(linear.state_dict())
    lacking = {name: tensor for name, tensor in state.items() if name != "fc1.weight"}
    lacking_field = {name: value for name, value in good.items() if name != "metrics"}
    counts = good["num_nonzeros"]
    return {
        "empty": b"",
        "text": "epoch,loss\n1,0.5 café\n".encode(),
        "binary": bytes(range(256)) * 4,
        "truncated": good_bytes[: len(good_bytes) // 2],
        "truncated_end": good_bytes[:-10],
        "other_zip": other_zip(),
        "plain_pickle": pickle.dumps({"state": [1.0, 2.0]}),
        "legacy_torch": to_bytes(linear_state, _use_new_zipfile_serialization=False),
        "hostile_pickle": pickle.dumps({"state": Hostile()}),
        "hostile_torch": to_bytes({**good, "metrics": Hostile()}),
        "whole_module": to_bytes(linear),
        "external_state": to_bytes(linear_state),
        "external_list": to_bytes([1, 2, 3]),
        "csr_column_too_large": with_tensor(good, "conv1.weight", bad_csr([0, 1, 1, 1, 1], [99])),
        "csr_column_negative": with_tensor(good, "conv1.weight", bad_csr([0, 1, 1, 1, 1], [-1])),
        "csr_columns_unsorted": with_tensor(good, "conv1.weight", bad_csr([0, 2, 2, 2, 2], [5, 3])),
        "csr_columns_twice": with_tensor(good, "conv1.weight", bad_csr([0, 2, 2, 2, 2], [3, 3])),
        "csr_rows_negative": with_tensor(good, "conv1.weight", bad_csr([0, -1, 1, 1, 2], [1, 2])),
        "csr_rows_decrease": with_tensor(good, "conv1.weight", bad_csr([0, 2, 1, 1, 2], [1, 2])),
        "csr_wrong_shape": with_tensor(good, "conv1.weight", bad_csr([0, 1], [3], size=(1, 64))),
        "coo": with_tensor(good, "conv1.weight", weight.to_sparse_coo()),
        "expanded": with_tensor(good, "conv1.weight", torch.ones(1, 1).expand(4, 16)),
        "future_version": changed(good, version=2),
        "version_text": changed(good, version="1"),
        "version_zero": changed(good, version=0),
        "missing_field": to_bytes(lacking_field),
        "unknown_field": changed(good, colour="blue"),
        "missing_tensor": changed(good, state=lacking),
        "extra_tensor": with_tensor(good, "fc9.weight", weight),
        "tensor_is_number": changed(good, state={**state, "fc1.weight": 1.0}),
        "name_is_number": changed(good, state={**state, 5: weight}),
        "wrong_shape": with_tensor(good, "conv1.weight", torch.ones(4, 15)),
        "wrong_dtype": with_tensor(good, "conv1.weight", weight.to(torch.int32)),
        "mixed_dtypes": with_tensor(good, "fc1.weight", torch.ones(24, 4, dtype=torch.float64)),
        "counter_dtype": with_tensor(good, "conv1_norm.num_batches_tracked", torch.tensor(7.0)),
        "not_finite": with_tensor(good, "conv1.weight", nan),
        "counts_disagree": changed(good, num_nonzeros={**counts, "fc1": counts["fc1"] + 1}),
        "counts_missing": changed(good, num_nonzeros={}),
        "unknown_network": changed(good, network={**good["network"], "name": "t-rex"}),
        "network_too_large": changed(good, network={**good["network"], "base_channels": 10**18}),
        "network_lacks": changed(good, network={"name": "s-fc"}),
        "data_of_others": changed(good, data={**good["data"], "image_size": 5}),
        "data_config": changed(good, data={**good["data"], "config": {"colour": 1}}),
        "data_classes": changed(good, data={**good["data"], "class_names": ("zero",)}),
        "normalization_zero": changed(
            good, normalization={"mean": (0.5,), "std": (0.0,), "source": "fixed"}
        ),
        "metrics_tensor": changed(good, metrics={"accuracy": torch.ones(1)}),
        "training_list": changed(good, training=[1]),
    }


def main() -> None:
    """Write the files that are not there yet."""
    FOLDER.mkdir(exist_ok=True)
    checkpoint = make_checkpoint()
    save_checkpoint(checkpoint, FOLDER / "new.tmp")
    good_bytes = (FOLDER / "new.tmp").read_bytes()
    network = build_network(SPEC)
    network.load_state_dict(checkpoint.state)
    folded = fold_batch_norm(network).state_dict()
    save_checkpoint(Checkpoint(network=SPEC, state=folded), FOLDER / "new.tmp")
    files = {
        "good": good_bytes,
        "good_folded": (FOLDER / "new.tmp").read_bytes(),
        **make_bad(good_bytes),
    }
    (FOLDER / "new.tmp").unlink()
    for name, data in files.items():
        path = FOLDER / f"{name}.pt"
        if not path.exists():
            path.write_bytes(data)
            print(f"{path.name}: {len(data)} bytes")


if __name__ == "__main__":
    main()
