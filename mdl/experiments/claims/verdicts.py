"""The thirteen claims: the runs that they need, their verdicts, and those as tables."""

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePath

from mdl.experiments.claims import accuracies, lasso_settings, learned_structure, principle
from mdl.experiments.claims.claim import (
    Effect,
    Judgement,
    Outcome,
    Verdict,
    effect_text,
    value_text,
    wanted_text,
)
from mdl.experiments.claims.decisions import ALPHA, combine, decide
from mdl.experiments.claims.experiment import LEARNED, Claim, Groups, Lineup
from mdl.experiments.reproduce.artefact import Artefact
from mdl.experiments.reproduce.footnotes import data_name, scale_note
from mdl.experiments.reproduce.run_plan import RunPlan
from mdl.experiments.reproduce.scale import Scale
from mdl.experiments.reproduce.tables import Cell, Column, Table
from mdl.experiments.store.result_store import Results
from mdl.terminal.console import duration
from training.spec.config import GENERATED

_NAMED = 3
CLAIMS: tuple[Claim, ...] = tuple(
    sorted(
        (
            claim
            for module in (accuracies, lasso_settings, learned_structure, principle)
            for claim in module.CLAIMS
        ),
        key=lambda claim: claim.number,
    )
)
_KEY = (
    "Reproduced: every comparison goes the paper's way and its interval leaves out no effect. Not "
    "reproduced: at least one goes the other way, likewise. Not at this scale: neither, or a "
    "condition of the comparison is not met.",
    f"The comparisons of a claim share an error of {100 * ALPHA:g}% by Holm's procedure; each "
    "interval is at the level at which its comparison was tested. Intervals take in the spread "
    "over seeds (t, Welch) and the choice of test images, on which networks are compared image by "
    "image; they are too wide rather than too narrow. With one seed they take in test images alone "
    "and speak of these networks. The choice of training images is in none.",
    "Training: of all runs of the claim that there are, trials included. Claims share runs.",
)


def is_judged(scale: Scale) -> bool:
    """Whether claims are judged on the (first) data set of a scale: only on natural images.

    Generated images are drawn, and MNIST and its kin are written signs.

    >>> from mdl.experiments.reproduce.scales import scale_on
    >>> is_judged(scale_on("smoke", ("glyphs",))), is_judged(scale_on("smoke", ("cifar10",)))
    (False, True)
    """
    name = PurePath(scale.data.source).name.lower()
    return name not in GENERATED and "mnist" not in name


def judge(scale: Scale, found: Results) -> list[Verdict]:
    """A verdict on every claim, data set by data set."""
    verdicts = []
    for one in scale.by_data_set():
        runs = RunPlan(found)
        Claims().collect(one, runs)
        name = data_name(one, runs)
        verdicts += [_verdict(claim, one, found, name=name) for claim in CLAIMS]
    return verdicts


def _verdict(claim: Claim, scale: Scale, found: Results, *, name: str) -> Verdict:
    runs = RunPlan(found)
    groups = claim.gather(Lineup(scale, runs)) if is_judged(scale) else {}
    num_missing = len(runs.missing)
    effects: tuple[Effect, ...] = ()
    notes: tuple[str, ...] = ()
    if not is_judged(scale):
        judgement = Judgement.NOT_JUDGED
        sentence = "The claim is about natural images, so these prove nothing either way."
    elif any(not group.runs for group in groups.values()) or (claim.needs_all and num_missing):
        judgement = Judgement.NOT_RUN
        sentence = (
            f"{num_missing} of the {len(runs.configs)} runs known to be needed have no result yet."
        )
    else:
        findings = claim.compare(groups)
        effects, notes = decide(findings.comparisons), findings.notes
        unmet = (*_unlearned(claim, groups), *findings.unmet)
        judgement = Judgement.NOT_AT_THIS_SCALE if unmet else combine(effects)
        sentence = " ".join(unmet) if unmet else _sentence(judgement, effects)
        if max(len(group.seeds) for group in groups.values()) == 1:
            sentence += " One seed: its own spread is not in the intervals."
    return Verdict(
        number=claim.number,
        name=claim.name,
        statement=claim.statement,
        source=claim.source,
        data_name=name,
        scale=scale.name,
        judgement=judgement,
        sentence=sentence,
        effects=effects,
        seeds={label: group.seeds for label, group in groups.items()},
        num_missing=num_missing,
        seconds=math.fsum(run.seconds for run in found.of(runs.configs)),
        notes=notes,
    )


def _unlearned(claim: Claim, groups: Groups) -> tuple[str, ...]:
    if not claim.must_learn:
        return ()
    poor = [label for label, group in groups.items() if group.train_accuracy < LEARNED]
    if not poor:
        return ()
    return (
        f"Less than {100 * LEARNED:g}% of the training images are learned by {', '.join(poor)}.",
    )


def _closeness(effect: Effect) -> tuple[float, float]:
    """The larger, the closer a call. P-values have a floor; there, distance over width decides."""
    distance = (
        effect.estimate - effect.above
        if effect.within is None
        else effect.within - abs(effect.estimate)
    )
    width = effect.high - effect.low
    return effect.p_value, -distance / width if width else -math.inf


def _sentence(judgement: Judgement, effects: Sequence[Effect]) -> str:
    if judgement is Judgement.REPRODUCED:
        closest = effect_text(max(effects, key=_closeness))
        if len(effects) == 1:
            return f"It goes the paper's way, beyond its error: {closest}."
        many = "Both" if len(effects) == 2 else f"All {len(effects)}"
        return (
            f"{many} comparisons go the paper's way, beyond their errors; the closest call: "
            f"{closest}."
        )
    wanted = Outcome.REVERSED if judgement is Judgement.NOT_REPRODUCED else Outcome.OPEN
    chosen = [effect for effect in effects if effect.outcome is wanted]
    named = "; ".join(map(effect_text, chosen[:_NAMED]))
    more = f"; and {len(chosen) - _NAMED} more" if len(chosen) > _NAMED else ""
    start = (
        "The other way, beyond its error:" if wanted is Outcome.REVERSED else "Too close to call:"
    )
    return f"{start} {named}{more}."


def verdict_tables(verdicts: Sequence[Verdict], *, notes: Sequence[str] = ()) -> tuple[Table, ...]:
    """Two tables: "claims" and "claims-numbers".

    Args:
        verdicts: In the order shown.
        notes: Further sentences below both, as what the scale reduces.
    """
    counts = Counter(one.judgement for one in verdicts)
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
            answer=", ".join(
                f"{counts[judgement]} {judgement}" for judgement in Judgement if counts[judgement]
            ),
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
                Column(key="images_alone", title="images alone", kind="as printed"),
                Column(key="published", title="paper's", kind="as printed"),
                Column(key="source", title="from", kind="as printed"),
            ),
            rows=tuple(_effect_row(one, effect) for one in verdicts for effect in one.effects),
            notes=(
                "Effects are positive in the paper's direction. Differences of accuracies are in "
                "points; × marks a ratio; τ is Kendall's. Images alone: what "
                "the test images would leave of the interval with any number of seeds, estimated.",
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
        "confidence": f"{100 * effect.confidence:.2f}%",
        "images_alone": None
        if effect.images_alone is None
        else f"±{100 * effect.images_alone:.2f}",
        "published": published,
        "source": effect.source or None,
    }


class Claims(Artefact):
    """Verdicts on the paper's claims, with the numbers behind them."""

    name = "claims"
    about = "Verdicts on thirteen of the paper's claims, each with its intervals."

    def collect(self, scale: Scale, runs: RunPlan) -> None:
        """Ask for the runs of every claim, on the data sets on which claims are judged."""
        for one in scale.by_data_set():
            if is_judged(one):
                for claim in CLAIMS:
                    claim.gather(Lineup(one, runs))

    def tables(self, scale: Scale, found: Results) -> Sequence[Table]:
        """A row a claim; and a row a comparison."""
        return verdict_tables(judge(scale, found), notes=(scale_note(scale),))
