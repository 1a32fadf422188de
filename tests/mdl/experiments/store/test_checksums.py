"""Every bit of what a store keeps counts, and what stores of before kept is read."""

import json
import random
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from analysis.codes.ledger import Entry
from mdl.experiments.store.checksums import check_values, checked_json, pack_array, unpack_array
from mdl.experiments.store.result_store import ResultStore, StoreError
from tests.mdl.experiments.store.test_result_store import CONFIG, result_of
from training.system.checks import load_json

FILTERS = np.arange(48, dtype=np.float16).reshape(2, 3, 2, 4)[:, :, :, :2]
ENTRIES = [Entry("fc1.weight", "support", 1234.5678901234567), Entry("fc1.weight", "values", 3.0)]


@pytest.fixture
def store(tmp_path: Path) -> ResultStore:
    store = ResultStore(tmp_path)
    store.put(result_of(CONFIG), FILTERS)
    store.put_ledger(CONFIG, ENTRIES)
    return store


def bits_of(path: Path, num: int) -> list[int]:
    every = range(8 * path.stat().st_size)
    return random.Random(0).sample(every, min(num, len(every)))


READS = {
    "results": lambda store: store.all(),
    "filters": lambda store: store.filters(CONFIG),
    "ledger": lambda store: store.ledger(CONFIG),
}


@pytest.mark.parametrize("kind", READS)
def test_a_flipped_bit_is_noticed(kind: str, store: ResultStore) -> None:
    (result,) = store.all()
    path = {
        "results": store.path,
        "filters": store.filters_path(result.key),
        "ledger": store.ledger_path(result.key),
    }[kind]
    whole = path.read_bytes()
    for bit in [*bits_of(path, 400), *range(8 * len(whole) - 200, 8 * len(whole))]:
        damaged = bytearray(whole)
        damaged[bit >> 3] ^= 1 << (bit & 7)
        path.write_bytes(damaged)
        with pytest.raises(StoreError, match="delete"):
            READS[kind](ResultStore(store.root))
    path.write_bytes(whole)
    fresh = ResultStore(store.root)
    assert fresh.all() == [result]
    np.testing.assert_array_equal(fresh.filters(CONFIG), FILTERS)
    assert fresh.ledger(CONFIG) == ENTRIES


def test_files_of_before_are_read(store: ResultStore) -> None:
    (line,) = store.path.read_text().splitlines()
    values = json.loads(line)
    del values["checksum"]
    store.path.write_text(json.dumps(values, sort_keys=True) + "\n")
    key = values["key"]
    np.savez_compressed(store.filters_path(key), filters=FILTERS)
    store.ledger_path(key).write_text(json.dumps([each.to_dict() for each in ENTRIES]) + "\n")
    old = ResultStore(store.root)
    assert old.all() == store.all()
    np.testing.assert_array_equal(old.filters(CONFIG), FILTERS)
    assert old.ledger(CONFIG) == ENTRIES


def test_values_and_arrays_come_back() -> None:
    text = checked_json({"a": 1e-5, "b": [None, "ü"]})
    values = load_json(text, exact=True)
    check_values(values)
    with pytest.raises(ValueError, match="its checksum does not fit"):
        check_values(values | {"a": 1})
    packed = pack_array(FILTERS, "x")
    with np.load(BytesIO(packed)) as by_numpy:
        np.testing.assert_array_equal(by_numpy["x"], FILTERS)
    np.testing.assert_array_equal(unpack_array(packed, "x", max_bytes=999), FILTERS)
    with pytest.raises(ValueError, match="bytes follow"):
        unpack_array(packed + b"x", "x", max_bytes=999)
