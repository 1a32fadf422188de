"""Golden files pin the format: the same bytes are written, and the same tensors are read."""

import json
from typing import Any

import pytest

from analysis.codes.bit_file import load_codeword, save_codeword
from analysis.codes.network_code import decode_network, encode_network
from tests.data.make_golden_codes import FOLDER, RECORD, describe, golden_messages, hash_tensors

GOLDEN: dict[str, dict[str, Any]] = json.loads(RECORD.read_text(encoding="utf-8"))
MESSAGES = golden_messages()


def test_every_file_is_on_record() -> None:
    assert {path.stem for path in FOLDER.glob("*.mdl")} == set(GOLDEN) == set(MESSAGES)


@pytest.mark.parametrize("name", GOLDEN)
def test_the_file_decodes_to_the_same_tensors(name: str) -> None:
    codeword = load_codeword(FOLDER / f"{name}.mdl")
    assert describe(codeword) == GOLDEN[name]
    assert codeword.message.same_as(decode_network(codeword.data + b"\xff").message)
    assert hash_tensors(MESSAGES[name][0].state) == GOLDEN[name]["tensors"]


@pytest.mark.parametrize("name", GOLDEN)
def test_the_network_is_written_to_the_same_bytes(name: str, tmp_path) -> None:
    message, code = MESSAGES[name]
    codeword = encode_network(message, code)
    save_codeword(codeword, tmp_path / "new.mdl")
    assert (tmp_path / "new.mdl").read_bytes() == (FOLDER / f"{name}.mdl").read_bytes()
    assert load_codeword(tmp_path / "new.mdl").message.same_as(codeword.message)


@pytest.mark.parametrize("name", ["s-conv_context_e4m3fn", "3-fc_theorem-2_float16"])
def test_plain_python_reads_the_same(name: str) -> None:
    data = load_codeword(FOLDER / f"{name}.mdl").data
    assert describe(decode_network(data, compiled=False)) == GOLDEN[name]
