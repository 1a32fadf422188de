"""Claims 3, 4 and 5: what s-fc learns by β-lasso, and that it needs no order of the pixels."""

import math
from collections.abc import Callable

from mdl.experiments.claims.claim import Comparison, Unit
from mdl.experiments.claims.experiment import (
    USUAL_BETA,
    Claim,
    Findings,
    Group,
    Groups,
    accuracy_effect,
    by_label,
)
from mdl.experiments.claims.statistics import Basis, Estimate, Source, contrast
from mdl.experiments.store.run_result import RunResult

SAME_MARGIN = 0.02
"""Accuracies this close count as the same: a third of what β-lasso adds to s-fc in Table 2."""
LEAST_ZEROS = 0.05
"""A layer with a larger share of zeros counts as sparse."""
LOCAL_RATIO = 4 / 3
"""Filters are local where chance gives more than so many times their radius."""
_LAYERS = ("conv1", "fc1", "fc2")
_LASSO, _SGD = "s-fc by β-lasso", "s-fc by SGD"
_NORMAL_95 = 1.96


def _sparsity(groups: Groups) -> Findings:
    trained, first = groups[_LASSO], _LAYERS[0]
    conv, local = (groups[twin].runs[0].num_weights[first] for twin in ("s-conv", "s-local"))

    def over_conv(run: RunResult) -> float:
        return math.log(max(run.num_nonzeros[first], 1) / conv)

    def under_local(run: RunResult) -> float:
        return math.log(local / max(run.num_nonzeros[first], 1))

    between = tuple(
        Comparison(
            label=label,
            measured=contrast([(1, trained.quantity(measure))]),
            unit=Unit.RATIO,
            above=1.0,
        )
        for label, measure in (
            ("nonzeros of layer 1 over weights of s-conv's", over_conv),
            ("weights of s-local's layer 1 over nonzeros", under_local),
        )
    )
    zeros = contrast([(1, trained.quantity(lambda run: 1 - _density(run, _LAYERS[2])))])
    denser = tuple(
        Comparison(
            label=f"density of layer 3 over that of layer {number}",
            measured=contrast([(1, trained.quantity(_density_gap(_LAYERS[number - 1])))]),
        )
        for number in (1, 2)
    )
    return Findings(
        comparisons=(
            *between,
            Comparison(label="share of zeros in layer 3", measured=zeros, above=LEAST_ZEROS),
            *denser,
        ),
        notes=("The paper shows this in Figure 3, without numbers.",),
    )


def _density(run: RunResult, layer: str) -> float:
    return run.num_nonzeros[layer] / run.num_weights[layer]


def _density_gap(layer: str) -> Callable[[RunResult], float]:
    return lambda run: _density(run, _LAYERS[2]) - _density(run, layer)


def _permutation(groups: Groups) -> Findings:
    dense, dense_permuted, conv, conv_permuted = groups.values()
    return Findings(
        comparisons=(
            accuracy_effect(
                "s-fc by β-lasso, permuted over not",
                [(1, dense_permuted), (-1, dense)],
                within=SAME_MARGIN,
                published=0.0,
                source="Section 5, in words",
            ),
            accuracy_effect(
                "s-conv, not permuted over permuted",
                [(1, conv), (-1, conv_permuted)],
                above=SAME_MARGIN,
            ),
        ),
        notes=(
            "A fully-connected layer treats all orders of its inputs alike, and the permutation "
            "comes after augmentation, so s-fc's two accuracies differ by chance alone.",
        ),
    )


def _locality(groups: Groups) -> Findings:
    unmeasured = [
        f"{label} has no filter whose place could be measured."
        for label, group in groups.items()
        if any(run.locality is None or run.locality.ratio_interval[0] <= 0 for run in group.runs)
    ]
    if unmeasured:
        return Findings(comparisons=(), unmet=tuple(unmeasured))
    lasso, sgd = groups[_LASSO], groups[_SGD]
    return Findings(
        comparisons=(
            Comparison(
                label=f"radius by chance over radius, {_LASSO}",
                measured=_log_ratio(((-1, lasso),)),
                unit=Unit.RATIO,
                above=LOCAL_RATIO,
            ),
            Comparison(
                label=f"radius over chance, {_SGD} over {_LASSO}",
                measured=_log_ratio(((1, sgd), (-1, lasso))),
                unit=Unit.RATIO,
                above=1.0,
            ),
        ),
        notes=(
            "Radius: half-mass radius of a filter; by chance: the same weights on shuffled "
            "pixels; medians over filters. The paper shows this in Figure 4, without numbers.",
        ),
    )


def _log_ratio(terms: tuple[tuple[float, Group], ...]) -> Estimate:
    """Σ coefficient · log(radius / chance). With one seed, the spread over its filters counts."""

    def log_ratio(run: RunResult) -> float:
        return math.log(run.locality.ratio) if run.locality else math.nan

    over_seeds = contrast([(sign, group.quantity(log_ratio)) for sign, group in terms])
    if over_seeds.sources:
        return over_seeds
    variance = sum(sign**2 * _filter_variance(group.runs[0]) for sign, group in terms)
    return Estimate(
        value=over_seeds.value,
        sources=(Source(variance=variance, degrees=math.inf),),
        basis=Basis.FILTERS,
    )


def _filter_variance(run: RunResult) -> float:
    if run.locality is None:
        return math.nan
    low, high = run.locality.ratio_interval
    return (math.log(high / low) / (2 * _NORMAL_95)) ** 2


CLAIMS = (
    Claim(
        number=3,
        name="sparsity",
        statement=(
            "Layer 1 of s-fc by β-lasso keeps more weights than s-conv has there and fewer than "
            "s-local; layer 3 is sparse, but the least so (long training)."
        ),
        source="Section 4.1, Figure 3",
        gather=lambda lineup: {
            _LASSO: lineup.table2(USUAL_BETA),
            "s-conv": lineup.table1("s-conv", long=True),
            "s-local": lineup.table1("s-local", long=True),
        },
        compare=_sparsity,
    ),
    Claim(
        number=4,
        name="permutation",
        statement=(
            "s-fc by β-lasso is as good when the pixels of all images are permuted, within "
            f"{100 * SAME_MARGIN:g} points; s-conv loses more than that (short training)."
        ),
        source="Sections 4.1 and 5",
        gather=lambda lineup: by_label(
            (
                lineup.table2(USUAL_BETA, long=False),
                lineup.table2(USUAL_BETA, long=False, permuted=True),
                lineup.table1("s-conv", long=False),
                lineup.table1("s-conv", long=False, permuted=True),
            )
        ),
        compare=_permutation,
    ),
    Claim(
        number=5,
        name="local filters",
        statement=(
            "First-layer filters of s-fc by β-lasso are local: chance gives more than "
            f"{LOCAL_RATIO:.2f} times their radius, and SGD's are less local (long training)."
        ),
        source="Section 4.1, Figure 4",
        gather=lambda lineup: {_LASSO: lineup.table2(USUAL_BETA), _SGD: lineup.table2(None)},
        compare=_locality,
    ),
)
