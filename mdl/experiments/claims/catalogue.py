"""The thirteen claims: the runs that they need, and their verdicts."""

import math
from collections.abc import Sequence
from pathlib import PurePath

from mdl.experiments.claims import accuracies, lasso_settings, learned_structure, principle
from mdl.experiments.claims.claim import Effect, Judgement, Outcome, Verdict, effect_text
from mdl.experiments.claims.decisions import combine, decide
from mdl.experiments.claims.experiment import LEARNED, Claim, Groups, Lineup
from mdl.experiments.reproduce.footnotes import data_name
from mdl.experiments.reproduce.run_plan import RunPlan
from mdl.experiments.reproduce.scales import Scale
from mdl.experiments.store.result_store import Results

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


def is_judged(scale: Scale) -> bool:
    """Whether claims are judged on the (first) data set of a scale: only on natural images.

    Glyphs are drawn, and MNIST and its kin are written signs.

    >>> from mdl.experiments.reproduce.scales import scale_on
    >>> is_judged(scale_on("smoke", ("glyphs",))), is_judged(scale_on("smoke", ("cifar10",)))
    (False, True)
    """
    name = PurePath(scale.data.source).name.lower()
    return name != "glyphs" and "mnist" not in name


def collect(scale: Scale, runs: RunPlan) -> None:
    """Ask for every run of every claim, on the data sets on which claims are judged."""
    for one in scale.by_data_set():
        if is_judged(one):
            for claim in CLAIMS:
                claim.gather(Lineup(one, runs))


def judge(scale: Scale, found: Results) -> list[Verdict]:
    """A verdict on every claim, data set by data set."""
    verdicts = []
    for one in scale.by_data_set():
        runs = RunPlan(found)
        collect(one, runs)
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
        f"Less than {100 * LEARNED:g} % of the training images are learned by {', '.join(poor)}.",
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
