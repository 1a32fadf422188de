"""A whole network as a prefix-free string of bits, and back.

The head (`analysis.codes.header`) says what follows; the body holds every tensor that the function
depends on: those of R_b, and those of each format of integers, together. One arithmetic coder runs
through both, so the whole costs at most two bits more than the sum of its parts. The decoder needs
nothing but the bits and the version that they begin with, and it knows where they end: B is what it
consumed.

With a prior, a network fixed before the data, the language is larger: codewords that begin with 1
are those of old, all of version 1, and codewords that begin with 0 are relative to the prior
(`analysis.codes.relative`). So a network that is shorter without the prior is not a bit longer.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import prod

from analysis.codes import CODES, RELATIVE
from analysis.codes.arithmetic_coder import ArithmeticCoder, CodecError
from analysis.codes.bodies import BODIES, Body, State
from analysis.codes.header import (
    Header,
    code_header,
    code_relative_header,
    make_header,
    round_normalization,
)
from analysis.codes.ledger import END, HEAD, Ledger
from analysis.codes.message import NetworkMessage, Spec, TensorListSpec, expected_shapes
from analysis.codes.prior import adapt_prior, why_not
from analysis.codes.relative import as_prior, code_relative
from analysis.codes.structure import extract_twin, smaller_kinds, structured_codes
from training.networks.embedding import embed_state
from training.spec.architectures import NetworkSpec
from training.system import memory
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
        code: Which code it is in, one of `CODES` or `RELATIVE`.
        message: The network, exactly as the decoder builds it.
        ledger: Where the bits go.
        prior_sha256: `sha256` of the prior's codeword, if these bits are relative to one.
    """

    data: bytes
    num_bits: int
    code: str
    message: NetworkMessage
    ledger: Ledger
    prior_sha256: str | None = None

    @property
    def sha256(self) -> str:
        """Hash of the bits, in 64 hexadecimal digits."""
        return hashlib.sha256(self.data).hexdigest()


def encode_network(
    message: NetworkMessage,
    code: str = "auto",
    *,
    prior: Codeword | None = None,
    compiled: bool = True,
) -> Codeword:
    """Describe a network in bits.

    Args:
        message: The network.
        code: One of `CODES`, or "auto": the one that takes the fewest bits. Which one it is stands
            in the head, so the choice is paid for. With a prior it may be `RELATIVE` too, which
            "auto" then tries.
        prior: A network fixed before the data, by its own bits.
        compiled: Whether compiled kernels may be used; the bits are the same.

    Raises:
        ValueError: An unknown code, a structure that the network does not have, or a prior that
            does not fit it.

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
        codes = (*auto_codes(message), *((RELATIVE,) if prior is not None else ()))
        tried = [encode_network(message, name, prior=prior, compiled=compiled) for name in codes]
        return min(tried, key=lambda codeword: codeword.num_bits)
    if code == RELATIVE and prior is None:
        raise ValueError(f"the code {RELATIVE} takes a prior")
    if code not in (*CODES, RELATIVE):
        raise ValueError(f"code must be auto or one of {', '.join(CODES)}, not {code!r}")
    if (inputs := message.inputs) is not None:
        rounded = replace(inputs, normalization=round_normalization(inputs.normalization))
        message = replace(message, inputs=rounded)
    _check_sizes(message.spec, ValueError)
    if prior is not None and code == RELATIVE:
        return _encode_relative(message, prior, compiled=compiled)
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
    data: bytes,
    *,
    prior: Codeword | None = None,
    compiled: bool = True,
    beside: Callable[[NetworkSpec], int] | None = None,
) -> Codeword:
    """The network that a codeword stands for; what lies behind the codeword is not looked at.

    Args:
        data: Bytes that begin with a codeword.
        prior: The prior of its language, by its own bits; None if there is none.
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
    if prior is not None and data and data[0] < 1 << 7:
        return _decode_relative(coder, ledger, data, prior, beside)
    header = code_header(coder, None)
    ledger.add(HEAD, f"network, inputs, {header.number_format.name}, code", coder.information)
    _check_header(header, coder, data, beside)
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


def _encode_relative(message: NetworkMessage, prior: Codeword, *, compiled: bool) -> Codeword:
    coder, ledger = ArithmeticCoder(compiled=compiled), Ledger()
    coder.uniform(0, 2)
    reason = why_not(prior.message, message.spec)
    if reason:
        raise ValueError(f"the prior does not fit the network: {reason}")
    header = code_relative_header(coder, make_header(message, RELATIVE), prior.message)
    state = adapt_prior(prior.message, header.spec, header.number_format)
    _code_difference(coder, header, message.state, state, ledger)
    return _finish_relative(coder, ledger, message, prior)


def _decode_relative(
    coder: ArithmeticCoder,
    ledger: Ledger,
    data: bytes,
    prior: Codeword,
    beside: Callable[[NetworkSpec], int] | None,
) -> Codeword:
    coder.uniform(0, 2)
    header = code_relative_header(coder, None, prior.message)
    _check_header(header, coder, data, beside)
    reason = why_not(prior.message, header.spec)
    if reason:
        raise CodecError(f"damaged: a network that the prior does not fit: {reason}")
    own = adapt_prior(prior.message, header.spec, header.number_format)
    state = _code_difference(coder, header, None, own, ledger)
    message = NetworkMessage(
        spec=header.spec, number_format=header.number_format, state=state, inputs=header.inputs
    )
    return _finish_relative(coder, ledger, message, prior)


def _finish_relative(
    coder: ArithmeticCoder, ledger: Ledger, message: NetworkMessage, prior: Codeword
) -> Codeword:
    data, num_bits = coder.finish()
    ledger.add(END, "the codeword's end", num_bits - coder.information)
    return Codeword(
        data=data,
        num_bits=num_bits,
        code=RELATIVE,
        message=message,
        ledger=ledger,
        prior_sha256=prior.sha256,
    )


def _code_difference(
    coder: ArithmeticCoder, header: Header, state: State | None, prior: State, ledger: Ledger
) -> State:
    """The head's last bit, whether there is one; then all tensors, relative to the prior's."""
    differs = coder.uniform(int(state is not None and not as_prior(state, prior)), 2)
    ledger.add(HEAD, "relative to the prior", coder.information)
    if not differs:
        return prior
    body = Body(
        coder=coder,
        spec=header.spec,
        shapes=expected_shapes(header.spec),
        number_format=header.number_format,
        state=state,
        ledger=ledger,
    )
    return code_relative(body, prior)


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


def _check_header(
    header: Header, coder: ArithmeticCoder, data: bytes, beside: Callable[[NetworkSpec], int] | None
) -> None:
    """Refuse a head that was read before anything is allocated for what it stands for."""
    if 8 * len(data) < coder.num_bits:
        raise CodecError("cut short: its head continues past the end of its data")
    _check_sizes(header.spec, CodecError)
    if header.inputs is not None and (header.inputs.permutation_seed or 0) > MAX_SEED:
        raise CodecError(f"damaged: a seed of the pixels' permutation above {MAX_SEED}")
    more = beside(header.spec) if beside is not None and isinstance(header.spec, NetworkSpec) else 0
    memory.check_memory(_BYTES_A_WEIGHT * header.spec.num_weights + more, "this network")


def _check_sizes(spec: Spec, error: type[ValueError]) -> None:
    """Refuse networks that would not fit into the coder's counters."""
    if isinstance(spec, TensorListSpec):
        sizes = [prod(shape) for _, shape in spec.shapes]
    else:
        sizes = [layer.num_weights for layer in spec.layers]
    if max(sizes) > _MAX_TENSOR:
        raise error(f"a tensor of {max(sizes):,} numbers is more than the code's {_MAX_TENSOR:,}")
