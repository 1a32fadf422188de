"""What follows from formulas, without runs: Tables 3 and 4 (weights by layer) and Figure 1."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from analysis.scaling.formulas import to_unicode
from analysis.scaling.scaling import SLIP_REASONS, Comparison, Slip, compare, published_spec
from figures.scaling import draw_scaling, scaling_figure
from mdl.experiments.reproduce.artefact import Artefact
from mdl.experiments.reproduce.scale import Scale
from mdl.experiments.reproduce.tables import Cell, Column, Table
from mdl.experiments.store.result_store import Results, ResultStore
from mdl.terminal.scaling_tables import format_number

_KINDS = ("conv", "local", "fc")


class ScalingTable(Artefact):
    """One of the two tables of formulas, at the width that Table 1 uses.

    Args:
        number: 3 or 4.
        family: "d" or "s".
    """

    def __init__(self, number: int, family: str) -> None:
        self.name = f"table{number}"
        self.about = f"Weights of {family}-conv, -local and -fc by layer (Table {number}); no runs."
        self._number, self._family = number, family

    def tables(self, scale: Scale, found: Results) -> Sequence[Table]:
        """The three networks below one another."""
        rows: list[dict[str, Cell]] = []
        slips: set[Slip] = set()
        for kind in _KINDS:
            spec = published_spec(f"{self._family}-{kind}")
            scaling = compare(spec)
            for row in (*scaling.layers, scaling.total):
                rows.append({"network": spec.name, **_cells(row)})
                slips |= set(row.slips)
        width = published_spec(f"{self._family}-conv").base_channels
        return [
            Table(
                name=self.name,
                title=f"Table {self._number}: weights at α = {width}, s = 32, c = 10",
                columns=(
                    Column(key="network", title="network"),
                    Column(key="layer", title="layer"),
                    Column(key="printed", title="as printed"),
                    Column(key="exact", title="exact"),
                    Column(key="differs", title="differs"),
                    Column(key="num_printed", title="= printed", kind="as printed"),
                    Column(key="num_exact", title="= exact", kind="count"),
                ),
                rows=tuple(rows),
                notes=(
                    "Without biases and BatchNorm, as in the paper; nothing depends on the scale.",
                    *(f"{slip.value}: {SLIP_REASONS[slip]}." for slip in Slip if slip in slips),
                ),
            )
        ]


def _cells(row: Comparison) -> dict[str, Cell]:
    return {
        "layer": row.layer,
        "printed": None if row.printed is None else to_unicode(row.printed),
        "exact": to_unicode(row.exact),
        "differs": ", ".join(slip.value for slip in row.slips),
        "num_printed": None if row.num_printed is None else format_number(row.num_printed),
        "num_exact": row.num_exact,
    }


class Figure1(Artefact):
    """Block diagrams, and weights against α and image side with the V100's limit."""

    name = "figure1"
    about = "Architectures, and weights against α and image side (Figure 1); no runs."

    def figures(self, scale: Scale, found: Results, store: ResultStore) -> dict[str, Figure]:
        """The one picture, the same at every scale."""
        return {self.name: draw_scaling(scaling_figure())}
