"""Sums of a ledger."""

from analysis.codes.ledger import Ledger


def test_sums_by_tensor_and_by_part() -> None:
    ledger = Ledger()
    ledger.add("head", "network, inputs, e4m3fn, code", 40.0)
    ledger.add("a.weight", "support, contexts: lines, zones", 10.25)
    ledger.add("a.weight", "values", 5.0)
    ledger.add("b.weight", "support: no zeros", 1.5)
    ledger.add("b.weight", "values", 2.0)
    ledger.add("end", "the codeword's end", 1.25)
    assert ledger.bits == 60
    assert ledger.by_tensor() == {"head": 40, "a.weight": 15.25, "b.weight": 3.5, "end": 1.25}
    parts = {"network": 40, "support": 11.75, "values": 7, "the codeword's end": 1.25}
    assert ledger.by_part() == parts
    assert ledger.entries[1].to_dict() == {
        "tensor": "a.weight",
        "part": "support, contexts: lines, zones",
        "bits": 10.25,
    }
