"""Codewords, certificates, safetensors, indexes and every other file of JSON, with lies in them."""

import json
import random
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from analysis.certify.folder import BITS_FILE, CHECKSUM, JSON_FILE, json_checksum
from analysis.codelength.label_file import MAGIC as LABELS_MAGIC
from analysis.codes import CODES
from analysis.codes.arithmetic_coder import ArithmeticCoder
from analysis.codes.bit_file import (
    CHECKSUM_BYTES,
    MAGIC,
    PRIOR_FILE,
    RELATIVE_MAGIC,
    compute_checksum,
)
from analysis.codes.bodies import BODIES, Body
from analysis.codes.header import Header, code_header
from analysis.codes.ledger import Ledger
from analysis.codes.message import Spec, TensorListSpec, expected_shapes
from analysis.quantize.formats import FORMATS
from tests.fuzz.damage import TEXTS, change_tree, damage, splice
from training.data.input_map import InputMap
from training.spec.architectures import NETWORKS, NetworkSpec
from training.spec.normalization import fixed_normalization

Files = dict[str, bytes]


def change_json(data: bytes, draw: random.Random) -> bytes:
    """A JSON text that says something else, or nothing that JSON allows."""
    if draw.random() < 0.1:
        return draw.choice(_odd_texts(data, draw))
    return write_json(change_tree(json.loads(data), draw), draw)


def write_json(tree: Any, draw: random.Random) -> bytes:
    """As some program would write it: NaN, lone surrogates and huge numbers as they come."""
    text = json.dumps(tree, indent=draw.choice((None, None, 1)), ensure_ascii=draw.random() < 0.5)
    return text.encode(errors="surrogatepass")


def _odd_texts(data: bytes, draw: random.Random) -> tuple[bytes, ...]:
    deep = draw.choice((900, 20_000, 200_000))
    first = data.lstrip()[:1]
    return (
        b"",
        b"null",
        b"[]",
        b"{}",
        b"[" * deep,
        b"[" * deep + b"]" * deep,
        b'{"a":' * deep + b"1" + b"}" * deep,
        b"1" * draw.choice((10, 5000, 500_000)),
        b'"' + b"x" * 100_000 + b'"',
        b"\xef\xbb\xbf" + data,
        data.decode(errors="replace").encode("utf-16"),
        data + data,
        data.replace(b":", b': 1e999, "x":', 1),
        data.replace(b"{", b'{"format": 1, "format": 2, ', 1),
        first + b"\xff\xfe" + data[1:],
        data.replace(b'"', b"'"),
    )


def change_lines(data: bytes, draw: random.Random) -> bytes:
    """A file of JSON lines with one of them changed, lost, doubled or cut."""
    lines = data.splitlines(keepends=True)
    place = draw.randrange(len(lines))
    line = lines[place]
    new = draw.choice(
        (
            *[change_json(line, draw) + b"\n"] * 4,
            line[: draw.randrange(len(line))],
            line + line,
            b"\n",
            b"",
            damage(line, draw),
        )
    )
    return b"".join([*lines[:place], new, *lines[place + 1 :]])


SIX_LOGITS = np.random.default_rng(0).normal(size=(6, 10))
"""Of the images that a file of labels is about."""


def frame(codeword: bytes) -> bytes:
    """A codeword, good or not, with its true checksum."""
    return MAGIC + compute_checksum(codeword) + codeword


def change_codeword(data: bytes, draw: random.Random) -> bytes:
    """A file of bits whose checksum is right and whose codeword is not, or is another."""
    codeword = data[len(MAGIC) + CHECKSUM_BYTES :]
    tail = draw.choice((b"", bytes(20), b"\xff" * 20, draw.randbytes(60), codeword[8:]))
    head = draw.choice((random_head, random_head, lambda draw: draw.randbytes(20)))(draw)
    if draw.random() < 0.3:
        return frame(giant_codeword(draw))
    return frame(draw.choice((damage(codeword, draw), head + tail, damage(head, draw) + tail)))


def change_relative(files: Files, draw: random.Random) -> Files:
    """Bits relative to a prior: another difference under a true checksum, or another prior."""
    if draw.random() < 0.2:
        return files | {PRIOR_FILE: change_codeword(files[PRIOR_FILE], draw)}
    start = len(RELATIVE_MAGIC) + CHECKSUM_BYTES
    named, codeword = files["net.mdl"][start : start + 32], files["net.mdl"][start + 32 :]
    tail = draw.choice((b"", bytes(20), b"\xff" * 20, draw.randbytes(60)))
    head = bytes([draw.randrange(128)]) + draw.randbytes(draw.randrange(30))
    content = named + draw.choice((damage(codeword, draw), codeword[:4] + tail))
    content = draw.choice((content, content, named + head))
    return files | {"net.mdl": RELATIVE_MAGIC + compute_checksum(content) + content}


def change_labels(data: bytes, draw: random.Random) -> bytes:
    """A file of labels whose checksum is right and whose codeword is not, or is another."""
    start = len(LABELS_MAGIC) + CHECKSUM_BYTES
    tail = draw.choice((b"", bytes(20), b"\xff" * 20, draw.randbytes(3)))
    codeword = draw.choice((damage(data[start:], draw), data[start:] + tail, draw.randbytes(5)))
    return LABELS_MAGIC + compute_checksum(codeword) + codeword


def random_head(draw: random.Random) -> bytes:
    """The head of a codeword that may well be good, of a network or of a list of tensors."""

    def size() -> int:
        return draw.choice((1, 2, 3, 17, draw.randrange(1, 300), 1 << draw.randrange(30, 126)))

    coder = ArithmeticCoder(compiled=False)
    coder.integer(draw.choice((1, 1, 1, 1, 1, 1, 2, size())))
    coder.integer(draw.randrange(len(FORMATS)) + 1)
    coder.integer(draw.randrange(len(CODES)) + 1)
    if draw.random() < 0.5:
        shapes = [[size() for _ in range(draw.randrange(5))] for _ in range(draw.randrange(1, 4))]
        coder.integer(1)
        coder.integer(len(shapes))
        for index, shape in enumerate(shapes):
            coder.integer(2)
            coder.uniform(draw.choice((97 + index, 97 + index, 0, 195)), 256)
            for number in (len(shape) + 1, *shape):
                coder.integer(number)
    else:
        network = draw.randrange(len(NETWORKS))
        sizes = [
            draw.choice((4, 8, size())),
            draw.choice((2, 10, size())),
            draw.choice((1, 3, size())),
        ]
        sizes += [draw.choice((1, 2, size()))]
        sizes += [draw.choice((1, 3, 4, size()))] if NETWORKS[network] == "resnet18" else []
        for number in (network + 2, *sizes):
            coder.integer(number)
        is_own = coder.uniform(draw.randrange(2), 2)
        for _ in range(2 * min(sizes[2], 4) if is_own else 0):
            coder.bits(draw.choice((0, 0x3F000000, 0x7F800000, 0x7FC00000, 0xBF800000)), 32)
        if coder.uniform(draw.randrange(2), 2):
            coder.integer(size())
    for _ in range(draw.randrange(4)):
        coder.uniform(draw.randrange(3), 3)
    return coder.finish()[0]


def giant_codeword(draw: random.Random) -> bytes:
    """A few bytes that stand for a network of zeros, often one that no machine can hold.

    The head is that of the large network, the body that of a small one: both have the same tensors,
    and where all are zero their sizes hardly matter to the body.
    """
    code = draw.choice(("theorem-2", "enumerative", "context"))
    size = 2 ** draw.choice((1, 3, 9, 12, 13, 16, 20, 24))
    if draw.random() < 0.5:
        name = draw.choice(("s-fc", "s-conv", "s-local", "d-fc", "3-fc"))
        width = "hidden_units" if name == "3-fc" else "base_channels"
        shape = {"name": name, "num_classes": 10, "in_channels": 3}
        small: Spec = NetworkSpec(image_size=8, **shape, **{width: 1})
        large: Spec = NetworkSpec(image_size=draw.choice((8, 32)), **shape, **{width: size})
        inputs = InputMap(fixed_normalization(3), None)
    else:
        names = [f"layer{index}.weight" for index in range(draw.choice((1, 3, 40)))]
        small = TensorListSpec(tuple((name, (2, 2)) for name in names))
        large = TensorListSpec(tuple((name, (size, size)) for name in names))
        inputs = None
    number_format = draw.choice(list(FORMATS.values()))
    coder = ArithmeticCoder(compiled=False)
    header = Header(spec=large, number_format=number_format, code=code, inputs=inputs)
    code_header(coder, header)
    state = {name: torch.zeros(shape) for name, shape in expected_shapes(small).items()}
    shapes = expected_shapes(small)
    body = Body(
        coder=coder,
        spec=small,
        shapes=shapes,
        number_format=number_format,
        state=state,
        ledger=Ledger(),
    )
    BODIES[code](body)
    return coder.finish()[0]


def change_certificate(files: Files, draw: random.Random) -> Files:
    """A certificate that states something else, most with a seal that fits."""
    if draw.random() < 0.2:
        return files | {BITS_FILE: change_codeword(files[BITS_FILE], draw)}
    if draw.random() < 0.1:
        return files | {JSON_FILE: change_json(files[JSON_FILE], draw)}
    tree = json.loads(files[JSON_FILE])
    del tree[CHECKSUM]
    tree = change_tree(tree, draw)
    if isinstance(tree, dict):
        try:
            tree[CHECKSUM] = json_checksum(tree)
        except (ValueError, TypeError):  # NaN, or a text that is not one
            tree[CHECKSUM] = "0" * 64
    return files | {JSON_FILE: write_json(tree, draw)}


def change_cells(data: bytes, draw: random.Random) -> bytes:
    """A .csv file with cells or lines that are others."""
    lines = [line.split(b",") for line in data.split(b"\n")]
    for _ in range(draw.randrange(1, 4)):
        line = draw.choice(lines)
        odd = (
            b"",
            b"-1",
            b"3",
            b"1e9",
            b"9" * 99,
            b'"',
            b"\0",
            b"\xff",
            "٣".encode(),
            b"index",
            b"a,b",
        )
        line[draw.randrange(len(line))] = draw.choice(odd)
        if draw.random() < 0.3:
            lines.insert(draw.randrange(len(lines)), list(draw.choice(lines)))
    return b"\n".join(b",".join(line) for line in lines)


def change_safetensors(data: bytes, draw: random.Random) -> bytes:
    """A safetensors file with another header, whose length is true or not."""
    length = int.from_bytes(data[:8], "little")
    header, numbers = data[8 : 8 + length], data[8 + length :]
    text = change_json(header, draw)
    stated = len(text) if draw.random() < 0.9 else draw.choice((0, 1, len(text) + 1, 2**25, 2**63))
    return struct.pack("<Q", stated) + text + draw.choice((numbers, numbers, damage(numbers, draw)))


def change_index(files: Files, draw: random.Random) -> Files:
    """An index that names other shards, or shards that are others."""
    index = next(name for name in files if name.endswith(".index.json"))
    shards = [name for name in files if name != index]
    how = draw.randrange(5)
    if how == 0:
        name = draw.choice(shards)
        return files | {name: change_safetensors(files[name], draw)}
    if how == 1:
        gone = draw.choice(shards)
        return {name: content for name, content in files.items() if name != gone}
    tree = json.loads(files[index])
    names = (*TEXTS, *shards, index, f"./{shards[0]}", f"sub/../{shards[0]}")
    tree = change_tree(tree, draw, lambda old: draw.choice(names))
    return files | {index: write_json(tree, draw)}


def change_one(
    change: Callable[[bytes, random.Random], bytes],
) -> Callable[[Files, random.Random], Files]:
    """A change of one file out of a folder's, drawn."""

    def changed(files: Files, draw: random.Random) -> Files:
        name = draw.choice(sorted(files))
        return files | {name: change(files[name], draw)}

    return changed


def splice_one(files: Files, others: Files, draw: random.Random) -> Files:
    """One file of a folder is the start of itself and the end of another good one."""
    name = draw.choice(sorted(files))
    return files | {name: splice(files[name], others[draw.choice(sorted(others))], draw)}
