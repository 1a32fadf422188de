"""The claims as one of the artefacts of a reproduction."""

from collections.abc import Sequence

from mdl.experiments.claims.catalogue import collect, judge
from mdl.experiments.claims.verdict_tables import verdict_tables
from mdl.experiments.reproduce.artefact import Artefact
from mdl.experiments.reproduce.footnotes import scale_note
from mdl.experiments.reproduce.run_plan import RunPlan
from mdl.experiments.reproduce.scale import Scale
from mdl.experiments.reproduce.tables import Table
from mdl.experiments.store.results import Results


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
