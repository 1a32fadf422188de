"""A certificate as tables, and as the one sentence that it proves."""

import math
from typing import TYPE_CHECKING

from analysis.bounds.bounds import bound_titles
from mdl.terminal import console

if TYPE_CHECKING:
    from analysis.certify.certificate import Certificate


def print_certificate(certificate: "Certificate") -> None:
    """Print network, errors, bounds and verdict."""
    made, data = certificate, certificate.data
    output = console.stdout()
    output.print(
        f"{made.spec.name} on {data.name}: B = {made.description_bits:,} bits in the {made.code} "
        f"code, n = {made.counts.num_weights:,} numbers of {made.number_format} "
        f"(b = {made.bits_per_weight}), ‖w‖₀ = {made.counts.num_nonzeros:,}, "
        f"k = {made.counts.num_distinct:,}",
        markup=False,
    )
    counts = (
        (f"{data.samples} (m)", made.errors),
        ("held out", made.held_out),
        ("test", made.test),
    )
    rows = [
        (name, f"{count.num_samples:,}", f"{count.num_errors:,}", f"{count.error:.2%}")
        for name, count in counts
        if count is not None
    ]
    console.print_table(
        "Errors of the decoded network", ("images", "number", "errors", "error"), rows
    )
    titles = bound_titles()
    bounds = [(titles[name], _percent_up(value)) for name, value in made.bounds.items()]
    if made.hold_out_bound is not None:
        bounds.append(("hold-out, if these images chose nothing", _percent_up(made.hold_out_bound)))
    console.print_table(f"Bounds on the true error, δ = {made.delta:g}", ("bound", "value"), bounds)
    output.print(_verdict(made), style="bold", markup=False)


def _verdict(made: "Certificate") -> str:
    if made.bound > 1 - 1e-9:
        return "Vacuous: this length proves nothing about the true error."
    line = (
        f"True error <= {_percent_up(made.bound)} with probability {1 - made.delta:.4g} over the "
        f"m = {made.errors.num_samples:,} {made.data.samples} images (binomial tail)."
    )
    guessing = 1 - 1 / made.spec.num_classes
    if made.bound >= guessing:
        line += f" That is no better than guessing, {guessing:.2%}."
    return line


def _percent_up(fraction: float) -> str:
    """Percent with two decimals, rounded upward as a bound must be."""
    return f"{math.ceil(fraction * 1e4 - 1e-9) / 100:,.2f}%"
