"""A ledger in a notebook and at a prompt."""

from analysis.codes.ledger import Ledger


def test_a_ledger_shows_its_entries() -> None:
    ledger = Ledger()
    assert "0 bits" in ledger._repr_html_()
    ledger.add("<b>", "support", 30.0)
    ledger.add("end", "the end", 10.0)
    assert repr(ledger) == "Ledger(2 entries, 40 bits)"
    page = ledger._repr_html_()
    assert "&lt;b&gt;" in page and "<b>" not in page
    assert "75.0%" in page and "40 bits" in page
