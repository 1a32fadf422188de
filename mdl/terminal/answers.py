"""What commands answer about a network in a screen: its bound or length first, then its layers.

All tables behind an answer are in `mdl.terminal.bound_tables`, which `--full` prints.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from analysis.bounds.bit_budget import bits_for_target
from analysis.bounds.bounds import percent_up
from mdl.terminal import console
from mdl.terminal.bound_tables import bound_value, guessing_remark, is_vacuous, prior_lines

if TYPE_CHECKING:
    from analysis.bounds.bounds import Bound, ErrorCount
    from analysis.certify.certificate import Certificate
    from analysis.codes.network_code import Codeword
    from analysis.describe.bound_report import BoundReport
    from analysis.describe.describe import NetworkDescription
    from analysis.describe.description import Description
    from analysis.describe.external_report import ExternalReport
    from analysis.describe.validity import Finding
    from analysis.quantize.nonzeros import NetworkCounts


def answer_measured(
    report: "BoundReport",
    data_name: str,
    *,
    way_out: str,
    notes: Sequence[str],
    next_: Sequence[str],
) -> None:
    """Say what the bits of a network of ours prove about its error.

    Args:
        report: From `analysis.describe.bound_report`.
        data_name: Name of its data set.
        way_out: What makes the network shorter, as the end of a sentence.
        notes: Sentences to add.
        next_: Commands to suggest.
    """
    spec, train, bits = report.spec, report.train, report.description_bits
    answer, why = bound_answer(
        f"{spec.name} on {data_name}",
        report.bound.value,
        train,
        bits=bits,
        code=f"{report.codeword.code} code",
        delta=report.delta,
        num_classes=spec.num_classes,
        way_out=way_out,
    )
    lines = [_lengths_line({report.codeword.code: bits}, report)]
    others = [("validation", report.validation), ("test", report.test)]
    counted = [f"{name} {_errors(count)}" for name, count in others if count is not None]
    if report.hold_out is not None:
        counted.append(
            f"hold-out bound, if the validation images chose nothing: "
            f"{percent_up(report.hold_out.value)}"
        )
    if counted:
        lines.append(f"Errors on other images: {'; '.join(counted)}.")
    lines.append("Numbers are weights and, of each unit, a scale and a shift.")
    # What every bound takes as fixed is among the tables; the other findings concern this one.
    lines += [finding.text for finding in report.findings if finding.rule != "fixed"]
    console.print_answer(
        answer,
        *lines,
        *notes,
        why=why,
        table=codeword_rows(report.codeword, report.counts),
        next_=next_,
    )


def answer_external(report: "ExternalReport", *, next_: Sequence[str]) -> None:
    """Say what the length of an external network proves, or how long it is if no errors are known.

    Args:
        report: From `analysis.describe.external_report`.
        next_: Commands to suggest.
    """
    invalid = [each for each in report.findings if each.severity == "invalid"]
    name, code = report.network.file.title, f"{report.shortest.name} description"
    why = ""
    if invalid:
        answer = f"{name}: no certificate. No bound can be quoted, for this reason."
        why = " ".join(each.text for each in invalid)
    elif report.train is None or report.bound is None:
        answer = f"{name}: B = {report.shortest_bits:,} bits ({code})."
    else:
        answer, why = bound_answer(
            name,
            report.bound.value,
            report.train,
            bits=report.shortest_bits,
            code=code,
            delta=report.delta,
        )
    notes = [each.text for each in report.findings if each not in invalid and each.rule != "fixed"]
    console.print_answer(
        answer,
        _lengths_line({}, report),
        *notes,
        why=why,
        table=tensor_rows(report.counts),
        next_=next_,
    )


def answer_external_bits(
    codeword: "Codeword",
    name: str,
    train: "ErrorCount",
    bounds: "Sequence[Bound]",
    note: "Finding",
    *,
    delta: float,
) -> None:
    """Say what the bits of an external network prove, by errors that were given."""
    answer, why = bound_answer(
        name,
        bounds[-1].value,
        train,
        bits=codeword.num_bits,
        code=f"{codeword.code} code",
        delta=delta,
    )
    console.print_answer(answer, note.text, why=why, table=codeword_rows(codeword))


def answer_description(description: "Description", *, next_: Sequence[str]) -> None:
    """Say how long a checkpoint of ours is by the formulas, without its data."""
    spec, total = description.spec, description.counts.total
    console.print_answer(
        f"{spec.name if spec else 'The network'}: B = {description.shortest_bits:,} bits "
        f"({description.shortest.name} description), n = {total.num_weights:,} numbers of "
        f"{description.number_format.name}, ‖w‖₀ = {total.num_nonzeros:,}, "
        f"k = {total.num_distinct:,}.",
        _lengths_line({}, description),
        table=tensor_rows(description.counts),
        next_=next_,
    )


def answer_certificate(
    certificate: "Certificate", name: str, *, way_out: str = "", next_: Sequence[str] = ()
) -> None:
    """Say what a certificate proves.

    Args:
        certificate: It.
        name: What stands before the answer: its folder, or that it was verified.
        way_out: What makes the network shorter, as the end of a sentence.
        next_: Commands to suggest.
    """
    from analysis.bounds.bounds import bound_titles  # noqa: PLC0415  # a certificate has loaded
    from analysis.certify.images import VALIDATION_ALONE  # noqa: PLC0415  # both of them

    made, data = certificate, certificate.data
    answer, why = bound_answer(
        name,
        made.bound,
        made.errors,
        bits=made.description_bits,
        code=f"{made.code} code",
        delta=made.delta,
        num_classes=made.spec.num_classes,
        way_out=way_out,
        samples="held-out" if data.samples == VALIDATION_ALONE else "training",
    )
    counts = {f"{data.samples} (m)": made.errors, "held out": made.held_out, "test": made.test}
    titles = bound_titles()
    bounds = [(titles[key], bound_value(value)) for key, value in made.bounds.items()]
    if made.hold_out_bound is not None:
        bounds.append(("hold-out, if these images chose nothing", bound_value(made.hold_out_bound)))
    console.print_answer(
        answer,
        f"The network: {made.spec.name} on {data.title}, n = {made.counts.num_weights:,} numbers "
        f"of {made.number_format} (b = {made.bits_per_weight}), ‖w‖₀ = "
        f"{made.counts.num_nonzeros:,}, k = {made.counts.num_distinct:,}.",
        console.Rows(columns=("bound on the true error", "value"), rows=bounds),
        *prior_lines(made),
        *filter(None, (made.repeats,)),
        "Errors counted in exact integers; by mdl evaluate in float32: a few may differ.",
        why=why,
        table=console.Rows(
            columns=("images", "number", "errors", "error"),
            rows=[
                (split, f"{count.num_samples:,}", f"{count.num_errors:,}", f"{count.error:.2%}")
                for split, count in counts.items()
                if count is not None
            ],
        ),
        next_=next_,
    )


def answer_encoded(
    report: "NetworkDescription",
    file: str,
    num_bytes: int,
    *,
    notes: Sequence[str] = (),
    next_: Sequence[str],
) -> None:
    """Say how long a network's bits are, by layer and by code.

    Args:
        report: Its codewords.
        file: What the bits were written to.
        num_bytes: Size of that file.
        notes: Sentences to add.
        next_: Commands to suggest.
    """
    codeword, form = report.codeword, report.message.number_format
    integers = dict.fromkeys(each.name for each in report.message.integers.values())
    kinds = ", ".join([f"{form.name} (b = {form.bits_per_weight})", *integers])
    console.print_answer(
        f"{file}: {codeword.num_bits:,} bits ({codeword.code} code) in {num_bytes:,} bytes.",
        f"n = {report.num_weights:,} numbers of {kinds}, ‖w‖₀ = "
        f"{report.num_nonzeros:,}, {codeword.num_bits / max(report.num_nonzeros, 1):,.2f} bits "
        "per nonzero.",
        _lengths_line(report.lengths),
        *notes,
        table=codeword_rows(codeword),
        next_=next_,
    )


def bound_answer(
    what: str,
    bound: float,
    errors: "ErrorCount",
    *,
    bits: int,
    code: str,
    delta: float,
    num_classes: int | None = None,
    way_out: str = "",
    samples: str = "training",
) -> tuple[str, str]:
    """The answer, and why it proves nothing if that is so, else "".

    Args:
        what: The network and its data.
        bound: On its true error, with probability 1 - δ.
        errors: On the m training images.
        bits: B.
        code: Of what the bits are, such as "context code".
        delta: δ.
        num_classes: c; None if it is not known.
        way_out: What makes the network shorter, as the end of a sentence.
        samples: Which images the m are.

    >>> from analysis.bounds.bounds import ErrorCount
    >>> answer, why = bound_answer(
    ...     "net", 1.0, ErrorCount(num_errors=20, num_samples=1000), bits=9000, code="plain code",
    ...     delta=0.05, num_classes=10,
    ... )
    >>> answer.partition(" B =")[0], why.partition("a bound ")[2]
    ('net: the bound is vacuous, 100.00%.', 'below guessing (90.00%) takes at most 3,116 bits.')
    """
    m = errors.num_samples
    chance = 1.0 if num_classes is None else 1 - 1 / num_classes
    if is_vacuous(bound):
        proved = f"the bound is vacuous, {percent_up(min(bound, 1.0))}"
    else:
        proved = f"true error <= {percent_up(bound)} with probability {1 - delta:.4g}"
    facts = (
        f"B = {bits:,} bits ({code}), {errors.num_errors:,} of m = {m:,} {samples} errors "
        f"({errors.error:.2%})."
    )
    answer = f"{what}: {proved}. {facts}"
    if bound < min(chance, 1 - 1e-9):
        return answer, ""
    goal = f"guessing ({chance:.2%})" if num_classes else "100%"
    most = bits_for_target(min(chance, 1 - 1e-9), errors.num_errors, m, delta)
    why = f"Why: {bits / m:,.1f} bits per image; at these errors "
    if most is None:
        why += f"no length gives a bound below {goal}: it takes fewer errors."
        way_out = ""
    else:
        why += f"a bound below {goal} takes at most {most:,} bit{'' if most == 1 else 's'}."
    if num_classes is not None and not is_vacuous(bound):
        why = f"{guessing_remark(bound, num_classes).capitalize()}. {why}"
    return answer, why + way_out


def codeword_rows(codeword: "Codeword", counts: "NetworkCounts | None" = None) -> console.Rows:
    """A row a layer with its weights, nonzeros and bits; start and end are one row.

    Args:
        codeword: The bits.
        counts: Of the decoded tensors, if they are known.
    """
    sizes = (counts or codeword.message.counts).tensors
    layers: dict[str, list[float]] = {}
    for row in sizes:
        found = layers.setdefault(_layer(row.name), [0, 0, 0.0])
        found[0] += row.num_weights
        found[1] += row.num_nonzeros
    for entry in codeword.ledger.entries:
        layers.setdefault(_layer(entry.tensor), [0, 0, 0.0])[2] += entry.bits
    total = codeword.num_bits
    rest = sum(layers.pop(name, (0, 0, 0.0))[2] for name in ("head", "end"))
    layers["start and end"] = [0, 0, rest]
    return console.Rows(
        columns=("layer", "numbers", "nonzeros", "bits", "share"),
        rows=[
            (
                name,
                *(f"{count:,.0f}" if numbers else "" for count in (numbers, nonzeros)),
                f"{bits:,.0f}",
                f"{bits / total:.1%}",
            )
            for name, (numbers, nonzeros, bits) in layers.items()
        ],
        sizes=[bits for _, _, bits in layers.values()],
        last=(
            "all",
            f"{sum(row.num_weights for row in sizes):,}",
            f"{sum(row.num_nonzeros for row in sizes):,}",
            f"{total:,}",
            "100.0%",
        ),
    )


def tensor_rows(counts: "NetworkCounts") -> console.Rows:
    """A row a tensor with its numbers, nonzeros and distinct values."""
    rows = [*((row.name, row) for row in counts.tensors), ("all", counts.total)]
    cells = [
        (
            name,
            f"{row.num_weights:,}",
            f"{row.num_nonzeros:,}",
            f"{row.num_nonzeros / max(row.num_weights, 1):.2%}",
            f"{row.num_distinct:,}",
        )
        for name, row in rows
    ]
    return console.Rows(
        columns=("tensor", "numbers", "nonzeros", "density", "distinct"),
        rows=cells[:-1],
        sizes=[row.num_weights for row in counts.tensors],
        last=cells[-1],
    )


def _lengths_line(written: Mapping[str, int], description: "Description | None" = None) -> str:
    """Lengths of bits that were written, and of the paper's formulas, shortest first."""
    lengths = {} if description is None else description.lengths
    formulas = {name: length.whole_bits for name, length in lengths.items()}
    parts = [
        f"{note}{', '.join(f'{name} {bits:,}' for name, bits in ordered)}"
        for note, ordered in (
            ("", sorted(written.items(), key=lambda each: each[1])),
            ("by formula " if written else "", sorted(formulas.items(), key=lambda each: each[1])),
        )
        if ordered
    ]
    return f"Lengths in bits: {'; '.join(parts)}."


def _layer(tensor: str) -> str:
    """The layer that a tensor belongs to, with the BatchNorm behind it."""
    return tensor.rpartition(".")[0].removesuffix("_norm") or tensor


def _errors(count: "ErrorCount") -> str:
    return f"{count.num_errors:,} of {count.num_samples:,} ({count.error:.2%})"
