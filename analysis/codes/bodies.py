"""The ways to describe a network's tensors once its head has been read.

Each function writes or reads all tensors of a state, in the order of their shapes.
"""

from collections.abc import Callable
from math import prod

import numpy as np

from analysis.codes.codebooks import Codebook, code_codebook, make_codebook
from analysis.codes.errors import CodecError
from analysis.codes.grid import layer_grid, shape_grid
from analysis.codes.matrix import make_values, to_tensor
from analysis.codes.support import code_enumerative
from analysis.codes.tensors import TensorCoder
from analysis.codes.theorem_code import code_theorem_2
from analysis.codes.work import Ints, State, Work
from training.spec.architectures import NetworkSpec


def code_plain(work: Work) -> State:
    """All n numbers one after another, b bits each: nb bits."""
    found = {}
    for name, shape in work.shapes.items():
        patterns = work.patterns(name)
        with work.part(name, "values"):
            work.code_fields(patterns, 1 << work.number_format.bits_per_weight)
        found[name] = make_values(patterns, work.number_format).view(shape)
    return found


def code_supports(work: Work) -> State:
    """Each tensor's support among C(n, ‖w‖₀) of them, and log2 k bits a nonzero for its value.

    The k nonzero values of the network are written first, as a set.
    """
    own = None if work.state is None else [work.patterns(name) for name in work.shapes]
    with work.part("all tensors", "codebook"):
        codebook = _code_values(work, own)
    places, patterns, start = [], [], 0
    for index, (name, shape) in enumerate(work.shapes.items()):
        tensor = None if own is None else own[index]
        with work.part(name, "support"):
            mine = None if tensor is None else np.flatnonzero(tensor)
            found = code_enumerative(work.coder, prod(shape), mine)
        if len(found) and codebook is None:
            raise CodecError("damaged: nonzeros without values")
        if codebook is not None:
            symbols = np.zeros(len(found), dtype=np.int64)
            if tensor is not None:
                symbols = codebook.symbols(tensor[found])
            with work.part(name, "values"):
                work.code_fields(symbols, codebook.num_values)
            patterns.append(codebook.patterns[symbols])
        places.append(found + start)
        start += prod(shape)
    all_patterns = np.concatenate(patterns) if patterns else np.zeros(0, dtype=np.int64)
    return work.spread(np.concatenate(places), all_patterns)


def code_contexts(work: Work) -> State:
    """Every tensor by adaptive contexts: `analysis.codes.tensors`."""
    tensors = TensorCoder(work.coder, work.number_format)
    layers = {}
    if isinstance(work.spec, NetworkSpec):
        layers = {layer.name: layer for layer in work.spec.layers}
    found = {}
    for name, shape in work.shapes.items():
        values = None if work.state is None else work.state[name]

        def record(part: str, bits: float, name: str = name) -> None:
            work.ledger.add(name, part, bits)

        if len(shape) < 2:
            flat = None if values is None else values.reshape(-1)
            layer = layers.get(name.partition("_norm.")[0])
            num_groups = layer.out_size**2 if layer and layer.kind == "local" else 1
            found[name] = tensors.code_vector(
                prod(shape), flat, record, num_groups=num_groups
            ).view(shape)
        else:
            layer = layers.get(name.removesuffix(".weight"))
            grid = shape_grid(shape) if layer is None else layer_grid(layer)
            matrix = tensors.code_weights(grid, values, record)
            found[name] = to_tensor(matrix, work.number_format, shape)
    return found


BODIES: dict[str, Callable[[Work], State]] = {
    "plain": code_plain,
    "theorem-2": code_theorem_2,
    "enumerative": code_supports,
    "context": code_contexts,
    "structured-conv": code_contexts,
    "structured-local": code_contexts,
}


def _code_values(work: Work, own: list[Ints] | None) -> Codebook | None:
    """The codebook of all nonzeros together; None if there are none."""
    made = None
    if own is not None:
        nonzeros = np.concatenate([each[each != 0] for each in own])
        made = make_codebook(nonzeros, work.number_format) if len(nonzeros) else None
    if not work.coder.uniform(int(made is not None), 2):
        return None
    codebook = code_codebook(work.coder, made, work.number_format)
    if 0 in codebook.patterns:
        raise CodecError("damaged: a nonzero whose value is zero")
    return codebook
