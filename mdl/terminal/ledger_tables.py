"""The ledger of bits as a table: where every bit of a description goes."""

from typing import TYPE_CHECKING

from mdl.terminal import console

if TYPE_CHECKING:
    from analysis.codes.network_code import Codeword


def print_ledger(codeword: "Codeword") -> None:
    """Print a line for every part of every tensor, with its share, and the sum."""
    state = codeword.message.state
    rows = []
    before = None
    for entry in codeword.ledger.entries:
        tensor = "" if entry.tensor == before else entry.tensor
        numbers = f"{state[entry.tensor].numel():,}" if tensor in state else ""
        share = entry.bits / codeword.num_bits
        rows.append((tensor, entry.part, numbers, f"{entry.bits:,.1f}", f"{share:.1%}"))
        before = entry.tensor
    rows.append(("sum", "", "", f"{codeword.num_bits:,}", "100.0%"))
    console.print_table(
        f"Where the bits go, in the {codeword.code} code",
        ("tensor", "part", "numbers", "bits", "share"),
        rows,
        num_text_columns=2,
    )
