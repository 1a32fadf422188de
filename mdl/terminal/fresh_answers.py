"""What commands answer about a certificate that counts on held-out images too."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from analysis.bounds.bounds import percent_up
from mdl.terminal import console
from mdl.terminal.bound_tables import bound_value, guessing_remark, is_vacuous, prior_lines

if TYPE_CHECKING:
    from analysis.certify.certificate import Certificate


def answer_fresh(
    certificate: "Certificate", name: str, *, target: str = "the target", next_: Sequence[str] = ()
) -> None:
    """Say what is proven, by which two bounds, and what they assume.

    Args:
        certificate: One with a count on fresh images.
        name: What stands before the answer: its folder, or that it was verified.
        target: Name of the target's predictions, where it has one.
        next_: Commands to suggest.
    """
    made, fresh = certificate, certificate.fresh
    if fresh is None:
        raise ValueError("the certificate has no count on fresh images")
    subject = f"error of {target}" if fresh.has_target else "error"
    proved = f"true {subject} <= {percent_up(made.bound)} with probability {1 - made.delta:.4g}"
    if is_vacuous(made.bound):
        proved = f"the bound on the true {subject} is vacuous, {percent_up(made.bound)}"
    remark = guessing_remark(made.bound, made.spec.num_classes)
    network, bits = made.spec.name, f"{made.description_bits:,} bits"
    described, counted = fresh.parts(made.errors, made.counted_bits, made.delta)
    place = fresh.split if fresh.data is None else f"{fresh.data.title}, {fresh.split}"
    rows = [
        (f"{network}, by its {bits}", made.data.samples, made.errors, described),
        (
            f"{network} and {target} differ" if fresh.has_target else f"{network}, held out",
            place,
            fresh.count,
            counted,
        ),
    ]
    whole = "sum: the target's true error" if fresh.has_target else "the better of the two"
    how = (
        f"By way of {network} of {bits} on {made.data.title}."
        if fresh.has_target
        else f"{network} of {bits} on {made.data.title}."
    )
    console.print_answer(
        f"{name}: {proved}. {how}",
        f"It assumes: {fresh.assumption}",
        *prior_lines(made),
        *fresh.remarks,
        *filter(None, (made.repeats,)),
        "Counted in exact integers; each row holds at its own δ, and the whole at their sum.",
        why=f"{remark.capitalize()}." if remark and not is_vacuous(made.bound) else "",
        table=console.Rows(
            columns=("bound on the true error", "value", "δ", "counted", "of images", "which are"),
            rows=[
                (
                    what,
                    bound_value(value),
                    f"{made.delta / 2:g}",
                    f"{count.num_errors:,}",
                    f"{count.num_samples:,}",
                    split,
                )
                for what, split, count, value in rows
            ],
            last=(whole, bound_value(made.bound), f"{made.delta:g}", "", "", ""),
        ),
        next_=next_,
    )
