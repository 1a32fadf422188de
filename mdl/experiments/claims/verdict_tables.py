"""Verdicts as tables: a row a claim, and a row a comparison with its numbers."""

from collections.abc import Sequence

from mdl.experiments.claims.catalogue import collect, judge
from mdl.experiments.claims.claim import Effect, Verdict, value_text, wanted_text
from mdl.experiments.claims.decisions import ALPHA
from mdl.experiments.reproduce.artefact import Artefact
from mdl.experiments.reproduce.footnotes import scale_note
from mdl.experiments.reproduce.run_plan import RunPlan
from mdl.experiments.reproduce.scales import Scale
from mdl.experiments.reproduce.tables import Cell, Column, Table
from mdl.experiments.store.result_store import Results
from mdl.terminal.wording import duration

_KEY = (
    "Reproduced: every comparison goes the paper's way and its interval leaves out no effect. Not "
    "reproduced: at least one goes the other way, likewise. Not at this scale: neither, or a "
    "condition of the comparison is not met.",
    f"The comparisons of a claim share an error of {100 * ALPHA:g} % by Holm's procedure; each "
    "interval is at the level at which its comparison was tested. Intervals take in the spread "
    "over seeds (t, Welch) and the choice of test images, on which networks are compared image by "
    "image; they are too wide rather than too narrow. With one seed they take in test images alone "
    "and speak of these networks. The choice of training images is in none.",
    "Training: of all runs of the claim that there are, trials included. Claims share runs.",
)


def verdict_tables(verdicts: Sequence[Verdict], *, notes: Sequence[str] = ()) -> tuple[Table, ...]:
    """Two tables: "claims" and "claims-numbers".

    Args:
        verdicts: In the order shown.
        notes: Further sentences below both, as what the scale reduces.
    """
    where = ", ".join(dict.fromkeys(f"{one.data_name}, scale {one.scale}" for one in verdicts))
    return (
        Table(
            name="claims",
            title=f"The paper's claims on {where}",
            columns=(
                Column(key="number", title="no."),
                Column(key="statement", title="claim"),
                Column(key="source", title="paper"),
                Column(key="data", title="data"),
                Column(key="verdict", title="verdict"),
                Column(key="sentence", title="why"),
                Column(key="training", title="training"),
            ),
            rows=tuple(_claim_row(one) for one in verdicts),
            notes=(*_KEY, *_claim_notes(verdicts), *notes),
            details={"verdicts": [one.to_dict() for one in verdicts]},
        ),
        Table(
            name="claims-numbers",
            title=f"Comparisons behind the claims on {where}",
            columns=(
                Column(key="number", title="no."),
                Column(key="label", title="comparison"),
                Column(key="data", title="data"),
                Column(key="outcome", title="outcome"),
                Column(key="basis", title="interval over"),
                Column(key="effect", title="effect", kind="as printed"),
                Column(key="interval", title="interval", kind="as printed"),
                Column(key="confidence", title="at", kind="as printed"),
                Column(key="published", title="paper's", kind="as printed"),
                Column(key="source", title="from", kind="as printed"),
            ),
            rows=tuple(_effect_row(one, effect) for one in verdicts for effect in one.effects),
            notes=(
                "Effects are positive in the paper's direction. Differences of accuracies are in "
                "points; × marks a ratio; τ is Kendall's.",
                *_KEY,
                *notes,
            ),
        ),
    )


def _claim_row(verdict: Verdict) -> dict[str, Cell]:
    return {
        "number": str(verdict.number),
        "statement": verdict.statement,
        "source": verdict.source,
        "data": verdict.data_name,
        "verdict": verdict.label,
        "sentence": verdict.sentence,
        "training": duration(verdict.seconds) if verdict.seconds else None,
    }


def _claim_notes(verdicts: Sequence[Verdict]) -> list[str]:
    lines = []
    for one in verdicts:
        parts = [*one.notes, *_run_notes(one)]
        if parts:
            lines.append(f"Claim {one.number}: {' '.join(parts)}")
    return list(dict.fromkeys(lines))


def _run_notes(verdict: Verdict) -> list[str]:
    if not verdict.effects:
        return []
    by_seeds: dict[tuple[int, ...], list[str]] = {}
    for label, seeds in verdict.seeds.items():
        by_seeds.setdefault(seeds, []).append(label)
    texts = [
        f"seed{'s' if len(seeds) != 1 else ''} {', '.join(map(str, seeds))}"
        + ("" if len(by_seeds) == 1 else f" ({'; '.join(labels)})")
        for seeds, labels in by_seeds.items()
    ]
    missing = f"; {verdict.num_missing} runs have no result yet" if verdict.num_missing else ""
    return [f"Runs: {', '.join(texts)}{missing}."]


def _effect_row(verdict: Verdict, effect: Effect) -> dict[str, Cell]:
    published = None if effect.published is None else value_text(effect.published, effect.unit)
    ends = [value_text(end, effect.unit) for end in (effect.low, effect.high)]
    return {
        "number": str(verdict.number),
        "label": effect.label + wanted_text(effect),
        "data": verdict.data_name,
        "outcome": str(effect.outcome),
        "basis": effect.basis,
        "effect": value_text(effect.estimate, effect.unit),
        "interval": " to ".join(ends),
        "confidence": f"{100 * effect.confidence:.2f} %",
        "published": published,
        "source": effect.source or None,
    }


class Claims(Artefact):
    """Verdicts on the paper's claims, with the numbers behind them."""

    name = "claims"
    about = "Verdicts on thirteen of the paper's claims, each with its intervals."

    def collect(self, scale: Scale, runs: RunPlan) -> None:
        """Ask for the runs of every claim, on natural images."""
        collect(scale, runs)

    def tables(self, scale: Scale, found: Results) -> Sequence[Table]:
        """A row a claim; and a row a comparison."""
        return verdict_tables(judge(scale, found), notes=(scale_note(scale),))
