"""Writes tests/data/codes: descriptions of small networks, and what they must decode to.

The files pin the format: a later version must write the same bytes and read the same tensors. Run
it again (`python -m tests.data.make_golden_codes` from the root) only when the format changes, and
give the format a new version then. Numbers come from Python's own generator, which is the same
everywhere.
"""

import hashlib
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from analysis.codes.bit_file import save_codeword
from analysis.codes.message import NetworkMessage, Spec, TensorListSpec, expected_shapes
from analysis.codes.network_code import Codeword, encode_network
from analysis.quantize.formats import FORMATS, quantize_tensors
from analysis.quantize.integers import IntegerFormat
from training.data.input_map import InputMap
from training.networks.embedding import embed_state
from training.spec.architectures import NetworkSpec
from training.spec.normalization import Normalization, fixed_normalization

FOLDER = Path(__file__).resolve().parent / "codes"
RECORD = FOLDER / "golden.json"
EXTERNAL = TensorListSpec(
    (
        ("encoder.слой.weight", (5, 2, 3)),
        ("kernel", (3, 2, 3, 3)),
        ("scale", ()),
        ("embedding", (40, 33)),
        ("bias", (6,)),
    )
)

INTEGERS = TensorListSpec(
    (("scale", (2, 3)), ("words", (3, 2, 8)), ("weight", (5, 6)), ("mask", (7,)), ("zero", ())),
    (
        ("words", IntegerFormat(stored="int32", bits_per_weight=4, num_fields=8)),
        ("weight", IntegerFormat(stored="int8", bits_per_weight=8)),
        ("mask", IntegerFormat(stored="bool", bits_per_weight=1)),
        ("zero", IntegerFormat(stored="int8", bits_per_weight=8)),
    ),
)


def make_tensor(shape: tuple[int, ...], seed: int, *, density: float, levels: int) -> Tensor:
    """Multiples of 1 / 8 up to `levels` of them on both sides, most of them zero at low density."""
    generator = random.Random(seed)
    numbers = []
    for _ in range(int(np.prod(shape, dtype=int))):
        size = 1 + int(generator.random() * levels)
        sign = 1 if generator.random() < 0.6 else -1
        numbers.append(sign * size / 8 if generator.random() < density else 0.0)
    return torch.tensor(numbers).view(shape)


def make_state(spec: Spec, *, density: float, levels: int) -> dict[str, Tensor]:
    """Weights of that density; vectors are full, and scales all alike."""
    state = {}
    for index, (name, shape) in enumerate(expected_shapes(spec).items()):
        if name.endswith(".scale"):
            state[name] = torch.full(shape, 0.25)
        elif len(shape) < 2:
            state[name] = make_tensor(shape, index, density=1, levels=20)
        else:
            state[name] = make_tensor(shape, index, density=density, levels=levels)
    return state


def make_message(
    spec: Spec, format_name: str, state: dict[str, Tensor], **fields: Any
) -> NetworkMessage:
    """A message of these tensors, rounded; fixed inputs unless others are given."""
    formats = dict(spec.integers) if isinstance(spec, TensorListSpec) else {}
    if isinstance(spec, NetworkSpec):
        fields.setdefault("inputs", InputMap(fixed_normalization(spec.in_channels)))
    return NetworkMessage(
        spec=spec,
        number_format=FORMATS[format_name],
        state={
            name: tensor
            if name in formats
            else quantize_tensors({name: tensor}, FORMATS[format_name])[name]
            for name, tensor in state.items()
        },
        **fields,
    )


def make_integers(spec: TensorListSpec) -> dict[str, Tensor]:
    """Numbers of R_b, and integers from all over their formats, the two extremes among them."""
    state = make_state(spec, density=0.8, levels=5)
    for index, (name, form) in enumerate(spec.integers):
        generator = random.Random(100 + index)
        last = form.smallest + (1 << form.bits_per_weight) - 1
        numbers = [generator.randint(form.smallest, last) for _ in range(state[name].numel())]
        numbers[:2] = [form.smallest, last][: len(numbers)]
        state[name] = torch.tensor(numbers, dtype=form.dtype).view(state[name].shape)
    return state


def make_spec(name: str, image_size: int, **fields: int) -> NetworkSpec:
    """A small network of three classes."""
    fields = {"num_classes": 3, "in_channels": 1, **fields}
    if name != "3-fc":
        fields.setdefault("base_channels", 1)
    return NetworkSpec(name=name, image_size=image_size, **fields)


def golden_messages() -> dict[str, tuple[NetworkMessage, str]]:
    """Name of a file to what it describes, and in which code."""
    conv = make_spec("s-conv", 8, in_channels=3, base_channels=2)
    small = make_state(conv, density=0.7, levels=3)
    dense = make_spec("3-fc", 4, hidden_units=7)
    residual = make_spec("resnet18", 5)
    local = make_spec("d-local", 6, in_channels=2)
    wide = make_spec("s-fc", 20)
    own = Normalization(mean=(0.1, 0.2), std=(0.3, 0.4), source="data")
    return {
        "s-conv_context_e4m3fn": (make_message(conv, "e4m3fn", small), "context"),
        "s-fc_structured-conv_bfloat16": (
            make_message(conv.twin("fc"), "bfloat16", embed_state(conv, small, "fc")),
            "structured-conv",
        ),
        "s-fc_context_e4m3fn": (
            make_message(wide, "e4m3fn", make_state(wide, density=0.03, levels=2)),
            "context",
        ),
        "d-local_context_bfloat16": (
            make_message(
                local,
                "bfloat16",
                make_state(local, density=0.1, levels=40),
                inputs=InputMap(own, 12345),
            ),
            "context",
        ),
        "3-fc_theorem-2_float16": (
            make_message(dense, "float16", make_state(dense, density=0.5, levels=4)),
            "theorem-2",
        ),
        "resnet18_enumerative_e5m2": (
            make_message(residual, "e5m2", make_state(residual, density=0.05, levels=2)),
            "enumerative",
        ),
        "external_plain_float32": (
            make_message(EXTERNAL, "float32", make_state(EXTERNAL, density=0.5, levels=9)),
            "plain",
        ),
        "external_auto_e4m3fn": (
            make_message(EXTERNAL, "e4m3fn", make_state(EXTERNAL, density=0.2, levels=9)),
            "auto",
        ),
        **{
            f"integers_{code}_bfloat16": (
                make_message(INTEGERS, "bfloat16", make_integers(INTEGERS)),
                code,
            )
            for code in ("plain", "theorem-2", "enumerative", "context")
        },
    }


def hash_tensors(state: dict[str, Tensor]) -> str:
    """SHA-256 of all names, shapes and numbers (float32, low byte first), in order."""
    digest = hashlib.sha256()
    for name, tensor in state.items():
        digest.update(f"{name} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().numpy().astype("<f4").tobytes())
    return digest.hexdigest()


def describe(codeword: Codeword) -> dict[str, Any]:
    """What the record keeps of a description."""
    return {
        "code": codeword.code,
        "num_bits": codeword.num_bits,
        "tensors": hash_tensors(codeword.message.state),
    }


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    record = {}
    for name, (message, code) in golden_messages().items():
        codeword = encode_network(message, code)
        save_codeword(codeword, FOLDER / f"{name}.mdl")
        record[name] = describe(codeword)
        print(f"{name}: {codeword.num_bits} bits")
    RECORD.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
