"""Names of the tables and figures, to be checked before anything heavy is loaded."""

from collections.abc import Sequence

ALL = "all"
NAMES = (
    "table1",
    "table2",
    "table3",
    "table4",
    "figure1",
    "figure2",
    "figure3",
    "figure4",
    "figure5",
    "figure6",
    "figure7",
    "figure8",
    "figure9",
    "mdl-view",
    "ledger",
    "locality",
    "training",
    "screening",
    "claims",
)
"""In the order in which `all` draws them."""


def chosen_names(names: Sequence[str]) -> list[str]:
    """The names given, each once and in order; `all` stands for every one.

    Raises:
        ValueError: A name that there is not.

    >>> chosen_names(["figure3", "table2", "figure3"])
    ['table2', 'figure3']
    """
    for name in names:
        if name not in (*NAMES, ALL):
            raise ValueError(f"NAME must be one of {', '.join((*NAMES, ALL))}, not {name!r}")
    return [name for name in NAMES if name in names or ALL in names]
