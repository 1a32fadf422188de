"""Certificates made, written, read and checked; and everything that a change must not survive."""

import copy
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from scipy.stats import binom

from analysis.certify import folder as certificate_folder
from analysis.certify.certificate import Certificate, make_certificate
from analysis.certify.folder import BITS_FILE, JSON_FILE, json_checksum, write_certificate
from analysis.certify.images import WITH_VALIDATION, CertifiedData, find_images, load_images
from analysis.certify.verify import verify
from analysis.codes.bit_file import MAGIC, compute_checksum, decode_whole, load_codeword
from analysis.codes.message import NetworkMessage, TensorListSpec
from analysis.codes.network_code import Codeword, encode_network
from analysis.quantize.formats import find_format, quantize_tensors
from training.data.input_map import InputMap
from training.errors import DataError
from training.networks.models import build_network
from training.spec.architectures import NetworkSpec
from training.spec.config import DataConfig
from training.spec.normalization import Normalization, fixed_normalization

DATA = DataConfig(image_size=8, num_train=120, num_test=30, validation=20, seed=3)


def make_codeword(
    *,
    name: str = "s-conv",
    normalization: Normalization | None = None,
    permutation_seed: int | None = None,
    seed: int = 0,
) -> Codeword:
    spec = NetworkSpec(
        name=name,
        image_size=8,
        num_classes=10,
        **({"hidden_units": 2} if name == "3-fc" else {"base_channels": 1}),
    )
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for key, tensor in build_network(spec, folded=True).state_dict().items():
        values = torch.randint(-2, 3, tensor.shape, generator=generator).float()
        state[key] = values * (torch.rand(tensor.shape, generator=generator) < 0.5)
    number_format = find_format(8)
    message = NetworkMessage(
        spec=spec,
        number_format=number_format,
        state=quantize_tensors(state, number_format),
        inputs=InputMap(normalization or fixed_normalization(3), permutation_seed),
    )
    return decode_whole(encode_network(message, "context").data)


def certify(codeword: Codeword, folder: Path, **options: Any) -> Certificate:
    record, images = load_images(DATA, **options)
    certificate = make_certificate(codeword, record, images)
    write_certificate(certificate, codeword, folder)
    return certificate


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate; tests copy what they change."""
    place = tmp_path_factory.mktemp("certificate") / "cert"
    certify(make_codeword(), place)
    return place


def read(folder: Path) -> dict[str, Any]:
    return json.loads((folder / JSON_FILE).read_text())


def changed(folder: Path, place: Path, contents: dict[str, Any], *, sealed: bool) -> Path:
    """A copy of a certificate with another JSON, which a forger may have sealed anew."""
    place.mkdir(exist_ok=True)
    if sealed:
        contents = contents | {"seal": json_checksum(contents)}
    (place / BITS_FILE).write_bytes((folder / BITS_FILE).read_bytes())
    (place / JSON_FILE).write_text(json.dumps(contents))
    return place


def leaves(contents: dict[str, Any], prefix: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, value in contents.items():
        if isinstance(value, dict):
            yield from leaves(value, (*prefix, name))
        else:
            yield (*prefix, name)


def parent(contents: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    for name in path[:-1]:
        contents = contents[name]
    return contents


# --- what it says ---


def test_a_certificate_shows_itself_in_a_notebook(folder: Path) -> None:
    made = verify(folder).certificate
    assert made is not None
    page = made._repr_html_()
    assert "Vacuous" in page and "binomial tail" in page and f"{made.description_bits:,}" in page
    one = replace(made, errors=replace(made.errors, num_errors=0), description_bits=3)
    assert "True error &lt;= " in one._repr_html_()


def test_an_untouched_certificate_is_verified(folder: Path) -> None:
    found = verify(folder)
    assert found.differences == ()
    assert found.ok
    stated = read(folder)
    for name in ("bound", "num_errors", "num_samples", "description_bits", "delta"):
        assert found.to_dict()[name] == stated[name]
    assert verify(folder, data="glyphs").ok


def test_its_numbers_by_another_route(folder: Path) -> None:
    stated = read(folder)
    codeword = load_codeword(folder / BITS_FILE)
    state = codeword.message.state
    values = torch.cat([tensor.flatten() for tensor in state.values()])
    assert stated["description_bits"] == codeword.num_bits
    assert stated["num_weights"] == len(values)
    assert stated["num_nonzeros"] == int((values != 0).sum())
    assert stated["num_distinct"] == len(values.unique())
    assert (stated["num_samples"], stated["hold_out"]["num_samples"]) == (100, 20)
    assert stated["test"]["num_samples"] == 30
    assert stated["bound"] == stated["bounds"]["binomial_tail"]
    if stated["bound"] < 1:
        tail = binom.logcdf(stated["num_errors"], 100, stated["bound"])
        wanted = -codeword.num_bits * 0.6931471805599453 - 2.995732273553991
        assert tail == pytest.approx(wanted, rel=1e-6)
    held_out = stated["hold_out"]["num_errors"]
    assert binom.cdf(held_out, 20, stated["hold_out_bound"]) == pytest.approx(0.05, rel=1e-6)


def test_there_is_no_date_and_no_place_in_it(folder: Path, tmp_path: Path) -> None:
    certify(make_codeword(), tmp_path / "again")
    for name in (BITS_FILE, JSON_FILE):
        assert (folder / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
    assert str(tmp_path.parents[-2]) not in (folder / JSON_FILE).read_text()


@pytest.mark.sample(3)
@pytest.mark.parametrize(
    "options",
    [
        {"permutation_seed": 5},
        {"normalization": Normalization(mean=(0.4,) * 3, std=(0.3,) * 3, source="data")},
        {"name": "3-fc"},
        {"name": "resnet18"},
    ],
)
def test_inputs_and_networks_of_all_kinds(options: dict[str, Any], tmp_path: Path) -> None:
    certificate = certify(make_codeword(**options), tmp_path / "cert")
    assert certificate.permutation_seed == options.get("permutation_seed")
    assert verify(tmp_path / "cert").ok


def test_validation_images_may_be_counted_in(tmp_path: Path) -> None:
    certificate = certify(make_codeword(), tmp_path / "cert", samples=WITH_VALIDATION)
    assert certificate.errors.num_samples == 120
    assert certificate.held_out is None and certificate.hold_out_bound is None
    assert verify(tmp_path / "cert").ok


# --- what a change does ---


@pytest.mark.slow
def test_every_flipped_bit_is_noticed(folder: Path, tmp_path: Path) -> None:
    original = (folder / BITS_FILE).read_bytes()
    place = changed(folder, tmp_path / "cert", read(folder), sealed=False)
    for bit in range(8 * len(original)):
        flipped = bytearray(original)
        flipped[bit // 8] ^= 0x80 >> bit % 8
        (place / BITS_FILE).write_bytes(flipped)
        found = verify(place)
        assert not found.ok
        assert len(found.differences) == 1
        assert BITS_FILE in found.differences[0]


@pytest.mark.slow
def test_flipped_bits_under_a_new_checksum_are_noticed(folder: Path, tmp_path: Path) -> None:
    start = len(MAGIC) + 16
    data = (folder / BITS_FILE).read_bytes()[start:]
    place = changed(folder, tmp_path / "cert", read(folder), sealed=False)
    for bit in range(4 * len(data), 8 * len(data), 5):  # behind the head
        flipped = bytearray(data)
        flipped[bit // 8] ^= 0x80 >> bit % 8
        (place / BITS_FILE).write_bytes(MAGIC + compute_checksum(bytes(flipped)) + flipped)
        assert not verify(place).ok


@pytest.mark.slow
def test_every_changed_value_is_noticed(folder: Path, tmp_path: Path) -> None:
    """Every leaf without a new checksum; every number and every fact also with one."""
    stated = read(folder)
    words = {("data", "name"), ("seal",), *(("versions", name) for name in stated["versions"])}
    for path in leaves(stated):
        contents = copy.deepcopy(stated)
        value = parent(contents, path)[path[-1]]
        new = {
            int: lambda value=value: value + 1,
            float: lambda value=value: value * 0.99,
            str: lambda value=value: value + "x",
            type(None): lambda: 1,
        }[type(value)]()
        parent(contents, path)[path[-1]] = new
        found = verify(changed(folder, tmp_path / "cert", contents, sealed=False))
        assert not found.ok, path
        if path in words:
            continue
        found = verify(changed(folder, tmp_path / "cert", contents, sealed=True))
        assert not found.ok, path
        assert not any("seal" in line for line in found.differences), path


def test_each_difference_has_a_line_of_its_own(folder: Path, tmp_path: Path) -> None:
    contents = read(folder)
    contents["num_errors"] -= 1
    contents["bounds"]["maurer"] = 0.1
    contents["extra"] = 1
    del contents["code"]
    contents["network"]["extra"] = 2
    del contents["bounds"]["theorem_1"]
    found = verify(changed(folder, tmp_path / "cert", contents, sealed=True))
    starts = [line.partition(":")[0] for line in found.differences]
    assert starts == [
        "bounds.maurer",
        "bounds.theorem_1",
        "code",
        "extra",
        "network.extra",
        "num_errors",
    ]
    assert found.to_dict()["num_errors"] == read(folder)["num_errors"]  # as recomputed


@pytest.mark.parametrize("path", [("data",), ("delta",), ("data", "seed"), ("versions",)])
def test_missing_fields_that_the_check_needs(
    path: tuple[str, ...], folder: Path, tmp_path: Path
) -> None:
    contents = read(folder)
    del parent(contents, path)[path[-1]]
    found = verify(changed(folder, tmp_path / "cert", contents, sealed=True))
    assert not found.ok
    assert path[-1] in " ".join(found.differences)


@pytest.mark.parametrize("field", ["num_train", "num_test", "image_size", "in_channels", "seed"])
def test_huge_numbers_take_no_memory(field: str, folder: Path, tmp_path: Path) -> None:
    contents = read(folder)
    contents["data"][field] = 10**13
    found = verify(changed(folder, tmp_path / "cert", contents, sealed=True))
    assert len(found.differences) == 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"format": "mdl-certificate"}',
        '{"a": 1, "a": 2}',
        '{"a": NaN}',
        "[" * 100_000,
        "\udcff",
    ],
)
def test_json_of_any_other_kind_gets_one_line(text: str, folder: Path, tmp_path: Path) -> None:
    place = changed(folder, tmp_path / "cert", {}, sealed=False)
    (place / JSON_FILE).write_bytes(text.encode("utf-8", "surrogateescape"))
    found = verify(place)
    assert not found.ok
    assert len(found.differences) == 1
    assert JSON_FILE in found.differences[0]


def test_missing_files_get_one_line(folder: Path, tmp_path: Path) -> None:
    assert "not a folder" in verify(tmp_path / "nothing").differences[0]
    for name in (BITS_FILE, JSON_FILE):
        place = changed(folder, tmp_path / name, read(folder), sealed=False)
        (place / name).unlink()
        found = verify(place)
        assert len(found.differences) == 1
        assert name in found.differences[0]


def test_other_images_are_not_evaluated(folder: Path, tmp_path: Path) -> None:
    from tests.training.data.test_loading import write_images

    write_images(tmp_path / "pets")
    found = verify(folder, data=str(tmp_path / "pets"))
    assert not found.ok
    assert found.certificate is None
    assert found.to_dict()["bound"] is None


# --- what cannot be certified, and how it is written ---


def test_external_tensors_and_external_images_are_refused() -> None:
    record, images = load_images(DATA)
    external = NetworkMessage(
        spec=TensorListSpec((("a", (3,)),)),
        number_format=find_format(8),
        state={"a": torch.tensor([1.0, 0.0, 2.0])},
    )
    with pytest.raises(ValueError, match="not mdl's"):
        make_certificate(decode_whole(encode_network(external, "context").data), record, images)
    other = CertifiedData.from_dict(record.to_dict() | {"image_size": 9})
    with pytest.raises(DataError, match="image_size 9"):
        make_certificate(make_codeword(), other, images)
    for delta in (0.0, 1.0):
        with pytest.raises(ValueError, match="delta"):
            make_certificate(make_codeword(), record, images, delta=delta)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("num_train", 0),
        ("num_train", "9"),
        ("seed", -1),
        ("validation", 120),
        ("samples", "test"),
        ("name", 3),
        ("num_classes", True),
    ],
)
def test_records_of_data_are_checked(field: str, value: object) -> None:
    record, _ = load_images(DATA)
    with pytest.raises(ValueError, match=f"data {field}"):
        CertifiedData.from_dict(record.to_dict() | {field: value})


def test_a_record_finds_its_images_again() -> None:
    record, images = load_images(DATA)
    found, again = find_images(record, None)
    assert found == record
    assert torch.equal(images.samples.images, again.samples.images)
    with pytest.raises(DataError, match="pass it as data"):
        find_images(CertifiedData.from_dict(record.to_dict() | {"name": "MNIST"}), None)


def test_a_folder_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch) -> None:
    codeword = make_codeword()
    record, images = load_images(DATA)
    certificate = make_certificate(codeword, record, images)
    full = tmp_path / "full"
    full.mkdir()
    (full / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="not empty"):
        write_certificate(certificate, codeword, full)
    with pytest.raises(FileExistsError, match="is a file"):
        write_certificate(certificate, codeword, full / "notes.txt")
    with pytest.raises(FileNotFoundError, match="not a folder"):
        write_certificate(certificate, codeword, tmp_path / "no" / "cert")
    empty = tmp_path / "empty"
    empty.mkdir()
    write_certificate(certificate, codeword, empty)
    assert verify(empty).ok

    def fail(path: Path, text: str) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(certificate_folder, "write_text_atomically", fail)
    with pytest.raises(OSError, match="disk full"):
        write_certificate(certificate, codeword, tmp_path / "cert")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "full"]
    assert (full / "notes.txt").read_text() == "mine"
