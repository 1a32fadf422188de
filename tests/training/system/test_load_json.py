"""What `load_json` refuses that Python's own reader takes."""

import json

import pytest

from training.system.checks import load_json


@pytest.mark.parametrize("as_bytes", [False, True])
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"a": 1, "a": 1}', "twice"),
        ("[NaN]", "NaN"),
        ("[-Infinity]", "-Infinity"),
        ("[1e999]", "1e999"),
        ("[-1e999]", "-1e999"),
        ("[" * 100_000, "deeply"),
        (r'["\ud800"]', "half of a character"),
        (r'{"a": {"\udfff": 1}}', "half of a character"),
        ("{", "delimiter|property name"),
    ],
)
def test_what_is_refused(text: str, reason: str, *, as_bytes: bool) -> None:
    with pytest.raises(ValueError, match=reason):
        load_json(text.encode() if as_bytes else text)


@pytest.mark.parametrize(
    "text", [r'["\ud83d\ude00", 1.5e300, "\u00e9"]', '["\\\\ud800"]', "null", "-0.0"]
)
def test_what_is_read(text: str) -> None:
    assert repr(load_json(text)) == repr(json.loads(text))
