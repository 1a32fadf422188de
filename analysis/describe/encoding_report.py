"""The lengths of one network's descriptions side by side, each from the bits themselves."""

from dataclasses import dataclass
from typing import Any

from analysis.codes.message import NetworkMessage
from analysis.codes.network_code import Codeword, encode_network
from analysis.codes.structure import structured_codes

CODES_AT_LENGTH = ("plain", "theorem-2", "enumerative", "context")
ABOUT = {
    "plain": "every number in b bits: no structure",
    "theorem-2": "the code in Theorem 2's proof",
    "enumerative": "support among C(n, ‖w‖₀), log k a value: support only",
    "context": "support and values by adaptive contexts: support only",
    "structured-conv": "as the convolution that it is: structure",
    "structured-local": "as the locally connected network that it is: structure",
}


@dataclass(frozen=True, kw_only=True, eq=False)
class EncodingReport:
    """A network's codewords.

    Attributes:
        message: The network.
        lengths: Code to its length in bits, head and end included.
        codeword: The shortest of them, or the one asked for.
        num_weights: n.
        num_nonzeros: ‖w‖₀.
    """

    message: NetworkMessage
    lengths: dict[str, int]
    codeword: Codeword
    num_weights: int
    num_nonzeros: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        codeword = self.codeword
        return {
            "code": codeword.code,
            "description_bits": codeword.num_bits,
            "format": self.message.number_format.name,
            "num_weights": self.num_weights,
            "num_nonzeros": self.num_nonzeros,
            "bits_per_nonzero": codeword.num_bits / max(self.num_nonzeros, 1),
            "lengths": self.lengths,
            "ledger": [entry.to_dict() for entry in codeword.ledger.entries],
        }


def report_encoding(message: NetworkMessage, code: str = "auto") -> EncodingReport:
    """Encode a network in every code that can describe it.

    Args:
        message: The network.
        code: The code whose codeword to keep; "auto" keeps the shortest.

    Raises:
        ValueError: An unknown code, or a structure that the network does not have.
    """
    codewords = {
        name: encode_network(message, name)
        for name in (*CODES_AT_LENGTH, *structured_codes(message))
    }
    if code == "auto":
        chosen = min(codewords.values(), key=lambda codeword: codeword.num_bits)
    else:
        chosen = codewords.get(code) or encode_network(message, code)
    return EncodingReport(
        message=message,
        lengths={name: codeword.num_bits for name, codeword in codewords.items()},
        codeword=chosen,
        num_weights=sum(tensor.numel() for tensor in message.state.values()),
        num_nonzeros=sum(int(tensor.count_nonzero()) for tensor in message.state.values()),
    )
