"""Each rule of the linter, by a case that breaks it and one that does not."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from analysis.bounds.bounds import ErrorCount
from analysis.describe.bound_report import report_bound
from analysis.describe.external_network import ExternalNetwork, FoldedNorm
from analysis.describe.validity import (
    Finding,
    check_checkpoint,
    check_given,
    check_measured,
    is_certificate,
)
from analysis.quantize.formats import find_format
from tests.analysis.describe.test_bound_report import make_case
from training.data.image_set import ImageSet
from training.spec.normalization import Normalization
from training.tensor_files.open import TensorFile

NORM = FoldedNorm(
    name="n", affine=True, num_batches=9, num_units=3, is_initial=False, is_plain=False
)


def by_rule(findings: tuple[Finding, ...]) -> dict[str, Finding]:
    found = {finding.rule: finding for finding in findings}
    assert len(found) == len(findings)
    for finding in findings:
        assert finding.text.endswith(".")
        assert "\n" not in finding.text
    return found


def measured(**changes: Any) -> dict[str, Finding]:
    checkpoint, data = make_case()
    for name, value in changes.items():
        if name in ("training", "state", "normalization"):
            checkpoint = replace(checkpoint, **{name: value})
        else:
            data = replace(data, **{name: value})
    return by_rule((*check_checkpoint(checkpoint), *check_measured(data)))


def errors(num_errors: int, num_samples: int) -> ErrorCount:
    return ErrorCount(num_errors=num_errors, num_samples=num_samples)


def given(**changes: Any) -> dict[str, Finding]:
    parts: dict[str, Any] = {
        "file": TensorFile(path=Path("net.pt"), key="", tensors={}, others={}),
        "sources": {},
        "fixed": (),
        "norms": (NORM,),
        "counters": (),
    }
    numbers: dict[str, Any] = {"num_rounded": 5, "train": errors(7, 100)}
    for name, value in changes.items():
        (parts if name in parts else numbers)[name] = value
    network = ExternalNetwork(**parts)
    return by_rule(check_given(network, format_name="bfloat16", **numbers))


def test_a_sound_run_has_no_fault() -> None:
    found = measured()
    assert found.keys() == {"fixed", "held-out"}
    assert is_certificate(found.values())
    assert "the code's version" in found["fixed"].text
    assert "40 validation images are not among the 120" in found["held-out"].text


def test_normalisation_from_the_data() -> None:
    constants = Normalization(mean=(0.4,) * 3, std=(0.2,) * 3, source="data")
    found = measured(normalization=constants)
    assert found["normalization-from-data"].severity == "note"
    assert "fixed constants" in found["normalization-from-data"].text
    checkpoint, data = make_case()
    report = report_bound(replace(checkpoint, normalization=constants), data, find_format(16))
    assert report.findings[0].rule == "normalization-from-data"
    assert report.codeword.message.inputs.normalization.source == "data"


def test_batch_norm_that_saw_no_batch() -> None:
    checkpoint, _ = make_case()
    state = {name: tensor.clone() for name, tensor in checkpoint.state.items()}
    state["fc1_norm.num_batches_tracked"].zero_()
    assert (
        "BatchNorm fc1_norm are those before any batch"
        in measured(state=state)["batch-norm-unused"].text
    )
    state = {name: tensor.clone() for name, tensor in checkpoint.state.items()}
    state["conv1_norm.running_mean"].zero_()
    state["conv1_norm.running_var"].fill_(1)
    assert "conv1_norm" in measured(state=state)["batch-norm-unused"].text
    assert "batch-norm-unused" not in measured()


def test_an_unfinished_run_and_no_validation_images() -> None:
    nothing = ImageSet(torch.zeros(0, 3, 6, 6, dtype=torch.uint8), torch.zeros(0, dtype=torch.long))
    found = measured(training={}, validation=nothing)
    assert "unfinished run" in found["unfinished-run"].text
    assert "held-out" not in found


def test_test_images_among_the_training_images() -> None:
    _, data = make_case()
    found = measured(test=data.train)
    assert "All 120 test images are training images" in found["test-is-training"].text
    images = data.test.images.clone()
    images[3:5] = data.train.images[7]
    found = measured(test=ImageSet(images, data.test.labels))
    assert "2 of the 30 test images" in found["test-in-training"].text


def test_given_errors_are_called_so() -> None:
    found = given()
    assert found.keys() == {"errors-given", "not-decoded", "fixed"}
    assert is_certificate(found.values())
    text = found["errors-given"].text
    for words in ("7 errors among 100", "not measured", "eval mode", "without augmentation"):
        assert words in text
    assert "rounding to bfloat16 changes 5 of its numbers" in found["not-decoded"].text
    assert "decode the bits to a state dict" in found["not-decoded"].text
    assert "ε of BatchNorm" in found["fixed"].text


def test_a_decoded_file() -> None:
    found = given(num_rounded=0, norms=())
    assert "not-decoded" not in found
    assert "bfloat16 already" in found["decoded"].text
    assert "BatchNorm" not in found["fixed"].text


def test_their_batch_norms() -> None:
    for norm in (replace(NORM, num_batches=0), replace(NORM, is_initial=True)):
        assert "BatchNorm n are those" in given(norms=(norm,))["batch-norm-unused"].text
    found = given(counters=("a.", "", "b.", "c."))
    text = found["batch-norm-without-statistics"].text
    assert "BatchNorm a, (the network itself), b and 1 more has counted batches" in text
    assert not is_certificate(found.values())


def test_their_fixed_tensors_and_test_set() -> None:
    assert "by your word x.ids" in given(fixed=("x.ids",))["fixed"].text
    assert "two\\nlines" in given(fixed=("two\nlines",))["fixed"].text
    assert "those of the training set" in given(test=errors(7, 100))["test-is-training"].text
    assert "test-is-training" not in given(test=errors(7, 101))


@pytest.mark.parametrize("severity", ["invalid", "note"])
def test_findings_are_plain_values(severity: Any) -> None:
    finding = Finding(rule="r", severity=severity, text="t.")
    assert finding.to_dict() == {"rule": "r", "severity": severity, "text": "t."}
    assert is_certificate([finding]) == (severity == "note")
