"""Certificates with a prior: the three kinds, what is refused, and what a change does."""

import copy
import json
import math
import shutil
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch

from analysis.bounds.bounds import binomial_tail, hold_out
from analysis.certify.certificate import make_certificate
from analysis.certify.certify import certify
from analysis.certify.folder import BITS_FILE, JSON_FILE, json_checksum, write_certificate
from analysis.certify.images import load_images
from analysis.certify.prior import Origin, Prior, kind_of, load_prior, split_bits
from analysis.certify.verify import verify
from analysis.codes import CODES, RELATIVE
from analysis.codes.arithmetic_coder import ArithmeticCoder, delta_bits
from analysis.codes.bit_file import PRIOR_FILE, decoded_codeword, load_codeword, save_codeword
from analysis.codes.checkpoint_message import checkpoint_message, described_codeword
from analysis.codes.header import Header, code_header
from analysis.codes.message import NetworkMessage, TensorListSpec
from analysis.codes.network_code import encode_network
from analysis.quantize.formats import FORMATS, find_format
from training.checkpoint.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from training.checkpoint.record import DataRecord
from training.data.input_map import InputMap
from training.data.loading import load_dataset
from training.errors import CheckpointError, ConfigError, DataError
from training.networks.models import build_network
from training.spec.architectures import NETWORKS, NetworkSpec
from training.spec.config import DataConfig
from training.spec.normalization import fixed_normalization

E4M3 = find_format(8)
DATA = DataConfig(image_size=8, num_train=120, num_test=20, seed=3)
OTHER = replace(DATA, seed=4)
SPLIT = replace(DATA, validation=50)
SPEC = NetworkSpec(name="s-conv", image_size=8, num_classes=10, base_channels=1)


def make_checkpoint(config: DataConfig, *, seed: int = 0, share: float = 0.0) -> Checkpoint:
    """A network in three levels, a share of whose weights are others than those of the seed."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, tensor in build_network(SPEC, folded=True).state_dict().items():
        state[name] = torch.randint(-1, 2, tensor.shape, generator=generator).float()
        if name.endswith("scale"):
            state[name] = torch.full_like(tensor, 0.25)
    for name, tensor in state.items():
        if name.endswith("weight"):
            drawn = torch.randint(-1, 2, tensor.shape, generator=generator).float()
            hit = torch.rand(tensor.shape, generator=generator) < share
            state[name] = torch.where(hit, drawn, tensor)
    dataset = load_dataset(config)
    num_samples = len(dataset.train) - config.validation
    return Checkpoint(
        network=SPEC,
        state=state,
        data=DataRecord.of(
            config, dataset, num_samples=num_samples, num_validation=config.validation
        ),
        normalization=fixed_normalization(3),
        config={"epochs": 3, "data": asdict(config)},
    )


def make_prior(folder: Path, config: DataConfig, **changes: Any) -> Path:
    """A folder as `mdl compress` leaves it: bits, and the checkpoint of their network."""
    folder.mkdir()
    checkpoint = make_checkpoint(config, **changes)
    codeword = described_codeword(checkpoint, E4M3, canonical=False)
    save_codeword(codeword, folder / "network.mdl")
    save_checkpoint(replace(checkpoint, state=codeword.message.state), folder / "checkpoint.pt")
    return folder


def stated(folder: Path) -> dict[str, Any]:
    return json.loads((folder / JSON_FILE).read_text())


@pytest.fixture(scope="module")
def priors(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("priors")
    independent = make_prior(place / "independent", OTHER)
    return {
        "independent": independent,
        "split": make_prior(place / "split", SPLIT),
        "trusted": independent / "network.mdl",
    }


@pytest.fixture(scope="module")
def certificates(
    priors: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """A certificate of each kind, of one network near the prior."""
    place = tmp_path_factory.mktemp("certificates")
    for kind, prior in priors.items():
        network = make_checkpoint(DATA, share=0.02)
        certify(network, bits=8, prior=prior, folder=place / kind)
    return {kind: place / kind for kind in priors}


@pytest.mark.parametrize("kind", ["independent", "split", "trusted"])
def test_each_kind_is_stated_and_verified(kind: str, certificates: dict[str, Path]) -> None:
    folder = certificates[kind]
    assert {path.name for path in folder.iterdir()} == {BITS_FILE, JSON_FILE, PRIOR_FILE}
    found = verify(folder)
    assert found.differences == ()
    says = stated(folder)
    prior = says["prior"]
    own = load_codeword(folder / PRIOR_FILE)
    assert (says["version"], says["code"], prior["kind"]) == (3, "relative", kind)
    assert (prior["sha256"], prior["description_bits"]) == (own.sha256, own.num_bits)
    m, e, bits = says["num_samples"], says["num_errors"], says["description_bits"]
    assert m == (50 if kind == "split" else 120)
    assert bits < 250 < own.num_bits
    counted = bits + 7 if kind == "split" else bits
    assert prior.get("counted_bits", bits) == counted
    assert says["bound"] == binomial_tail(e, m, counted, 0.05) == says["bounds"]["binomial_tail"]
    assert prior["bound_with_its_bits"] == binomial_tail(e, m, counted + own.num_bits, 0.05)
    assert (prior["origin"] is None) == (kind == "trusted")
    if kind == "independent":
        assert (prior["origin"]["data"], prior["origin"]["seed"]) == ("glyphs", 4)
        assert prior["origin"]["settings"] == {"epochs": 3}
    assert ("word" in prior["assumption"]) == (kind == "trusted")


def test_a_split_counts_the_images_that_the_prior_left_out(
    certificates: dict[str, Path], priors: dict[str, Path]
) -> None:
    says = stated(certificates["split"])
    assert (says["data"]["samples"], says["data"]["validation"]) == ("validation", 50)
    held_out = certify(priors["split"], bits=8, canonical=False).held_out
    prior = says["prior"]
    assert held_out is not None
    assert (prior["num_errors"], prior["num_samples"]) == (held_out.num_errors, 50)
    assert prior["hold_out_bound"] == binomial_tail(held_out.num_errors, 50, 0, 0.05)


def test_the_prior_itself_costs_three_bits(priors: dict[str, Path], tmp_path: Path) -> None:
    made = certify(make_checkpoint(DATA), bits=8, prior=priors["independent"])
    assert made.description_bits == 3


def test_a_split_prior_itself_is_a_hold_out(priors: dict[str, Path], tmp_path: Path) -> None:
    """But for the 0.09 bits that the weight of all others costs."""
    made = certify(make_checkpoint(DATA), bits=8, prior=priors["split"], folder=tmp_path / "split")
    assert made.prior is not None
    plain = made.prior.hold_out_bound(0.05)
    assert plain is not None
    assert (made.description_bits, made.counted_bits) == (3, -math.log2(1 - 2**-4))
    assert plain < made.bound < plain + 2e-3
    assert made.bound == hold_out(made.errors.num_errors, 50, made.counted_bits, 0.05)
    assert verify(tmp_path / "split").ok


def test_weights_of_a_split_prior_sum_to_less_than_one() -> None:
    """All networks of a small language; without what a change pays they would sum to more."""
    spec = TensorListSpec((("weight", (1,)),))
    numbers = torch.arange(256, dtype=torch.uint8).view(torch.float8_e4m3fn).float()
    messages = [
        NetworkMessage(spec=spec, number_format=E4M3, state={"weight": number[None]})
        for number in numbers[numbers.isfinite()].unique()
    ]
    prior = encode_network(messages[7])
    bits = [encode_network(each, RELATIVE, prior=prior).num_bits for each in messages]
    assert (bits[7], bits.count(3), min(bits)) == (3, 1, 3)
    # Heads that are not the prior's own, 01..., take up the rest of the half that begins with 0.
    others = 2**-2 + sum(2.0**-each for each in bits if each > 3)
    itself, plain = 2 ** -split_bits(3), 2**-5
    assert others <= 2**-1
    assert itself + others * 2 ** -(split_bits(100) - 100) + plain < 1
    assert itself + others + plain > 1


@pytest.mark.parametrize("num_classes", [2, 3, 10])
def test_heads_of_networks_of_given_classes_have_little_weight(num_classes: int) -> None:
    """All kinds of network, sizes up to 24 and widths up to 24, by the bits of their heads."""
    total = 0.0
    for name, size, units in product(NETWORKS, range(1, 25), range(1, 25)):
        width = "hidden_units" if name == "3-fc" else "base_channels"
        spec = NetworkSpec(name=name, image_size=size, num_classes=num_classes, **{width: units})
        inputs = InputMap(fixed_normalization(3))
        head = Header(spec=spec, number_format=E4M3, code="context", inputs=inputs)
        coder = ArithmeticCoder()
        code_header(coder, head)
        total += 2.0**-coder.information
    formats_and_codes = sum(
        len(delta_bits(1 + list(names).index(own)))
        for names, own in ((FORMATS, E4M3.name), (CODES, "context"))
    )
    assert 0 < total * 2.0**formats_and_codes <= 2**-5


def test_fresh_images_do_not_choose_the_form(priors: dict[str, Path]) -> None:
    """Where their bound is the better one for both forms, the shorter form stays."""
    fresh = replace(DATA, seed=9, num_test=2000)
    for kind in ("independent", "split"):
        network = make_checkpoint(DATA)
        made = certify(network, prior=priors[kind], held_out="test", images=fresh)
        assert made.fresh is not None
        assert made.bound == made.fresh.parts(made.errors, made.counted_bits, made.delta)[1]
        assert made.description_bits == 3


def test_a_prior_is_no_looser_than_the_default_without_it(priors: dict[str, Path]) -> None:
    """Of numbers that the prior's set has not, the certificate is the plain one at 16 bits."""
    network = make_checkpoint(DATA)
    state = {name: each * (1 + 2**-6) for name, each in network.state.items()}
    network = replace(network, state=state)
    made = certify(network, prior=priors["independent"])
    assert made.bound_by_bits <= certify(network).bound_by_bits


def test_a_prior_of_a_prior_is_trusted(tmp_path: Path) -> None:
    """What it began at may have seen the images, whatever it was trained on last."""
    prior = make_prior(tmp_path / "second", OTHER)
    settings = {"command": "mdl compress", "prior_sha256": "ab" * 32}
    checkpoint = replace(load_checkpoint(prior), metrics={"compress": settings})
    save_checkpoint(checkpoint, prior / "checkpoint.pt")
    made = certify(make_checkpoint(DATA, share=0.02), bits=8, prior=prior)
    assert made.prior is not None
    assert (made.prior.kind, made.prior.origin) == ("trusted", None)


def test_the_very_images_of_training_make_no_independent_prior() -> None:
    """Whatever the folder is called that they lie in."""
    drawn = load_images(DATA)[0]
    origin = Origin(
        data="glyphs",
        fingerprint=drawn.fingerprint,
        generated=True,
        num_train=drawn.num_train,
        seed=DATA.seed,
        validation=0,
        settings={},
    )
    with pytest.raises(DataError, match="was trained on all of the images that are counted"):
        kind_of(origin, replace(drawn, name="exported"))


def test_a_split_prior_that_cannot_be_counted_is_a_difference(tmp_path: Path) -> None:
    """A forged one, of fewer classes than the images have."""
    spec = replace(SPEC, num_classes=2)
    state = {
        name: torch.zeros_like(tensor)
        for name, tensor in build_network(spec, folded=True).state_dict().items()
    }
    inputs = InputMap(fixed_normalization(3))
    small = decoded_codeword(
        NetworkMessage(spec=spec, number_format=E4M3, state=state, inputs=inputs)
    )
    message = checkpoint_message(make_checkpoint(DATA), E4M3, canonical=False)
    relative = decoded_codeword(message, RELATIVE, prior=small)
    data, images = load_images(SPLIT, samples="validation")
    own = Prior(codeword=small)
    made = make_certificate(relative, data, images, prior=own)
    write_certificate(made, relative, tmp_path / "forged", None, own)
    says = stated(tmp_path / "forged")
    says["prior"] |= {
        "kind": "split",
        "origin": {
            "data": "glyphs",
            "fingerprint": data.fingerprint,
            "generated": True,
            "num_train": 120,
            "seed": SPLIT.seed,
            "validation": 50,
            "settings": {},
        },
    }
    says["seal"] = json_checksum(says)
    (tmp_path / "forged" / JSON_FILE).write_text(json.dumps(says))
    found = verify(tmp_path / "forged")
    assert not found.ok
    assert any("classes" in line for line in found.differences)


def test_without_a_prior_where_that_is_better(priors: dict[str, Path], tmp_path: Path) -> None:
    """Zeros take fewer bits by themselves; nothing of the prior is in the certificate."""
    network = make_checkpoint(DATA)
    network = replace(
        network, state={name: torch.zeros_like(each) for name, each in network.state.items()}
    )
    for kind in ("independent", "split"):
        made = certify(network, bits=8, prior=priors[kind], folder=tmp_path / kind)
        plain = certify(network, bits=8)
        assert made.bound <= plain.bound
        if made.prior is None:
            assert made == plain
            assert not (tmp_path / kind / PRIOR_FILE).exists()
        assert verify(tmp_path / kind).ok


def test_of_forms_that_prove_nothing_the_shortest(priors: dict[str, Path]) -> None:
    """A network that is always wrong: every form's bound is 1."""
    few = replace(DATA, num_train=1)
    wrong = [make_checkpoint(few, seed=seed, share=0.02) for seed in range(4)]
    made = [certify(network, bits=8, prior=priors["independent"]) for network in wrong]
    useless = [each for each in made if each.bound_by_bits == 1]
    assert useless
    for each, network in zip(made, wrong, strict=True):
        assert each.counted_bits <= certify(network, bits=8).counted_bits
    assert any(each.prior is not None for each in useless)


def test_bits_and_their_prior_go_together(
    priors: dict[str, Path], certificates: dict[str, Path]
) -> None:
    bits = certificates["independent"] / BITS_FILE
    made = certify(bits, data=DATA, prior=priors["independent"])
    assert made.to_dict()["bound"] == stated(certificates["independent"])["bound"]
    with pytest.raises(ConfigError, match="give it as prior"):
        certify(bits, data=DATA)
    with pytest.raises(ConfigError, match="leave out prior"):
        certify(priors["trusted"], data=DATA, prior=priors["independent"])
    with pytest.raises(ConfigError, match="goes with code auto"):
        certify(make_checkpoint(DATA), prior=priors["trusted"], code="plain")


def test_a_prior_that_has_seen_the_images_is_refused(tmp_path: Path) -> None:
    network = make_checkpoint(DATA, share=0.02)
    own = make_prior(tmp_path / "own", DATA)
    with pytest.raises(DataError, match="trained on all of the images that are counted"):
        certify(network, bits=8, prior=own)
    fewer = make_prior(tmp_path / "fewer", replace(DATA, num_train=60))
    with pytest.raises(DataError, match="may be among them"):
        certify(network, bits=8, prior=fewer)
    made = certify(network, bits=8, prior=own / "network.mdl")  # somebody's word
    assert made.prior is not None
    assert made.prior.kind == "trusted"


@pytest.mark.parametrize(
    ("prior", "counted", "refusal"),
    [
        (("leaves", 3), ("glyphs", 3), None),  # generators share no random number
        (("handwriting", 3), ("leaves", 3), None),
        (("leaves", 4), ("leaves", 3), None),
        (("leaves", 3), ("CIFAR-10 (JPEG)", 3), None),
        (("handwriting", 3), ("handwriting", 3), "may be among them"),
        (("leaves", 3), ("leaves", 3), "may be among them"),
    ],
)
def test_what_is_independent_of_generated_images(
    prior: tuple[str, int], counted: tuple[str, int], refusal: str | None
) -> None:
    origin = Origin(
        data=prior[0],
        fingerprint="a" * 64,
        generated=True,
        num_train=60,
        seed=prior[1],
        validation=0,
        settings={},
    )
    data = load_images(DATA)[0]
    data = replace(data, name=counted[0], seed=counted[1])
    if refusal is None:
        assert kind_of(origin, data) == "independent"
    else:
        with pytest.raises(DataError, match=refusal):
            kind_of(origin, data)


def test_a_prior_of_leaves_is_independent_of_other_images(tmp_path: Path) -> None:
    """Of glyphs of the same seed, and the certificate is verified from its folder alone."""
    place = make_prior(tmp_path / "prior", replace(DATA, source="leaves"))
    made = certify(make_checkpoint(DATA, share=0.02), bits=8, prior=place, folder=tmp_path / "cert")
    assert made.prior is not None
    assert (made.prior.kind, made.data.name) == ("independent", "glyphs")
    says = stated(tmp_path / "cert")
    assert says["prior"]["origin"]["data"] == "leaves"
    assert verify(tmp_path / "cert").differences == ()
    says["prior"]["origin"]["data"] = "glyphs"  # of this seed, it may have seen them
    assert not verify(changed(tmp_path / "cert", tmp_path / "forged", says)).ok


def test_bits_and_checkpoint_of_a_prior_must_be_of_one_network(tmp_path: Path) -> None:
    place = make_prior(tmp_path / "prior", OTHER)
    save_checkpoint(make_checkpoint(OTHER, seed=9), place / "checkpoint.pt")
    with pytest.raises(CheckpointError, match="not of one network"):
        load_prior(place, E4M3)
    (place / "network.mdl").unlink()
    assert load_prior(place, E4M3).codeword.message.spec == SPEC


# --- what a change does ---


def changed(folder: Path, place: Path, contents: dict[str, Any] | None = None) -> Path:
    """A copy, with another JSON that a forger has sealed anew."""
    shutil.copytree(folder, place, dirs_exist_ok=True)
    if contents is not None:
        contents = contents | {"seal": json_checksum(contents)}
        (place / JSON_FILE).write_text(json.dumps(contents))
    return place


def test_a_prior_that_is_missing_or_another_is_one_line(
    certificates: dict[str, Path], tmp_path: Path
) -> None:
    place = changed(certificates["trusted"], tmp_path / "cert")
    good = (place / PRIOR_FILE).read_bytes()
    codeword = described_codeword(make_checkpoint(DATA, seed=8), E4M3)
    flipped = bytearray(good)
    flipped[len(good) // 2] ^= 4
    save_codeword(codeword, tmp_path / "other.mdl")
    for content in (None, (tmp_path / "other.mdl").read_bytes(), bytes(flipped), good[:30]):
        (place / PRIOR_FILE).unlink(missing_ok=True)
        if content is not None:
            (place / PRIOR_FILE).write_bytes(content)
        (line,) = verify(place).differences
        assert "prior" in line
    (place / PRIOR_FILE).write_bytes(good)
    assert verify(place).ok


@pytest.mark.parametrize("kind", ["independent", "split", "trusted"])
def test_every_changed_number_and_word_of_the_prior_is_noticed(
    kind: str, certificates: dict[str, Path], tmp_path: Path
) -> None:
    """But for what the origin says of things that no image here can tell."""
    says = stated(certificates[kind])
    for name, value in says["prior"].items():
        if name == "origin":
            continue
        contents = copy.deepcopy(says)
        contents["prior"][name] = value + "x" if isinstance(value, str) else value * 2 + 1
        found = verify(changed(certificates[kind], tmp_path / "cert", contents))
        assert any(f"prior.{name}" in line for line in found.differences), name


def test_a_kind_that_the_origin_does_not_bear_is_refused(
    certificates: dict[str, Path], tmp_path: Path
) -> None:
    says = stated(certificates["independent"])
    for change in (
        {"generated": False},
        {"seed": DATA.seed},
        {"data": "MNIST"},
        {"seed": -1},
        {"extra": 1},
        {"settings": {"text": "x" * 70_000}},
    ):
        contents = copy.deepcopy(says)
        contents["prior"]["origin"] |= change
        found = verify(changed(certificates["independent"], tmp_path / "cert", contents))
        assert not found.ok, change
    contents = copy.deepcopy(says)
    contents["prior"]["origin"] = None
    found = verify(changed(certificates["independent"], tmp_path / "cert", contents))
    assert any(line.startswith("prior.kind") for line in found.differences)
    contents["prior"] = [1]
    found = verify(changed(certificates["independent"], tmp_path / "cert", contents))
    assert any("prior must be of type dict" in line for line in found.differences)


def test_the_split_is_drawn_again(certificates: dict[str, Path], tmp_path: Path) -> None:
    says = stated(certificates["split"])
    for where, change in (
        ("origin", {"validation": 49}),
        ("origin", {"seed": 5}),
        ("data", {"validation": 49}),
        ("data", {"samples": "training"}),
        ("data", {"samples": "training and validation"}),
    ):
        contents = copy.deepcopy(says)
        (contents["prior"]["origin"] if where == "origin" else contents["data"]).update(change)
        assert not verify(changed(certificates["split"], tmp_path / "cert", contents)).ok
