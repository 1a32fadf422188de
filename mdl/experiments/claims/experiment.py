"""A claim as an experiment: which runs it takes, and what is compared on them."""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mdl.experiments.claims.claim import Comparison
from mdl.experiments.claims.groups import Group, Groups, Lineup
from mdl.experiments.claims.statistics import contrast


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What a claim's runs say.

    Attributes:
        comparisons: All that must hold.
        unmet: A sentence for each condition without which the comparisons make no sense here.
        notes: Further sentences.
    """

    comparisons: tuple[Comparison, ...]
    unmet: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One claim of the paper.

    Attributes:
        number: From 1.
        name: Short.
        statement: The claim in one sentence.
        source: Where the paper makes it.
        gather: Its groups of runs by label.
        compare: What is compared; called once every group has a run.
        must_learn: Whether every network must have learned its training images.
        needs_all: Whether every run must be there, and not only one of each group.
    """

    number: int
    name: str
    statement: str
    source: str
    gather: Callable[[Lineup], Groups]
    compare: Callable[[Groups], Findings]
    must_learn: bool = True
    needs_all: bool = False


def by_label(*groups: Group) -> dict[str, Group]:
    """Groups by their labels, in order."""
    return {group.label: group for group in groups}


def accuracy_effect(
    label: str,
    terms: Sequence[tuple[float, Group]],
    *,
    above: float = 0.0,
    within: float | None = None,
    published: float | None = None,
    source: str = "",
) -> Comparison:
    """Σ coefficient · test accuracy, beside the same sum of the paper's figures.

    Args:
        label: What is compared.
        terms: Coefficients and groups.
        above: What the effect must exceed, a fraction.
        within: The margin of an equivalence test, a fraction; None for none.
        published: The paper's figure where it is not a sum of its tables' accuracies.
        source: Where that is.
    """
    printed = [group.published for _, group in terms]
    if published is None and None not in printed:
        published = math.fsum(
            coefficient * value
            for (coefficient, _), value in zip(terms, printed, strict=True)
            if value is not None
        )
        source = "; ".join(dict.fromkeys(group.source for _, group in terms))
    return Comparison(
        label=label,
        measured=contrast([(coefficient, group.test) for coefficient, group in terms]),
        above=above,
        within=within,
        published=published,
        source=source,
    )


def steps_down(*groups: Group) -> tuple[Comparison, ...]:
    """An order, best first, as the comparisons of neighbours: all must hold."""
    return tuple(
        accuracy_effect(f"{upper.label} over {lower.label}", [(1, upper), (-1, lower)])
        for upper, lower in itertools.pairwise(groups)
    )
