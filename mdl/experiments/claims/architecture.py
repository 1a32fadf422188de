"""Claims 6, 9 and 10: depth, weight sharing and local connections, all by SGD."""

from mdl.experiments.claims.experiment import Claim, Findings, accuracy_effect, by_label
from mdl.experiments.claims.groups import LONG, SHORT, Groups, Lineup
from mdl.experiments.reproduce.paper_numbers import SOURCE_1

_KINDS = ("conv", "local", "fc")
_FAMILIES = ("d", "s")
_SIX = tuple(f"{family}-{kind}" for family in _FAMILIES for kind in _KINDS)


def _six(lineup: Lineup, *, long: bool) -> Groups:
    return by_label(*(lineup.table1(network, long=long) for network in _SIX))


def _long_six(lineup: Lineup) -> Groups:
    return _six(lineup, long=True)


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
            f"d-conv has {100 * deep.test.mean:.2f} %, s-conv {100 * shallow.test.mean:.2f} %.",
        )
    )
    return Findings(comparisons=comparisons, unmet=unmet)


def _short_six(lineup: Lineup) -> Groups:
    return _six(lineup, long=False)


def _gaps(groups: Groups) -> Findings:
    unmet = tuple(
        f"{family}-conv is no better than {family}-local here: {100 * conv:.2f} % and "
        f"{100 * local:.2f} %."
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


def _both_lengths(lineup: Lineup) -> Groups:
    return lineup.table1_both(_SIX)


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
        number=6,
        name="depth",
        statement=(
            "Depth helps less without weight sharing: d-conv over s-conv is more than d-local over "
            "s-local and than d-fc over s-fc (long training)."
        ),
        source=f"Section 2.2, {SOURCE_1}",
        gather=_long_six,
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
        gather=_short_six,
        compare=_gaps,
    ),
    Claim(
        number=10,
        name="longer training",
        statement="Shallow networks gain more from training longer than deep ones.",
        source=f"Section 2.2, {SOURCE_1}",
        gather=_both_lengths,
        compare=_longer,
    ),
)
