"""Writes the corpus of other programs' checkpoints in tests/data/external: good ones and bad ones.

The files are committed, so that later versions are tested against files of this one. Run it again
(`python -m tests.data.make_external_files` from the root) only to add a file, and commit only that
one. The hostile files are harmless: what they would run makes a file in the current folder.
"""

import io
import json
import pickle
import struct
import warnings
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tests.data.make_bad_checkpoints import Hostile, other_zip, to_bytes

FOLDER = Path(__file__).resolve().parent / "external"


def make_state() -> dict[str, Tensor]:
    """A state dict of a tiny network: a linear layer, BatchNorm with and without weights."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Linear(3, 4),
        nn.BatchNorm1d(4),
        nn.ReLU(),
        nn.BatchNorm1d(4, affine=False),
        nn.Linear(4, 2),
    )
    network(torch.randn(16, 3))
    return OrderedDict((name, tensor.clone()) for name, tensor in network.state_dict().items())


def make_safetensors(header: Any, data: bytes = b"", *, length: int | None = None) -> bytes:
    """The format by hand; `header` is JSON, or the bytes that stand for it."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(shape: list[Any], begin: Any, end: Any, dtype: Any = "F32") -> dict[str, Any]:
    """One tensor of a header."""
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def make_bad_safetensors() -> dict[str, bytes]:
    """Headers that lie, by name."""
    eight = bytes(8)
    good = make_safetensors({"a": entry([2], 0, 8)}, eight)
    nested = b'{"a":' + b"[" * 20_000 + b"]" * 20_000 + b"}"
    return {
        "empty": b"",
        "seven_bytes": good[:7],
        "only_length": good[:8],
        "cut_in_header": good[:20],
        "cut_in_data": good[:-1],
        "bytes_left_over": good + b"x",
        "length_huge": make_safetensors({"a": entry([2], 0, 8)}, eight, length=2**63),
        "length_above_limit": make_safetensors({}, eight, length=2**25 + 1),
        "length_zero": make_safetensors(b"", eight),
        "not_json": make_safetensors(b"{a: 1}"),
        "not_utf8": make_safetensors(b'{"\xff": 1}'),
        "list": make_safetensors(b"[]"),
        "nested": make_safetensors(nested),
        "no_tensors": make_safetensors({}),
        "metadata_only": make_safetensors({"__metadata__": {"a": "b"}}),
        "metadata_number": make_safetensors({"__metadata__": {"a": 1}}),
        "entry_is_number": make_safetensors({"a": 3}),
        "name_twice": make_safetensors(
            b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},'
            b'"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}',
            eight,
        ),
        "field_missing": make_safetensors({"a": {"dtype": "F32", "shape": [2]}}, eight),
        "field_unknown": make_safetensors({"a": {**entry([2], 0, 8), "x": 1}}, eight),
        "dtype_unknown": make_safetensors({"a": entry([2], 0, 8, "F31")}, eight),
        "dtype_number": make_safetensors({"a": entry([2], 0, 8, 5)}, eight),
        "shape_negative": make_safetensors({"a": entry([-2], 0, 8)}, eight),
        "shape_float": make_safetensors({"a": entry([2.0], 0, 8)}, eight),
        "shape_bool": make_safetensors({"a": entry([True], 0, 4)}, bytes(4)),
        "shape_text": make_safetensors({"a": {**entry([], 0, 8), "shape": "2"}}, eight),
        "shape_huge": make_safetensors({"a": entry([2**61, 2**61], 0, 8)}, eight),
        "shape_too_small": make_safetensors({"a": entry([1], 0, 8)}, eight),
        "shape_many": make_safetensors({"a": entry([1] * 1000, 0, 4)}, bytes(4)),
        "offsets_one": make_safetensors({"a": {**entry([2], 0, 8), "data_offsets": [0]}}, eight),
        "offsets_negative": make_safetensors({"a": entry([2], -8, 0)}, eight),
        "offsets_backward": make_safetensors({"a": entry([2], 8, 0)}, eight),
        "offsets_beyond": make_safetensors({"a": entry([2], 8, 16)}, eight),
        "offsets_nan": make_safetensors(
            b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,NaN]}}', eight
        ),
        "overlap": make_safetensors({"a": entry([2], 0, 8), "b": entry([2], 4, 12)}, bytes(12)),
        "hole": make_safetensors({"a": entry([1], 0, 4), "b": entry([1], 8, 12)}, bytes(12)),
        "same_place": make_safetensors({"a": entry([2], 0, 8), "b": entry([2], 0, 8)}, eight),
    }


class Namespace:
    """Something that training scripts put beside the weights."""

    def __init__(self) -> None:
        self.lr = 0.1


def patch_record(data: bytes, name: str, contents: bytes) -> bytes:
    """A torch file with one record replaced or added."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(file, "w") as new:
        for record in old.namelist():
            if record != name:
                new.writestr(record, old.read(record))
        new.writestr(name, contents)
    return file.getvalue()


def patch_pickle(data: bytes, old: bytes, new: bytes) -> bytes:
    """A torch file whose pickle has other bytes in one place."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        pickled = archive.read("archive/data.pkl")
    assert pickled.count(old) >= 1
    return patch_record(data, "archive/data.pkl", pickled.replace(old, new, 1))


def make_bad_torch() -> dict[str, bytes]:
    """Torch files that no state dict can be read from, by name."""
    state = make_state()
    good = to_bytes(state)
    weight = state["0.weight"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quantised = torch.quantize_per_tensor(weight, 0.1, 0, torch.qint8)
        csr = weight.to_sparse_csr()
        return {
            "cut": good[: len(good) // 2],
            "cut_end": good[:-10],
            "other_zip": other_zip(),
            "plain_pickle": pickle.dumps({"a": [1.0]}),
            "legacy_torch": to_bytes(state, _use_new_zipfile_serialization=False),
            "hostile_pickle": pickle.dumps({"a": Hostile()}),
            "hostile_value": to_bytes({**state, "a": Hostile()}),
            "hostile_model": to_bytes({"model": Hostile(), "epoch": 3}),
            "whole_module": to_bytes(nn.Linear(2, 3)),
            "list": to_bytes([weight]),
            "numbers": to_bytes({"a": 1, "b": 2.0}),
            "empty_dict": to_bytes({}),
            "name_is_number": to_bytes({5: weight}),
            "state_dict_empty": to_bytes({"state_dict": {}}),
            "two_prefixes_collide": to_bytes({"_orig_mod.a": weight, "a": weight}),
            "value_is_number": to_bytes({**state, "alpha": 0.5}),
            "value_is_none": to_bytes({**state, "extra": None}),
            "integer_weight": to_bytes({**state, "0.weight": weight.to(torch.int8)}),
            "boolean_mask": to_bytes({**state, "mask": weight > 0}),
            "complex": to_bytes({**state, "a": weight.to(torch.complex64)}),
            "quantised": to_bytes({**state, "a": quantised}),
            "coo": to_bytes({**state, "a": weight.to_sparse_coo()}),
            "csr": to_bytes({**state, "a": csr}),
            "expanded": to_bytes({**state, "a": torch.ones(1, 1).expand(4, 16)}),
            "overlapping": to_bytes({**state, "a": torch.ones(8).as_strided((2, 4), (2, 1))}),
            "with_gaps": to_bytes({**state, "a": torch.ones(4, 6)[:, ::2]}),
            "not_finite": to_bytes({**state, "0.bias": torch.tensor([1.0, torch.nan, 0, 0])}),
            "infinite": to_bytes({**state, "0.bias": torch.tensor([1.0, torch.inf, 0, 0])}),
            "norm_lacks_var": to_bytes({k: v for k, v in state.items() if k != "1.running_var"}),
            "norm_lacks_mean": to_bytes({k: v for k, v in state.items() if k != "1.running_mean"}),
            "norm_lacks_bias": to_bytes({k: v for k, v in state.items() if k != "1.bias"}),
            "norm_shape": to_bytes({**state, "1.running_var": torch.ones(5)}),
            "norm_matrix": to_bytes({**state, "1.running_var": torch.ones(2, 2)}),
            "norm_not_finite": to_bytes({**state, "1.running_var": torch.full((4,), torch.nan)}),
            "norm_negative": to_bytes({**state, "1.running_var": -torch.ones(4)}),
            "norm_integers": to_bytes({**state, "1.running_var": torch.ones(4, dtype=torch.int64)}),
            "big_endian": patch_record(good, "archive/byteorder", b"big"),
            "record_missing": patch_pickle(good, b"X\x01\x00\x00\x000", b"X\x01\x00\x00\x00z"),
            "record_too_short": patch_record(good, "archive/data/0", bytes(4)),
            "record_too_long": patch_record(good, "archive/data/0", bytes(400)),
            "type_unknown": patch_pickle(good, b"FloatStorage", b"FloetStorage"),
            "shape_negative": patch_pickle(good, b"K\x04K\x03\x86", b"J\xff\xff\xff\xffK\x03\x86"),
            "pickle_garbage": patch_record(good, "archive/data.pkl", bytes(range(128, 192))),
            "pickle_empty": patch_record(good, "archive/data.pkl", b""),
            "pickle_deep": patch_record(
                good, "archive/data.pkl", b"\x80\x02" + b"]" * 50_000 + b"a" * 49_999 + b"."
            ),
            "pickle_deep_key": patch_record(
                good, "archive/data.pkl", b"\x80\x02}K\x01" + b"\x85" * 50_000 + b"K\x01s."
            ),
            "pickle_memo": patch_record(
                good, "archive/data.pkl", b"\x80\x02Nr\xff\xff\xff\x7fj\xff\xff\xff\x7f."
            ),
            "pickle_bomb": patch_record(
                good, "archive/data.pkl", b"\x80\x02]" + b"q\x00h\x00h\x00\x86" * 60 + b"."
            ),
            "two_pickles": patch_record(good, "other/data.pkl", b"\x80\x02N."),
        }


def make_good() -> dict[str, bytes]:
    """Files that read, by name."""
    from safetensors.torch import save

    state = make_state()
    wrapped = {
        "epoch": 3,
        "args": Namespace(),
        "optimizer": {"state": {}, "lr": [0.1]},
        "state_dict": {f"module.{name}": tensor for name, tensor in state.items()},
    }
    return {
        "good.pt": to_bytes(state),
        "good_wrapped.pt": to_bytes(wrapped),
        "good.safetensors": save(dict(state), metadata={"format": "pt"}),
    }


def main() -> None:
    """Write the files that are not there yet."""
    FOLDER.mkdir(exist_ok=True)
    files = make_good()
    files |= {f"bad_{name}.pt": data for name, data in make_bad_torch().items()}
    files |= {f"bad_{name}.safetensors": data for name, data in make_bad_safetensors().items()}
    for name, data in files.items():
        path = FOLDER / name
        if not path.exists():
            path.write_bytes(data)
            print(f"{path.name}: {len(data)} bytes")


if __name__ == "__main__":
    main()
