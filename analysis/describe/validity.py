"""The linter of validity: what makes a bound a certificate, or not, in plain sentences.

A bound is a theorem about one fixed function and m independent samples. Each rule here looks for
one way in which the number that is printed could be about something else. "invalid" means that it
is: no bound is quoted. "note" means that it holds under a condition that only the reader can check.

What cannot even be counted is refused earlier, by an error: data of unknown m, a tensor that is
neither coded nor fixed, numbers that are not finite.
"""

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from analysis.bounds.bounds import ErrorCount
from analysis.describe.external_network import ExternalNetwork
from training.checkpoint.checkpoint import Checkpoint
from training.data.image_set import ImageSet
from training.data.telling import count_repeated, repeats_line
from training.run.evaluate import EvaluationData
from training.system.text import MAX_NAME, printable, shorten

_ADAPTER = re.compile(r"(^|[._])(lora|ia3|adapter|prompt_embeddings)([._]|$)", re.IGNORECASE)
"""Names of what PEFT trains beside a base model."""

Severity = Literal["invalid", "note"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that a reader must know before believing a bound.

    Attributes:
        rule: Its name, for programs.
        severity: "invalid" if no bound may be quoted, "note" if one may under a condition.
        text: One to three plain sentences, with the way out.
    """

    rule: str
    severity: Severity
    text: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def is_certificate(findings: Iterable[Finding]) -> bool:
    """Whether nothing found makes the bound invalid."""
    return all(finding.severity != "invalid" for finding in findings)


def check_checkpoint(checkpoint: Checkpoint) -> tuple[Finding, ...]:
    """Look at a checkpoint of ours before its network is described.

    Args:
        checkpoint: The network and what is known of its training.
    """
    found = _check_norms(checkpoint)
    if checkpoint.normalization is not None and checkpoint.normalization.source == "data":
        found.append(
            _note(
                "normalization-from-data",
                "The normalisation constants were computed from the training images, so the "
                "description holds them, 64 bits per channel. Training with fixed constants saves "
                "these bits.",
            )
        )
    if checkpoint.training is not None:
        found.append(
            _note(
                "unfinished-run",
                "This checkpoint is of an unfinished run; the bound is about it as it is. Resume "
                "it for the finished network.",
            )
        )
    return tuple(found)


def check_measured(data: EvaluationData) -> tuple[Finding, ...]:
    """Look at images that errors were counted on here, by the stated evaluation.

    Args:
        data: The images.
    """
    found = [
        _note(
            "fixed",
            "Taken as fixed before the data, so not in the length: the code's version, with its "
            "tables of networks and number formats.",
        )
    ]
    if len(data.validation):
        found.append(
            _note(
                "held-out",
                f"The {len(data.validation):,} validation images are not among the "
                f"{len(data.train):,} that the bound rests on. If they chose nothing they bound "
                "the error by themselves; the better of the two costs δ/2 each.",
            )
        )
    repeated = repeats_line(count_repeated(data.train), len(data.train))
    if repeated:
        found.append(_note("repeated-images", repeated))
    return (*found, *_check_test_images(data))


def check_given(
    network: ExternalNetwork,
    *,
    format_name: str,
    num_rounded: int,
    train: ErrorCount,
    test: ErrorCount | None = None,
) -> tuple[Finding, ...]:
    """Look at an external network, with errors that its owner counted.

    Args:
        network: Its tensors.
        format_name: Name of R_b.
        num_rounded: Numbers of the file that are not in R_b.
        train: Errors on the m samples, given.
        test: Errors on a test set, given; or None.
    """
    found = [note_given_errors(train)]
    if num_rounded:
        found.append(
            _note(
                "not-decoded",
                "They must be the errors of the decoded network, and this file does not hold it: "
                f"rounding to {format_name} changes {num_rounded:,} of its numbers. "
                "Encode it, decode the bits to a state dict, count the errors of that with your "
                "own code, and give those.",
            )
        )
    else:
        found.append(
            _note(
                "decoded",
                f"Every number of this file is in {format_name} already: it holds the decoded "
                "network, whose errors the bound is about.",
            )
        )
    fixed = ["your network's code with the names and shapes of its tensors", "the set R_b"]
    if network.norms:
        fixed.append("ε of BatchNorm")
    if network.fixed:
        fixed.append(f"by your word {_names(network.fixed)}")
    found.append(_note("fixed", _taken_as_fixed(fixed)))
    found += check_external(network)
    if test == train:
        found.append(
            _note(
                "test-is-training",
                "The test errors given are those of the training set. A bound needs the errors on "
                "the training samples, a test error those on samples that training never saw.",
            )
        )
    return tuple(found)


def note_given_errors(train: ErrorCount) -> Finding:
    """What to say of errors that were given."""
    return _note(
        "errors-given",
        f"The {train.num_errors:,} errors among {train.num_samples:,} samples were given, not "
        "measured: "
        "without the network's code nothing can be evaluated here. The bound holds only if "
        "they were counted in eval mode, without augmentation, on exactly the i.i.d. samples "
        "that training may have seen, each once.",
    )


def check_external(network: ExternalNetwork) -> list[Finding]:
    """Look at which tensors were taken, and for BatchNorms that were left in training mode."""
    found = []
    if network.file.beside:
        found.append(
            _note(
                "one-of-several",
                f"These are the tensors under {shorten(network.file.key)}; the file has others "
                f"under {_names(network.file.beside)}. Give the key that you evaluated.",
            )
        )
    if network.sources and all(_ADAPTER.search(name) for name in network.sources):
        found.append(
            _note(
                "adapter",
                "These tensors change a base model, which is taken as fixed before the data: the "
                "bound holds if none of the samples had a part in it.",
            )
        )
    if network.integers:
        kinds = dict.fromkeys(
            f"{form.name} in {form.bits_per_weight} bits" if form.num_fields == 1 else form.name
            for form in network.integer_formats.values()
        )
        found.append(
            _note(
                "integers",
                f"Tensors of integers ({len(network.integers):,}) are described by these, in the "
                f"fewest bits that hold all of a type: {', '.join(kinds)}. Declare as fixed those "
                "that your code sets without looking at data.",
            )
        )
    if network.counters:
        found.append(
            _invalid(
                "batch-norm-without-statistics",
                f"BatchNorm {_names(network.counters)} has counted batches, but its running "
                "statistics are not in the file. In training mode its output depends on the other "
                "images of a batch, so there is no one function to bound; save the whole state "
                "dict.",
            )
        )
    unused = [norm.name for norm in network.norms if norm.num_batches == 0 or norm.is_initial]
    if unused:
        found.append(_unused_norms(unused))
    return found


def _check_norms(checkpoint: Checkpoint) -> list[Finding]:
    counter, statistics = ".num_batches_tracked", (".running_mean", ".running_var")
    unused = []
    for name, count in checkpoint.state.items():
        norm = name.removesuffix(counter)
        if norm == name:
            continue
        mean, variance = (checkpoint.state[norm + field] for field in statistics)
        if int(count) == 0 or bool((mean == 0).all() and (variance == 1).all()):
            unused.append(norm)
    return [_unused_norms(unused)] if unused else []


def _unused_norms(names: list[str]) -> Finding:
    return _note(
        "batch-norm-unused",
        f"The running statistics of BatchNorm {_names(names)} are those before any batch. The "
        "bound is about the network in eval mode, which uses them as they are; one that was "
        "evaluated in training mode is another, and no fixed function. Run training batches "
        "through it once, and save again.",
    )


def _check_test_images(data: EvaluationData) -> list[Finding]:
    num_shared = _count_shared(data.train, data.test)
    if not num_shared:
        return []
    if num_shared == len(data.test):
        return [
            _note(
                "test-is-training",
                f"All {num_shared:,} test images are training images too: their error is no test "
                "error. The bound is about the training images and stands.",
            )
        ]
    return [
        _note(
            "test-in-training",
            f"{num_shared:,} of the {len(data.test):,} test images are among the training images; "
            "the test error is that much too good. The bound does not use it.",
        )
    ]


def _count_shared(train: ImageSet, test: ImageSet) -> int:
    """Test images whose pixels are those of a training image."""
    if not len(train) or not len(test) or train.images.shape[1:] != test.images.shape[1:]:
        return 0
    seen = {hash(image.tobytes()) for image in train.images.numpy(force=True)}
    return sum(hash(image.tobytes()) in seen for image in test.images.numpy(force=True))


def _taken_as_fixed(parts: list[str]) -> str:
    return f"Taken as fixed before the data, so not in the length: {', '.join(parts)}."


def _names(names: Iterable[str]) -> str:
    listed = [
        printable(name.removesuffix("."), MAX_NAME) or "(the network itself)" for name in names
    ]
    more = f" and {len(listed) - 3} more" if len(listed) > 3 else ""
    return ", ".join(listed[:3]) + more


def _invalid(rule: str, text: str) -> Finding:
    return Finding(rule=rule, severity="invalid", text=text)


def _note(rule: str, text: str) -> Finding:
    return Finding(rule=rule, severity="note", text=text)
