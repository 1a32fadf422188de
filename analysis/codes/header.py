"""The head of a description: format version, network, inputs, R_b and the choice of the code.

Everything here is counted. The numbers are δ codes; flags take one bit.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from analysis.codes import CODES, RELATIVE
from analysis.codes.arithmetic_coder import ArithmeticCoder, CodecError
from analysis.codes.message import NetworkMessage, Spec, TensorListSpec, input_values
from analysis.quantize.formats import FORMATS, NumberFormat
from analysis.quantize.integers import INTEGER_TYPES, MAX_BITS, MAX_FIELDS, IntegerFormat
from training.data.input_map import InputMap
from training.spec.architectures import NETWORKS, NetworkSpec
from training.spec.normalization import FIXED_MEAN, FIXED_STD, Normalization, fixed_normalization

FORMAT_VERSION = 2
"""The newest. Version 2 has tensors of integers; what has none is written as in version 1."""
_MAX_NAME = 4096
_MAX_CHANNELS = 4096
_MAX_TENSORS = 1 << 20
_MAX_DIMENSIONS = 16
_MAX_FORMATS = 256


@dataclass(frozen=True, kw_only=True)
class Header:
    """What the head says.

    Attributes:
        spec: The network.
        number_format: R_b.
        code: One of `CODES`.
        inputs: What images are put through; None for external tensors.
    """

    spec: Spec
    number_format: NumberFormat
    code: str
    inputs: InputMap | None


def make_header(message: NetworkMessage, code: str) -> Header:
    """The head of a message's description."""
    return Header(
        spec=message.spec, number_format=message.number_format, code=code, inputs=message.inputs
    )


def round_normalization(normalization: Normalization) -> Normalization:
    """The constants as a description holds them: fixed ones as they are, others in float32."""
    if _is_fixed(normalization):
        return replace(normalization, source="fixed")
    mean, std = (
        tuple(float(np.float32(value)) for value in values)
        for values in (normalization.mean, normalization.std)
    )
    return Normalization(mean=mean, std=std, source="data")


def code_header(coder: ArithmeticCoder, header: Header | None) -> Header:
    """Code the head.

    Args:
        coder: Writes or reads.
        header: What it is to say; None when decoding.

    Raises:
        CodecError: Decoding, and it is of a version that this code does not read, or damaged.
    """
    has_integers = header is not None and bool(getattr(header.spec, "integers", ()))
    version = coder.integer(FORMAT_VERSION if has_integers else 1)
    if version > FORMAT_VERSION:
        raise CodecError(
            f"format version {version}; this mdl reads versions up to {FORMAT_VERSION}; update mdl"
        )
    number_format = _code_choice(
        coder, tuple(FORMATS), header.number_format.name if header else None
    )
    code = _code_choice(coder, CODES, header.code if header else None)
    spec, inputs = _code_network(coder, header, version)
    return Header(spec=spec, number_format=FORMATS[number_format], code=code, inputs=inputs)


def code_relative_header(
    coder: ArithmeticCoder, header: Header | None, prior: NetworkMessage
) -> Header:
    """Code the head of what is described relative to a prior: one bit where it is the prior's.

    Args:
        coder: Writes or reads.
        header: What it is to say; None when decoding.
        prior: The prior.

    Raises:
        CodecError: Decoding, and it is damaged.
    """
    same = make_header(prior, RELATIVE)
    if not coder.uniform(int(header is not None and not _is_same(header, same)), 2):
        return same
    number_format = _code_choice(
        coder, tuple(FORMATS), header.number_format.name if header else None
    )
    spec, inputs = _code_network(coder, header, 1)
    return Header(spec=spec, number_format=FORMATS[number_format], code=RELATIVE, inputs=inputs)


def _is_same(header: Header, other: Header) -> bool:
    """Whether two heads say the same, whatever they say of where constants come from."""
    return (
        header.spec == other.spec
        and header.number_format.name == other.number_format.name
        and input_values(header.inputs) == input_values(other.inputs)
    )


def _code_network(
    coder: ArithmeticCoder, header: Header | None, version: int
) -> tuple[Spec, InputMap | None]:
    try:
        spec = _code_spec(coder, header.spec if header else None, version)
    except ValueError as error:
        raise _as_codec_error(error) from error
    if not isinstance(spec, NetworkSpec):
        return spec, None
    known = header.inputs if header else None
    inputs = InputMap(
        _code_normalization(coder, known.normalization if known else None, spec.in_channels),
        _code_optional(coder, known.permutation_seed if known else None),
    )
    return spec, inputs


def _code_choice(coder: ArithmeticCoder, names: tuple[str, ...], name: str | None) -> str:
    index = coder.integer(names.index(name) + 1 if name else 1) - 1
    if index >= len(names):
        raise CodecError(f"damaged: a choice that is none of {', '.join(names)}")
    return names[index]


def _code_spec(coder: ArithmeticCoder, spec: Spec | None, version: int) -> Spec:
    names = (*NETWORKS, "")  # the last one: a list of tensors
    index = 1 + (names.index(spec.name) if isinstance(spec, NetworkSpec) else len(NETWORKS))
    # External tensors come first among the numbers, so that networks may be added behind.
    number = coder.integer(1 if index > len(NETWORKS) else index + 1)
    if number > len(NETWORKS) + 1:
        raise CodecError("damaged, or made by a newer mdl: a network that this mdl does not have")
    if number == 1:
        return _code_tensor_list(coder, spec if isinstance(spec, TensorListSpec) else None, version)
    if version > 1:
        raise CodecError("damaged: a network of mdl's own, which has no integers")
    own = spec if isinstance(spec, NetworkSpec) else None
    name = NETWORKS[number - 2]
    width = "hidden_units" if name == "3-fc" else "base_channels"
    fields = ["image_size", "num_classes", "in_channels", width]
    fields += ["kernel_size"] if name == "resnet18" else []
    values = {field: coder.integer(getattr(own, field) if own else 1) for field in fields}
    return NetworkSpec(name=name, **values)


def _code_tensor_list(
    coder: ArithmeticCoder, spec: TensorListSpec | None, version: int
) -> TensorListSpec:
    num_tensors = _limited(coder, len(spec.shapes) if spec else 1, _MAX_TENSORS, "tensors")
    shapes = []
    for index in range(num_tensors):
        name, shape = spec.shapes[index] if spec else ("", ())
        text = name.encode()
        length = _limited(coder, len(text) + 1, _MAX_NAME, "bytes of a name") - 1
        read = bytes(coder.uniform(text[at] if spec else 0, 256) for at in range(length))
        num_dimensions = _limited(coder, len(shape) + 1, _MAX_DIMENSIONS, "dimensions") - 1
        sizes = tuple(coder.integer(shape[at] if spec else 1) for at in range(num_dimensions))
        shapes.append((read.decode(), sizes))
    if version == 1:
        return TensorListSpec(tuple(shapes))
    return _code_integers(coder, spec, tuple(shapes))


def _code_integers(
    coder: ArithmeticCoder,
    spec: TensorListSpec | None,
    shapes: tuple[tuple[str, tuple[int, ...]], ...],
) -> TensorListSpec:
    """The formats of integers, and of each tensor which one it has, R_b being the first choice."""
    known = dict(spec.integers) if spec else {}
    formats = list(dict.fromkeys(known.values()))
    count = _limited(coder, max(len(formats), 1), _MAX_FORMATS, "formats of integers")
    found = []
    for place in range(count):
        own = formats[place] if spec else None
        stored = _code_choice(coder, INTEGER_TYPES, own.stored if own else None)
        bits = _limited(coder, own.bits_per_weight if own else 1, MAX_BITS, "bits of an integer")
        fields = _limited(coder, own.num_fields if own else 1, MAX_FIELDS, "numbers in an integer")
        found.append(IntegerFormat(stored=stored, bits_per_weight=bits, num_fields=fields))
    integers = []
    for name, _ in shapes:
        choice = coder.uniform(formats.index(known[name]) + 1 if name in known else 0, count + 1)
        if choice:
            integers.append((name, found[choice - 1]))
    if not integers or list(dict.fromkeys(each for _, each in integers)) != found:
        raise ValueError("formats of integers that no tensor has, or in another order")
    return TensorListSpec(shapes, tuple(integers))


def _limited(coder: ArithmeticCoder, value: int, highest: int, what: str) -> int:
    found = coder.integer(value)
    if found > highest:
        raise ValueError(f"{found} {what} are more than {highest}")
    return found


def _code_normalization(
    coder: ArithmeticCoder, normalization: Normalization | None, num_channels: int
) -> Normalization:
    if num_channels > _MAX_CHANNELS:
        raise CodecError(f"damaged: {num_channels} input channels")
    is_own = normalization is not None and not _is_fixed(normalization)
    if not coder.uniform(int(is_own), 2):
        return fixed_normalization(num_channels)
    values = []
    for index in range(2 * num_channels):
        own = (*normalization.mean, *normalization.std)[index] if normalization else 0.0
        pattern = coder.bits(int(np.float32(own).view(np.uint32)), 32)
        values.append(float(np.uint32(pattern).view(np.float32)))
        if not math.isfinite(values[-1]):
            raise CodecError("damaged: a normalisation constant that is not a number")
    try:
        return Normalization(
            mean=tuple(values[:num_channels]), std=tuple(values[num_channels:]), source="data"
        )
    except ValueError as error:
        raise _as_codec_error(error) from error


def _code_optional(coder: ArithmeticCoder, value: int | None) -> int | None:
    """A number >= 0 or nothing: one bit, and the number where there is one."""
    if not coder.uniform(int(value is not None), 2):
        return None
    return coder.integer(1 if value is None else value + 1) - 1


def _is_fixed(normalization: Normalization) -> bool:
    fixed = {FIXED_MEAN}, {FIXED_STD}
    return (set(normalization.mean), set(normalization.std)) == fixed


def _as_codec_error(error: ValueError) -> CodecError:
    return error if isinstance(error, CodecError) else CodecError(f"damaged: {error}")
