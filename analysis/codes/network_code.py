"""A whole network as a prefix-free string of bits, and back.

The head (`analysis.codes.header`) says what follows; the body holds every tensor that the function
depends on: those of R_b, and those of each format of integers, together. One arithmetic coder runs
through both, so the whole costs at most two bits more than the sum of its parts. The decoder needs
nothing but the bits and the version that they begin with, and it knows where they end: B is what it
consumed.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import prod

from analysis.codes import CODES
from analysis.codes.arithmetic_coder import ArithmeticCoder, CodecError
from analysis.codes.bodies import BODIES, Body, State
from analysis.codes.header import Header, code_header, make_header, round_normalization
from analysis.codes.ledger import END, HEAD, Ledger
from analysis.codes.matrix import check_memory
from analysis.codes.message import NetworkMessage, Spec, TensorListSpec, expected_shapes
from analysis.codes.structure import extract_twin, smaller_kinds, structured_codes
from training.networks.embedding import embed_state
from training.spec.architectures import NetworkSpec
from training.system.checks import MAX_SEED

_STRUCTURED = "structured-"
_MAX_TENSOR = 1 << 31
_BYTES_A_WEIGHT = 4


@dataclass(frozen=True, kw_only=True, eq=False)
class Codeword:
    """A description: its bits and what they stand for.

    Attributes:
        data: The bits, high bits first, the last byte filled up with zeros.
        num_bits: B, the codeword's length.
        code: Which code it is in.
        message: The network, exactly as the decoder builds it.
        ledger: Where the bits go.
    """

    data: bytes
    num_bits: int
    code: str
    message: NetworkMessage
    ledger: Ledger


def encode_network(
    message: NetworkMessage, code: str = "auto", *, compiled: bool = True
) -> Codeword:
    """Describe a network in bits.

    Args:
        message: The network.
        code: One of `CODES`, or "auto": the one that takes the fewest bits. Which one it is stands
            in the head, so the choice is paid for.
        compiled: Whether compiled kernels may be used; the bits are the same.

    Raises:
        ValueError: An unknown code, or a structure that the network does not have.

    >>> import torch
    >>> from analysis.quantize.formats import find_format
    >>> spec = TensorListSpec((("weight", (2, 3)),))
    >>> state = {"weight": torch.tensor([[0.0, 0.5, 0.0], [0.0, 0.0, -0.5]])}
    >>> message = NetworkMessage(spec=spec, number_format=find_format(8), state=state)
    >>> codeword = encode_network(message)
    >>> codeword.code, codeword.num_bits
    ('enumerative', 107)
    """
    if code == "auto":
        tried = [encode_network(message, name, compiled=compiled) for name in auto_codes(message)]
        return min(tried, key=lambda codeword: codeword.num_bits)
    if code not in CODES:
        raise ValueError(f"code must be auto or one of {', '.join(CODES)}, not {code!r}")
    if (inputs := message.inputs) is not None:
        rounded = replace(inputs, normalization=round_normalization(inputs.normalization))
        message = replace(message, inputs=rounded)
    _check_sizes(message.spec, ValueError)
    coder, ledger = ArithmeticCoder(compiled=compiled), Ledger()
    header = code_header(coder, make_header(message, code))
    ledger.add(HEAD, f"network, inputs, {message.number_format.name}, code", coder.information)
    state = message.state
    if code.startswith(_STRUCTURED):
        state = extract_twin(message, code.removeprefix(_STRUCTURED))
    _code_body(coder, header, state, ledger)
    data, num_bits = coder.finish()
    ledger.add(END, "the codeword's end", num_bits - coder.information)
    return Codeword(data=data, num_bits=num_bits, code=code, message=message, ledger=ledger)


def decode_network(
    data: bytes, *, compiled: bool = True, beside: Callable[[NetworkSpec], int] | None = None
) -> Codeword:
    """The network that a codeword stands for; what lies behind the codeword is not looked at.

    Args:
        data: Bytes that begin with a codeword.
        compiled: Whether compiled kernels may be used.
        beside: Bytes of memory that the caller is going to take beside a network's tensors; they
            are asked for before anything is decoded.

    Raises:
        CodecError: No codeword begins these bytes.
        OutOfMemoryError: It stands for a network that is too large for the memory available.

    >>> import torch
    >>> from analysis.quantize.formats import find_format
    >>> spec, state = TensorListSpec((("weight", (3,)),)), {"weight": torch.tensor([0.0, 0.5, 1.0])}
    >>> message = NetworkMessage(spec=spec, number_format=find_format(8), state=state)
    >>> decode_network(encode_network(message).data + b"what follows").message.state
    {'weight': tensor([0.0000, 0.5000, 1.0000])}
    """
    coder, ledger = ArithmeticCoder(data, compiled=compiled), Ledger()
    header = code_header(coder, None)
    ledger.add(HEAD, f"network, inputs, {header.number_format.name}, code", coder.information)
    if 8 * len(data) < coder.num_bits:
        raise CodecError("cut short: its head continues past the end of its data")
    _check_sizes(header.spec, CodecError)
    if header.inputs is not None and (header.inputs.permutation_seed or 0) > MAX_SEED:
        raise CodecError(f"damaged: a seed of the pixels' permutation above {MAX_SEED}")
    more = beside(header.spec) if beside is not None and isinstance(header.spec, NetworkSpec) else 0
    check_memory(_BYTES_A_WEIGHT * header.spec.num_weights + more)
    state = _code_body(coder, header, None, ledger)
    codeword, num_bits = coder.finish()
    ledger.add(END, "the codeword's end", num_bits - coder.information)
    if header.code.startswith(_STRUCTURED) and isinstance(header.spec, NetworkSpec):
        twin = header.spec.twin(header.code.removeprefix(_STRUCTURED))
        state = embed_state(twin, state, header.spec.name.split("-")[1])
    message = NetworkMessage(
        spec=header.spec, number_format=header.number_format, state=state, inputs=header.inputs
    )
    return Codeword(
        data=codeword, num_bits=num_bits, code=header.code, message=message, ledger=ledger
    )


def auto_codes(message: NetworkMessage) -> tuple[str, ...]:
    """The codes worth trying: contexts, and the structures that the network has.

    The plain code and Theorem 2's are longer than the contexts on all but networks of a few
    numbers, where they are tried too.
    """
    small = ("plain", "theorem-2", "enumerative") if message.spec.num_weights < 1 << 12 else ()
    return (*small, "context", *structured_codes(message))


def _code_body(
    coder: ArithmeticCoder, header: Header, state: State | None, ledger: Ledger
) -> State:
    spec = header.spec
    if header.code.startswith(_STRUCTURED):
        kind = header.code.removeprefix(_STRUCTURED)
        if not isinstance(spec, NetworkSpec) or kind not in smaller_kinds(spec):
            raise CodecError(f"damaged: a {kind} structure that this network cannot have")
        spec = spec.twin(kind)
    shapes = expected_shapes(spec)
    formats = dict(spec.integers) if isinstance(spec, TensorListSpec) else {}
    found: State = {}
    for number_format in dict.fromkeys(formats.get(name, header.number_format) for name in shapes):
        body = Body(
            coder=coder,
            spec=spec,
            shapes={
                name: shape
                for name, shape in shapes.items()
                if formats.get(name, header.number_format) == number_format
            },
            number_format=number_format,
            state=state,
            ledger=ledger,
        )
        found |= BODIES[header.code](body)
    return {name: found[name] for name in shapes}


def _check_sizes(spec: Spec, error: type[ValueError]) -> None:
    """Refuse networks that would not fit into the coder's counters."""
    if isinstance(spec, TensorListSpec):
        sizes = [prod(shape) for _, shape in spec.shapes]
    else:
        sizes = [layer.num_weights for layer in spec.layers]
    if max(sizes) > _MAX_TENSOR:
        raise error(f"a tensor of {max(sizes):,} numbers is more than the code's {_MAX_TENSOR:,}")
