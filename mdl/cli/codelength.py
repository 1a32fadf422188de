"""What `mdl codelength` answers: lengths of labels in bits, side by side."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from analysis.codelength.two_part import TwoPart
from analysis.codes.bit_file import is_bit_file
from mdl.terminal import console
from mdl.terminal.bound_tables import print_ledger
from training.run.evaluate import EvaluationData

_SPLITS = {"train": "training", "validation": "validation", "test": "test"}


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What was found, and what it is about.

    Attributes:
        found: The lengths.
        network: The checkpoint or the file of bits.
        images: Its images.
        split: "train", "validation" or "test".
        out: The file that the labels' bits were written to, or None.
        checked: A file whose labels were the same, or None.
    """

    found: TwoPart
    network: Path
    images: EvaluationData
    split: str
    out: Path | None
    checked: Path | None


def show(outcome: Outcome, given: Mapping[str, object], *, full: bool, json: bool) -> None:
    """Print the lengths: an answer of one screen, all tables, or one JSON object.

    Args:
        outcome: What was found.
        given: Options of the command that said which network and images, for the next commands.
        full: Whether to print the bits of each tensor too.
        json: Whether to print JSON alone.
    """
    found, images = outcome.found, outcome.images
    if json:
        console.print_json(
            {
                "checkpoint": str(outcome.network),
                "data": images.name,
                "fingerprint": images.fingerprint,
                "split": outcome.split,
                "file": None if outcome.out is None else str(outcome.out),
                "checked": None if outcome.checked is None else str(outcome.checked),
            }
            | found.to_dict()
        )
        return
    total, m = found.total_bits, found.num_labels
    uniform = f"the uniform code takes {found.uniform_bits:,}"
    ratio = found.compression_ratio
    answer = (
        f"{found.network.message.network.name} on {images.name}: the {m:,} "
        f"{_SPLITS[outcome.split]} labels take {total:,} bits, {total / m:,.4g} per label; "
        f"{uniform}, {f'{ratio:.1f} times as many' if ratio > 1 else 'no more'}."
    )
    lines = [
        f"The network is in the {found.network.code} code and "
        f"{found.network.message.number_format.name}; {found.num_errors:,} labels "
        f"({found.num_errors / m:.2%}) are not its first choice. Temperature "
        f"{found.temperature:.3g}, 8 bits of the labels'.",
        "Both were decoded from their bits, and are the same.",
    ]
    if outcome.out is not None:
        lines.append(f"Labels: {outcome.out}")
    if outcome.checked is not None:
        lines.append(f"The labels in {outcome.checked} are the same.")
    next_ = _next_commands(outcome, given, full=full)
    rows = _rows(found)
    if not full:
        why = "" if ratio > 1 else _why(found)
        console.print_answer(answer, *lines, why=why, table=rows, next_=next_)
        return
    console.stdout().print(answer, style="bold", markup=False)
    console.print_table("Lengths of the labels, given the images", rows.columns, rows.rows)
    print_ledger(found.network)
    for line in lines:
        console.stdout().print(line, markup=False)
    console.print_next(*next_)


def _rows(found: TwoPart) -> console.Rows:
    lengths = {
        "network": found.network_bits,
        "labels given it": found.label_bits,
        "two parts": found.total_bits,
        "class frequencies": found.frequency_bits,
        "uniform": found.uniform_bits,
    }
    return console.Rows(
        columns=("code", "bits", "bits per label", "of uniform"),
        rows=[
            (
                name,
                f"{bits:,}",
                f"{bits / found.num_labels:.4f}",
                f"{bits / found.uniform_bits:.1%}",
            )
            for name, bits in lengths.items()
        ],
    )


def _why(found: TwoPart) -> str:
    if found.label_bits >= found.uniform_bits:
        return "Why: the network's probabilities say nothing of these labels."
    return (
        f"Why: given the network the labels take {found.uniform_bits - found.label_bits:,} bits "
        f"fewer, but the network takes {found.network_bits:,}. Fewer bits per number, or mdl "
        "compress, shorten it."
    )


def _next_commands(outcome: Outcome, given: Mapping[str, object], *, full: bool) -> list[str]:
    """What to run next, about the same network and images."""
    network, found = outcome.network, []
    if outcome.out is not None:
        found.append(console.command("codelength", network, check=outcome.out, **given))
    is_bits = is_bit_file(network)
    if not is_bits and given["bits"] is None and given["format"] is None:
        found.append(console.command("codelength", network, **{**given, "bits": 8}))
    elif not is_bits:
        short = console.new_name(f"{network.stem}-short" if network.is_dir() else "short")
        found.append(console.command("compress", network, out=short, data=given["data"]))
    else:
        same = {name: given[name] for name in ("data", "label_column")}
        found.append(console.command("bound", network, **same))
    if not full:
        found.append(console.command("codelength", network, full=True, **given))
    return found
