import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.system.notebook import html_table
from training.system.text import MAX_NAME, printable, shorten

HOSTILE = {
    "escape": "a\x1b[2Jb",
    "carriage return": "bound 99 %\rbound 1 %",
    "line feed": "a\nerror: none",
    "C1": "a\x9b31mb",
    "delete": "a\x7fb",
    "override": "a\u202eb",
    "isolate": "a\u2066b",
    "zero width": "glyphs\u200b",
    "joiner": "gly\u200dphs",
    "byte order mark": "\ufeffglyphs",
    "filler": "glyphs\u3164",
    "variation": "glyphs\ufe0f",
    "tag": "glyphs\U000e0041",
    "separator": "a\u2028b",
    "surrogate": "a\udcffb",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_what_cannot_be_seen_is_escaped(kind: str) -> None:
    shown = printable(HOSTILE[kind])
    assert shown != HOSTILE[kind]
    assert "\\" in shown
    assert shown.isascii()
    assert html_table(HOSTILE[kind], [HOSTILE[kind]], [], num_text_columns=1).count(shown) == 2


@given(st.text())
def test_all_of_it_can_be_seen_and_twice_is_once(text: str) -> None:
    shown = printable(text)
    shown.encode()
    kinds = {unicodedata.category(each) for each in shown}
    assert not kinds & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    assert printable(shown) == shown


def test_common_writing_stays_as_it_is() -> None:
    for name in ("Grüße", "数字", "λ = 1e-4, ‖w‖₀", "a\\b 'c'", "été e\u0301te\u0301"):
        assert printable(name) == name


def test_a_long_name_is_cut_off_before_it_is_escaped() -> None:
    assert printable("\x00" * 1000, 3) == r"\x00\x00\x00..."
    assert len(shorten("\x00" * 1000)) == 4 * MAX_NAME + 5
