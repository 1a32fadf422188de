"""Every string is escaped: nothing that a file holds becomes markup."""

from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from mdl.report.markup import Markup, element, escape, number


class Reader(HTMLParser):
    """Collects what a browser would read."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, list[tuple[str, str | None]]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, attrs))

    def handle_data(self, data: str) -> None:
        self.text += data


@given(st.text(), st.text())
def test_text_and_attributes_come_back_as_they_were(text: str, value: str) -> None:
    page = element("p", text, title=value)
    page.encode()  # no half of a pair is left
    reader = Reader()
    reader.feed(page)
    reader.close()
    assert [tag for tag, _ in reader.tags] == ["p"]
    assert reader.text == str(escape(text)) or "&" in escape(text)
    assert "<" not in escape(text) and '"' not in escape(value)


def test_a_script_is_text() -> None:
    page = element("td", "<script>alert(1)</script>", title='"><img src=x onerror=alert(1)>')
    reader = Reader()
    reader.feed(page)
    assert reader.tags == [("td", [("title", '"><img src=x onerror=alert(1)>')])]
    assert reader.text == "<script>alert(1)</script>"


def test_markup_goes_in_as_it_is_and_attributes_without_a_value_stay_away() -> None:
    inner = element("b", "1 & 2")
    assert element("p", inner, None, id=None, hidden=False) == "<p><b>1 &amp; 2</b></p>"
    assert escape(Markup("<br>")) == "<br>"


@given(st.floats(-1e6, 1e6))
def test_a_coordinate_is_near_and_short(value: float) -> None:
    shown = number(value)
    assert abs(float(shown) - value) <= 0.005 + 1e-9
    assert "e" not in shown and shown != "-0"
