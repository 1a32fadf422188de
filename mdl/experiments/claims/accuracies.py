"""Claims 1, 2, 6, 9, 10 and 11: test accuracies of Tables 1 and 2, by network and method."""

from mdl.experiments.claims.experiment import (
    LENGTHS,
    LONG,
    SHORT,
    USUAL_BETA,
    Claim,
    Findings,
    Groups,
    Lineup,
    accuracy_effect,
    by_label,
    steps_down,
)
from mdl.experiments.reproduce.paper_numbers import SOURCE_1, SOURCE_2, TABLE_2

_KINDS = ("conv", "local", "fc")
_FAMILIES = ("d", "s")
_SIX = tuple(f"{family}-{kind}" for family in _FAMILIES for kind in _KINDS)
_AS_MANY = 1.1
"""Networks have as many weights as s-fc up to this factor."""


def _printed_on(data_set: str) -> dict[tuple[str, float | None], float]:
    return {
        (row.network, row.beta): row.accuracy[data_set] for row in TABLE_2 if row.method is not None
    }


def svhn_note_on_order() -> str:
    """What Table 2 has on SVHN against claim 1, and how small its steps on CIFAR-10 are."""
    svhn, cifar = _printed_on("SVHN"), _printed_on("CIFAR-10")
    lasso, local, conv = svhn["s-fc", USUAL_BETA], svhn["s-local", None], svhn["s-conv", None]
    first = cifar["s-conv", None] - cifar["s-local", None]
    second = cifar["s-local", None] - cifar["s-fc", USUAL_BETA]
    return (
        "The paper's own SVHN column (Table 2) does not have this order: s-fc by β-lasso "
        f"{lasso:.2f}, s-local {local:.2f}, s-conv {conv:.2f}. On CIFAR-10 its first two "
        f"steps are {first:.2f} and {second:.2f} points; 10,000 test images tell about 1 point."
    )


def svhn_note_on_betas() -> str:
    """What Table 2 has on SVHN against claim 2, and how small its difference on CIFAR-10 is."""
    svhn, cifar = _printed_on("SVHN"), _printed_on("CIFAR-10")
    zero, one = svhn["s-fc", 0.0], svhn["s-fc", 1.0]
    step = cifar["s-fc", 1.0] - cifar["s-fc", 0.0]
    return (
        f"The paper's own SVHN column (Table 2) does not have this order: β = 0 has {zero:.2f}, "
        f"β = 1 has {one:.2f}. On CIFAR-10 its β = 1 is {step:.2f} points over β = 0, less than "
        "10,000 test images can tell."
    )


def _order(groups: Groups) -> Findings:
    return Findings(comparisons=steps_down(*groups.values()), notes=(svhn_note_on_order(),))


def _betas(groups: Groups) -> Findings:
    return Findings(comparisons=steps_down(*groups.values()), notes=(svhn_note_on_betas(),))


def _dense(groups: Groups) -> Findings:
    pairs = [
        (other, length, groups[f"s-fc, {length}"], groups[f"{other}, {length}"])
        for length in LENGTHS
        for other in ("3-fc", "d-fc")
    ]
    larger = {
        other: f"{other} has {theirs.num_weights / ours.num_weights:.2f} times the weights of s-fc"
        for other, _, ours, theirs in pairs
        if theirs.num_weights > _AS_MANY * ours.num_weights
    }
    return Findings(
        comparisons=tuple(
            accuracy_effect(f"s-fc over {other}, {length} training", [(1, ours), (-1, theirs)])
            for other, length, ours, theirs in pairs
        ),
        unmet=tuple(
            f"{larger[other]}, and is no worse ({length} training)."
            for other, length, ours, theirs in pairs
            if other in larger and ours.test.mean <= theirs.test.mean
        ),
        notes=tuple(f"{sentence}: s-fc has the harder part." for sentence in larger.values()),
    )


def _six(lineup: Lineup, *, long: bool) -> Groups:
    return by_label(lineup.table1(network, long=long) for network in _SIX)


def _depth(groups: Groups) -> Findings:
    deep, shallow = groups["d-conv"], groups["s-conv"]
    with_sharing = [(1.0, deep), (-1.0, shallow)]
    comparisons = tuple(
        accuracy_effect(
            f"what depth adds to conv over what it adds to {kind}",
            [*with_sharing, (-1, groups[f"d-{kind}"]), (1, groups[f"s-{kind}"])],
        )
        for kind in ("local", "fc")
    )
    gain = deep.test.mean - shallow.test.mean
    unmet = (
        ()
        if gain > 0
        else (
            "Depth does not help with weight sharing here: "
            f"d-conv has {100 * deep.test.mean:.2f}%, s-conv {100 * shallow.test.mean:.2f}%.",
        )
    )
    return Findings(comparisons=comparisons, unmet=unmet)


def _gaps(groups: Groups) -> Findings:
    unmet = tuple(
        f"{family}-conv is no better than {family}-local here: {100 * conv:.2f}% and "
        f"{100 * local:.2f}%."
        for family in _FAMILIES
        if (conv := groups[f"{family}-conv"].test.mean)
        <= (local := groups[f"{family}-local"].test.mean)
    )
    return Findings(
        comparisons=tuple(
            accuracy_effect(
                f"{family}: gap from local to fc over gap from conv to local",
                [
                    (2, groups[f"{family}-local"]),
                    (-1, groups[f"{family}-fc"]),
                    (-1, groups[f"{family}-conv"]),
                ],
            )
            for family in _FAMILIES
        ),
        unmet=unmet,
    )


def _longer(groups: Groups) -> Findings:
    return Findings(
        comparisons=tuple(
            accuracy_effect(
                f"what longer training adds to s-{kind} over what it adds to d-{kind}",
                [
                    (1, groups[f"s-{kind}, {LONG}"]),
                    (-1, groups[f"s-{kind}, {SHORT}"]),
                    (-1, groups[f"d-{kind}, {LONG}"]),
                    (1, groups[f"d-{kind}, {SHORT}"]),
                ],
            )
            for kind in _KINDS
        )
    )


CLAIMS = (
    Claim(
        number=1,
        name="order",
        statement=(
            "Test accuracy falls from s-conv to s-local to s-fc by β-lasso to s-fc by SGD (long "
            "training)."
        ),
        source=SOURCE_2,
        gather=lambda lineup: by_label(
            (
                lineup.table1("s-conv", long=True),
                lineup.table1("s-local", long=True),
                lineup.table2(USUAL_BETA),
                lineup.table2(None),
            )
        ),
        compare=_order,
    ),
    Claim(
        number=2,
        name="betas",
        statement=(
            "s-fc is better by β-lasso with β = 50 than with β = 1, than with β = 0, than by SGD "
            "(long training)."
        ),
        source=SOURCE_2,
        gather=lambda lineup: by_label(map(lineup.table2, (USUAL_BETA, 1.0, 0.0, None))),
        compare=_betas,
    ),
    Claim(
        number=11,
        name="fully-connected",
        statement=(
            "With as many weights and training by SGD, s-fc is better than 3-fc and d-fc (short "
            "and long training)."
        ),
        source=f"Section 2.2, {SOURCE_1}",
        gather=lambda lineup: lineup.table1_both(("s-fc", "3-fc", "d-fc")),
        compare=_dense,
    ),
    Claim(
        number=6,
        name="depth",
        statement=(
            "Depth helps less without weight sharing: d-conv over s-conv is more than d-local over "
            "s-local and than d-fc over s-fc (long training)."
        ),
        source=f"Section 2.2, {SOURCE_1}",
        gather=lambda lineup: _six(lineup, long=True),
        compare=_depth,
    ),
    Claim(
        number=9,
        name="gaps",
        statement=(
            "The gap from local to fully-connected is larger than that from convolutional to "
            "local, for d- and s- networks (short training)."
        ),
        source=f"Section 2.2, {SOURCE_1}",
        gather=lambda lineup: _six(lineup, long=False),
        compare=_gaps,
    ),
    Claim(
        number=10,
        name="longer training",
        statement="Shallow networks gain more from training longer than deep ones.",
        source=f"Section 2.2, {SOURCE_1}",
        gather=lambda lineup: lineup.table1_both(_SIX),
        compare=_longer,
    ),
)
