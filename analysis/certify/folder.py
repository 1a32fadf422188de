"""A certificate on disk: a folder with the bits and a small JSON, written whole or not at all.

    network.mdl        the codeword in its frame (`analysis.codes.bit_file`)
    certificate.json   what is stated about it
    predictions.bin    of a target, on the fresh images (`analysis.certify.predictions`)
    prior.mdl          the bits of the prior that those of network.mdl are relative to

The JSON holds a checksum of the rest of it, its "seal". It guards against damage and against
changes of words and names that no recount can notice. It proves no number: those are recomputed
from the bits and the images by `analysis.certify.verify`.
"""

import hashlib
import json
import secrets
import shutil
from pathlib import Path
from typing import Any

from analysis.certify.certificate import (
    FORMAT,
    FORMAT_VERSION,
    FRESH_VERSION,
    PRIOR_VERSION,
    Certificate,
)
from analysis.certify.fresh import FreshImages
from analysis.certify.predictions import save_predictions
from analysis.certify.prior import Prior
from analysis.codes.bit_file import PRIOR_FILE, save_codeword
from analysis.codes.network_code import Codeword
from training.errors import CheckpointError
from training.run.provenance import collect_versions
from training.system.checks import load_json, shown
from training.system.files import read_text, sync_folder, write_text_atomically

BITS_FILE = "network.mdl"
JSON_FILE = "certificate.json"
PREDICTIONS_FILE = "predictions.bin"
CHECKSUM = "seal"
VERSIONS = "versions"
_VERSIONS = ("mdl", "python", "torch", "numpy")
_MAX_JSON = 1 << 20


def check_folder(folder: Path) -> None:
    """Refuse a place where a certificate cannot go.

    Raises:
        FileExistsError: Something is there that is not an empty folder.
        FileNotFoundError: The folder that it would lie in is not there.
    """
    target = folder.resolve()
    if target.is_dir() and any(target.iterdir()):
        raise FileExistsError(f"{folder} is not empty; give a new folder")
    if target.exists() and not target.is_dir():
        raise FileExistsError(f"{folder} is a file; give a new folder")
    if not target.parent.is_dir():
        raise FileNotFoundError(
            f"{target.parent} is not a folder, so {target.name} cannot go there"
        )


def write_certificate(
    certificate: Certificate,
    codeword: Codeword,
    folder: Path,
    fresh: FreshImages | None = None,
    prior: Prior | None = None,
) -> None:
    """Write the folder: beside its place first, forced to disk, then moved there in one step.

    The same certificate gives the same bytes; there is no date in it. Predictions of a target are
    those that the fresh images hold.

    Raises:
        OSError: The folder is there and not empty, or it cannot be written; nothing is left behind.
    """
    check_folder(folder)
    target = folder.resolve()
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(6)}.tmp")
    try:
        temporary.mkdir()
        save_codeword(codeword, temporary / BITS_FILE)
        write_text_atomically(temporary / JSON_FILE, certificate_text(certificate))
        if fresh is not None and fresh.predictions_sha256 is not None:
            classes, c = fresh.images.labels, certificate.data.num_classes
            save_predictions(classes, c, temporary / PREDICTIONS_FILE)
        if prior is not None:
            save_codeword(prior.codeword, temporary / PRIOR_FILE)
        temporary.replace(target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    sync_folder(target.parent)


def certificate_text(certificate: Certificate) -> str:
    """The JSON, with versions and checksum."""
    versions = collect_versions()
    contents = certificate.to_dict() | {VERSIONS: {name: versions[name] for name in _VERSIONS}}
    return _dump(contents | {CHECKSUM: json_checksum(contents)})


def json_checksum(contents: dict[str, Any]) -> str:
    """SHA-256 of everything but the checksum itself, in 64 hexadecimal digits."""
    rest = {name: value for name, value in contents.items() if name != CHECKSUM}
    return hashlib.sha256(_dump(rest).encode()).hexdigest()


def read_certificate(folder: Path) -> dict[str, Any]:
    """The JSON of a certificate, of which only the format is checked.

    Raises:
        CheckpointError: It cannot be read, or is not a certificate.
    """
    path = folder / JSON_FILE
    if not folder.is_dir():
        raise CheckpointError(f"{folder} is not a folder; give one that mdl certify wrote")
    if not path.exists():
        raise CheckpointError(
            f"{folder} holds no {JSON_FILE}; give a folder that mdl certify wrote"
        )
    text = read_text(path, what="the JSON of a certificate", cap=_MAX_JSON)
    try:
        contents = load_json(text, exact=True)
    except ValueError as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(f"{path}: not the JSON of a certificate ({reason})") from error
    if not isinstance(contents, dict) or contents.get("format") != FORMAT:
        raise CheckpointError(f"{path}: not the JSON of a certificate of mdl")
    if contents.get("version") not in (FORMAT_VERSION, FRESH_VERSION, PRIOR_VERSION):
        raise CheckpointError(
            f"{path}: version {shown(contents.get('version'))}, and this mdl reads "
            f"{FORMAT_VERSION} to {PRIOR_VERSION}"
        )
    return contents


def check_versions(contents: dict[str, Any]) -> list[str]:
    """What is wrong with the versions, one line each: they are words, and no other machine's."""
    versions = contents.get(VERSIONS)
    if not isinstance(versions, dict) or set(versions) != set(_VERSIONS):
        return [f"{VERSIONS} must name {', '.join(_VERSIONS)}, not {shown(versions)}"]
    return [
        f"{VERSIONS}.{name} must be text, not {shown(value)}"
        for name, value in versions.items()
        if not isinstance(value, str | None)
    ]


def _dump(contents: dict[str, Any]) -> str:
    return (
        json.dumps(contents, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
    )
