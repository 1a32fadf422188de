"""`mdl bound` of another program's network: described here, evaluated by its owner."""

from pathlib import Path

import typer

from analysis.bounds.bounds import compare_bounds
from analysis.codes.network_code import Codeword
from analysis.describe.external_network import BN_EPS, describe_tensors
from analysis.describe.external_report import GivenErrors, report_external
from analysis.describe.validity import note_given_errors
from analysis.quantize.formats import NumberFormat
from mdl.terminal import console
from mdl.terminal.bound_tables import print_external, print_external_bits
from mdl.terminal.progress import ReadingProgress
from training.tensor_files.open import open_tensor_file


def show_external(
    checkpoint: Path,
    number_format: NumberFormat,
    delta: float,
    given: GivenErrors | None,
    reading: tuple[str | None, list[str] | None, float | None],
    *,
    json: bool,
) -> None:
    """Describe the tensors of a file, and bound their network's error if errors were given.

    Raises:
        typer.Exit: Something makes every bound invalid; it has been printed.
    """
    key, fixed, bn_eps = reading
    with open_tensor_file(checkpoint, key) as file, ReadingProgress() as progress:
        network = describe_tensors(
            file, bn_eps=BN_EPS if bn_eps is None else bn_eps, fixed=fixed or ()
        )
        report = report_external(
            network, number_format, delta=delta, given=given, on_progress=progress.on_bytes
        )
    if json:
        console.print_json(report.to_dict())
    else:
        print_external(report)
        console.print_next(
            f"mdl encode {checkpoint} -o net.mdl", "mdl decode net.mdl --state-dict decoded.pt"
        )
    if any(finding.severity == "invalid" for finding in report.findings):
        raise typer.Exit(1)


def show_external_bits(
    codeword: Codeword, file: Path, delta: float, given: GivenErrors, *, json: bool
) -> None:
    """Bound the error of a network whose tensors were read off a file of bits."""
    bounds = compare_bounds(given.num_errors, given.num_samples, codeword.num_bits, delta)
    note = note_given_errors(given.num_errors, given.num_samples)
    if json:
        console.print_json(
            {
                "checkpoint": str(file),
                "errors": "given",
                "code": codeword.code,
                "description_bits": codeword.num_bits,
                "ledger": [entry.to_dict() for entry in codeword.ledger.entries],
                "num_errors": given.num_errors,
                "num_samples": given.num_samples,
                "delta": delta,
                "bounds": {"bits": {bound.name: bound.to_dict() for bound in bounds}},
                "bound": bounds[-1].value,
                "findings": [note.to_dict()],
            }
        )
        return
    print_external_bits(codeword, given, bounds, note, delta=delta)


def read_given_errors(
    checkpoint: Path,
    samples: int | None,
    train_errors: int | None,
    test_errors: int | None,
    test_samples: int | None,
) -> GivenErrors:
    """The errors that the options give.

    Raises:
        typer.Exit: They are missing; why they are needed has been printed.
        typer.BadParameter: They are no counts.
    """
    if samples is None or train_errors is None:
        console.stderr().print(
            f"error: {checkpoint}: without the network's code its errors cannot be counted here; "
            "give --samples M and --train-errors E, counted on its training set with the decoded "
            "network (mdl encode FILE -o net.mdl, mdl decode net.mdl --state-dict decoded.pt), or "
            "--lengths-only",
            markup=False,
        )
        raise typer.Exit(2)
    try:
        return GivenErrors(
            num_errors=train_errors,
            num_samples=samples,
            num_test_errors=test_errors,
            num_test_samples=test_samples,
        )
    except ValueError as error:
        hint = "--samples, --train-errors, --test-samples, --test-errors"
        raise typer.BadParameter(str(error), param_hint=hint) from error
