"""The whole of a bound, recomputed from the parts, on small networks and made-up images."""

import json
import math
from dataclasses import replace

import pytest
import torch

from analysis.bounds.bounds import binomial_tail, theorem_1, theorem_2
from analysis.codes.checkpoint_message import checkpoint_message, message_network
from analysis.codes.network_code import decode_network, encode_network
from analysis.describe.bound_report import report_bound
from analysis.quantize.formats import find_format
from training.checkpoint.checkpoint import Checkpoint, DataRecord
from training.data.image_set import ImageSet
from training.errors import CheckpointError
from training.networks.models import build_model
from training.run.evaluate import EvaluationData
from training.spec.normalization import Normalization, fixed_normalization

NUM_TRAIN, NUM_VALIDATION, NUM_TEST = 120, 40, 30


def make_images(number: int, seed: int) -> ImageSet:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (number, 3, 6, 6), dtype=torch.uint8, generator=generator)
    return ImageSet(images, torch.randint(0, 4, (number,), generator=generator))


def make_case(name: str = "s-conv") -> tuple[Checkpoint, EvaluationData]:
    torch.manual_seed(0)
    network = build_model(name, base_channels=1, image_size=6, num_classes=4)
    network.train()(torch.randn(16, 3, 6, 6))  # moves the running statistics
    normalization = fixed_normalization(3)
    record = DataRecord(
        config={"permute_pixels": 4},
        name="noise",
        fingerprint="0" * 64,
        num_samples=NUM_TRAIN,
        num_validation=NUM_VALIDATION,
        num_test=NUM_TEST,
        image_size=6,
        in_channels=3,
        num_classes=4,
        class_names=("a", "b", "c", "d"),
    )
    checkpoint = Checkpoint(
        network=network.spec,
        state=network.state_dict(),
        data=record,
        normalization=normalization,
        metrics={"train_errors": 77, "num_samples": NUM_TRAIN},
    )
    data = EvaluationData(
        name="noise",
        fingerprint="0" * 64,
        train=make_images(NUM_TRAIN, 1),
        validation=make_images(NUM_VALIDATION, 2),
        test=make_images(NUM_TEST, 3),
        inputs=checkpoint.inputs,
    )
    return checkpoint, data


def count_by_hand(network: torch.nn.Module, images: ImageSet, permutation: torch.Tensor) -> int:
    errors = 0
    for image, label in zip(images.images, images.labels, strict=True):
        pixels = (image.float() / 255 - 0.5) / 0.25
        inputs = pixels.flatten(1)[:, permutation].view(1, 3, 6, 6)
        errors += int(network(inputs).argmax() != label)
    return errors


@pytest.mark.sample(3)
@pytest.mark.parametrize("bits", [8, 16, 32])
def test_every_number_follows_from_the_quantised_network(bits: int) -> None:
    checkpoint, data = make_case()
    before = {name: tensor.clone() for name, tensor in checkpoint.state.items()}
    report = report_bound(checkpoint, data, find_format(bits), delta=0.1)
    assert all(torch.equal(before[name], checkpoint.state[name]) for name in before)

    message = checkpoint_message(checkpoint, find_format(bits))
    network = message_network(message)
    state = network.state_dict()
    assert set(state) == {
        "conv1.weight",
        "conv1_norm.scale",
        "conv1_norm.shift",
        "fc1.weight",
        "fc1_norm.scale",
        "fc1_norm.shift",
        "fc2.weight",
        "fc2.bias",
    }
    values = torch.cat([tensor.flatten() for tensor in state.values()])
    n, nonzeros, k = len(values), int((values != 0).sum()), len(set(values.tolist()))
    assert report.counts.total.num_weights == n == 243 + 2 + 24 * 9 + 48 + 4 * 24 + 4
    assert report.counts.total.num_nonzeros == nonzeros
    assert report.counts.total.num_distinct == k
    with torch.no_grad():
        errors = count_by_hand(network, data.train, data.inputs.permutation(6))
        assert report.test.num_errors == count_by_hand(
            network, data.test, data.inputs.permutation(6)
        )
    assert (report.train.num_errors, report.train.num_samples) == (errors, NUM_TRAIN)
    assert report.train_before.num_errors == 77

    plain = {bound.name: bound.value for bound in report.bounds["plain"]}
    sparse = {bound.name: bound.value for bound in report.bounds["theorem-2"]}
    assert "theorem_2" not in plain
    assert plain["theorem_1"] == theorem_1(errors, NUM_TRAIN, n * bits, 0.1)
    assert sparse["theorem_2"] == theorem_2(
        errors,
        NUM_TRAIN,
        0.1,
        value_bits=k * bits,
        map_bits=report.lengths["theorem-2"].map_bits,
        num_weights=n,
    )
    map_bits = nonzeros * math.log2(k * n) + 2 * math.log2(n)
    assert report.lengths["theorem-2"].map_bits == pytest.approx(map_bits)
    assert list(sparse)[:2] == ["theorem_1", "theorem_2"]
    codeword = encode_network(message)
    assert decode_network(codeword.data).num_bits == report.description_bits == codeword.num_bits
    assert report.bound.value == binomial_tail(errors, NUM_TRAIN, codeword.num_bits, 0.1)
    assert {bound.name for bound in report.bounds["bits"]} == plain.keys()


def test_json_is_plain_and_complete() -> None:
    checkpoint, data = make_case("s-fc")
    report = report_bound(checkpoint, data, find_format(8))
    values = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert values["num_samples"] == NUM_TRAIN
    assert values["num_errors"] == values["train"]["num_errors"]
    assert values["validation"]["num_samples"] == NUM_VALIDATION
    assert values["twins"]["conv"]["conv1"] == 243
    assert values["bounds"]["plain"]["binomial_tail"]["vacuous"] is True
    assert values["vacuous"] is True
    assert values["guessing_error"] == 0.75
    # The validation images have no bits to pay for.
    validation = values["validation"]["num_errors"]
    expected = binomial_tail(validation, NUM_VALIDATION, 0, 0.05)
    assert values["hold_out"]["value"] == expected < 1


def test_a_network_of_nothing_has_a_short_description() -> None:
    checkpoint, data = make_case("s-fc")
    for name, tensor in checkpoint.state.items():
        if name.endswith(("weight", "bias")):
            tensor.zero_()
    checkpoint.state["fc2.bias"][1] = 1.0  # no ties, which would all be errors
    report = report_bound(checkpoint, data, find_format(16))
    total = report.counts.total
    assert (total.num_nonzeros, total.num_distinct) == (1, 2)
    assert report.description_bits < 120
    assert report.train.error < report.bound.value < 1
    assert not report.bound.beats_guessing(4)


def test_normalisation_from_the_data_is_paid_for() -> None:
    checkpoint, data = make_case()
    plain = report_bound(checkpoint, data, find_format(16))
    measured = Normalization(mean=(0.4,) * 3, std=(0.2,) * 3, source="data")
    paid = report_bound(
        replace(checkpoint, normalization=measured, training={}), data, find_format(16)
    )
    assert paid.description_bits - plain.description_bits == 3 * 64
    assert any("64 bits per channel" in note for note in paid.notes)
    assert any("unfinished run" in note for note in paid.notes)
    assert not any("normalisation constants" in note for note in plain.notes)


def test_no_held_out_images() -> None:
    checkpoint, data = make_case()
    nothing = ImageSet(data.test.images[:0], data.test.labels[:0])
    report = report_bound(
        replace(checkpoint, metrics={}),
        replace(data, validation=nothing, test=nothing),
        find_format(16),
    )
    assert report.validation is report.test is report.hold_out is report.train_before is None


def test_refusals() -> None:
    checkpoint, data = make_case()
    with pytest.raises(ValueError, match=r"delta must lie in \(0, 1\), not 1"):
        report_bound(checkpoint, data, find_format(16), delta=1)
    fewer = replace(data, train=make_images(NUM_TRAIN - 1, 1))
    with pytest.raises(CheckpointError, match="saw 120 images, but its data set has 119"):
        report_bound(checkpoint, fewer, find_format(16))
    checkpoint.state["fc2.bias"][0] = math.nan
    with pytest.raises(ValueError, match=r"fc2\.bias: values to quantise must be finite"):
        report_bound(checkpoint, data, find_format(16))
