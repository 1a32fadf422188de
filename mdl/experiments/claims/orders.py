"""Claims 1, 2 and 11: which network and which training method is better."""

from mdl.experiments.claims.experiment import Claim, Findings, accuracy_effect, by_label, steps_down
from mdl.experiments.claims.groups import LENGTHS, USUAL_BETA, Groups, Lineup
from mdl.experiments.reproduce.paper_numbers import SOURCE_1, SOURCE_2, TABLE_2

_OTHER_BETAS = (1.0, 0.0)


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


def _order_groups(lineup: Lineup) -> Groups:
    return by_label(
        lineup.table1("s-conv", long=True),
        lineup.table1("s-local", long=True),
        lineup.table2(USUAL_BETA),
        lineup.table2(None),
    )


def _order(groups: Groups) -> Findings:
    return Findings(comparisons=steps_down(*groups.values()), notes=(svhn_note_on_order(),))


def _beta_groups(lineup: Lineup) -> Groups:
    betas = (USUAL_BETA, *_OTHER_BETAS, None)
    return by_label(*(lineup.table2(beta) for beta in betas))


def _betas(groups: Groups) -> Findings:
    return Findings(comparisons=steps_down(*groups.values()), notes=(svhn_note_on_betas(),))


def _dense_groups(lineup: Lineup) -> Groups:
    return lineup.table1_both(("s-fc", "3-fc", "d-fc"))


def _dense(groups: Groups) -> Findings:
    return Findings(
        comparisons=tuple(
            accuracy_effect(
                f"s-fc over {other}, {length} training",
                [(1, groups[f"s-fc, {length}"]), (-1, groups[f"{other}, {length}"])],
            )
            for length in LENGTHS
            for other in ("3-fc", "d-fc")
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
        gather=_order_groups,
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
        gather=_beta_groups,
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
        gather=_dense_groups,
        compare=_dense,
    ),
)
