"""What each kind of file is read by: the product's own readers, then a command that uses it.

A reader gives the file's meaning, a digest of all that it says, or raises what the product raises.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields, is_dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import typer
from torch import Tensor

from analysis.certify.prediction_files import Expected, read_predictions
from analysis.certify.verify import verify
from analysis.codelength.label_code import encode_labels
from analysis.codelength.label_file import load_labels
from analysis.codes.bit_file import PRIOR_FILE, load_codeword, load_prior_bits
from analysis.codes.network_code import decode_network
from analysis.describe.describe import read_message
from analysis.quantize.formats import find_format
from mdl.cli.app import build_app
from mdl.experiments.store.result_store import ResultStore
from mdl.report.run_files import read_runs
from mdl.terminal.errors import error_line
from tests.fuzz.documents import SIX_LOGITS
from training.checkpoint.checkpoint import (
    Checkpoint,
    load_checkpoint,
    restore_network,
    save_checkpoint,
)
from training.checkpoint.lazy import open_checkpoint
from training.data.loading import load_dataset
from training.errors import UserError
from training.spec.config import DataConfig
from training.spec.policy import read_policy_table
from training.tensor_files.open import is_external

_USAGE_ERROR: Any = typer.BadParameter.__base__


class RefusedError(UserError):
    """What `mdl verify` says of a certificate that is not right."""


def meaning_of(*parts: Any) -> str:
    """A digest of plain values, tensors and records of them."""
    whole = hashlib.sha256()
    _add(whole.update, parts)
    return whole.hexdigest()


def _add(add: Callable[[bytes], None], value: Any) -> None:
    if isinstance(value, Tensor):
        add(f"{value.dtype}{tuple(value.shape)}".encode())
        add(value.detach().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    elif isinstance(value, np.ndarray):
        add(f"{value.dtype}{value.shape}".encode() + value.tobytes())
    elif is_dataclass(value) and not isinstance(value, type):
        _add(add, {field.name: getattr(value, field.name) for field in fields(value)})
    elif isinstance(value, Mapping):
        add(b"{")
        for key, each in value.items():
            _add(add, key)
            _add(add, each)
    elif isinstance(value, list | tuple):
        add(b"[%d" % len(value))
        for each in value:
            _add(add, each)
    else:
        add(f"{type(value).__name__}{value!r}".encode(errors="surrogatepass"))


def read_checkpoint(folder: Path) -> str:
    """A checkpoint of ours, by both of its readers, which must agree; or tensors of a stranger."""
    path = folder / "checkpoint.pt"
    if is_external(path):
        return _read_external(path)
    loaded = load_checkpoint(path)
    meaning = meaning_of(loaded)
    with open_checkpoint(path) as stored:
        assert stored.network == loaded.network, "the two readers see different networks"
        assert stored.num_nonzeros == loaded.num_nonzeros, "the two readers see different counts"
        assert stored.tensors.keys() == loaded.state.keys(), "the two readers see different tensors"
    restore_network(loaded)
    _check_copy(loaded, meaning, folder.with_name("copy.pt"))
    return meaning


def _check_copy(loaded: Checkpoint, meaning: str, path: Path) -> None:
    """What was accepted can be written, and says the same when it is read again."""
    save_checkpoint(loaded, path)
    assert meaning_of(load_checkpoint(path)) == meaning, "its copy says something else"


def read_network(folder: Path) -> str:
    """Tensors that another program wrote: a torch file, a safetensors file or an index."""
    return _read_external(_only(folder))


def _only(folder: Path) -> Path:
    """The index if there is one, else the one file."""
    files = sorted(path for path in folder.iterdir() if path.is_file())
    return next((path for path in files if path.name.endswith(".index.json")), files[0])


def _read_external(path: Path) -> str:
    message = read_message(path, find_format(16))
    return meaning_of(message.spec, dict(message.state))


def read_codeword(folder: Path) -> str:
    """A file of bits; its decoder must consume just these bits whatever follows them."""
    codeword = load_codeword(folder / "net.mdl")
    message = codeword.message
    if sum(tensor.numel() for tensor in message.state.values()) < 1 << 20:
        own = load_prior_bits(folder / PRIOR_FILE) if codeword.prior_sha256 else None
        again = decode_network(codeword.data + b"\xa5\xff", prior=own)
        assert again.num_bits == codeword.num_bits, "what follows the codeword changes it"
    return meaning_of(message.spec, message.number_format.name, message.inputs, dict(message.state))


def read_certificate(folder: Path) -> str:
    """A certificate: recomputed, and every number the same."""
    found = verify(folder)
    if found.certificate is None or not found.ok:
        for line in found.differences:
            check_line(error_line(ValueError(line)))
        raise RefusedError(f"{folder}: {' '.join(found.differences[0].split())}")
    return meaning_of(found.certificate.to_dict())


def read_labels_file(folder: Path) -> str:
    """The labels of six images of ten classes, whose logits are known."""
    codeword = load_labels(folder / "labels.bits", SIX_LOGITS)
    again = encode_labels(SIX_LOGITS, codeword.labels, codeword.sharpness_index)
    assert again.data == codeword.data, "two codewords for the same labels"
    return meaning_of(codeword.labels, codeword.sharpness_index)


def read_predictions_file(folder: Path) -> str:
    """Predictions of any classifier on six images of ten classes."""
    expected = Expected(
        name="six images",
        num_images=6,
        class_names=tuple(map(str, range(10))),
        fingerprint="0123456789abcdef",
    )
    return meaning_of(read_predictions(_only(folder), expected).classes)


def read_images(folder: Path) -> str:
    """A data set of image files or of parquet files; its own sizes, then brought to one."""
    found = []
    for size in (4, None):
        config = DataConfig(source=str(folder), image_size=size)
        data = load_dataset(config, cache_dir=folder.with_name("cache"))
        assert data.train.images.dtype == torch.uint8, "images are not bytes"
        found += [data.fingerprint, data.class_names]
    return meaning_of(*found)


def read_policy(folder: Path) -> str:
    """A table of augmentation."""
    return meaning_of(read_policy_table(folder / "policy.json"))


def read_store(folder: Path) -> str:
    """All results of a store, with filters and ledgers."""
    store = ResultStore(folder)
    found = []
    for result in store.all():
        filters = store.filters(result.config)
        found += [asdict(result), [] if filters is None else filters, store.ledger(result.config)]
    return meaning_of(*found)


def read_run(folder: Path) -> str:
    """Settings and metrics of a run."""
    (run,) = read_runs([folder])
    return meaning_of(run.config, run.versions, run.points)


def run_command(arguments: tuple[str, ...]) -> None:
    """Call `mdl ARGUMENTS` in the working folder, with its errors as they are raised."""
    try:
        _command()(args=list(arguments), prog_name="mdl", standalone_mode=False)
    except _USAGE_ERROR as error:
        raise RefusedError(error.format_message()) from error
    except (typer.Exit, typer.Abort, SystemExit):
        pass


@lru_cache(maxsize=1)
def _command() -> Any:
    return typer.main.get_command(build_app()).main


def check_line(line: str) -> None:
    """Hold what a user is told to the rules of a line.

    Raises:
        AssertionError: It is empty, very long, or has characters that a terminal acts on.
    """
    assert line, "says nothing"
    assert len(line) <= 2000, f"a line of {len(line)} characters: {line[:100]!r}..."
    assert line.isprintable(), f"a line with control characters: {line[:200]!r}"
