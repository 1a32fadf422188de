"""Figure 1: the two architectures, and how the six networks grow. No runs."""

from matplotlib.figure import Figure

from figures.scaling import draw_scaling, scaling_figure
from mdl.experiments.reproduce.artefact import Artefact, Store
from mdl.experiments.reproduce.run_plan import RunPlan
from mdl.experiments.reproduce.scales import Scale
from mdl.experiments.store.result_store import Results


class Figure1(Artefact):
    """Block diagrams, and weights against α and image side with the V100's limit."""

    name = "figure1"
    about = "Architectures, and weights against α and image side (Figure 1); no runs."

    def collect(self, scale: Scale, runs: RunPlan) -> None:
        """Nothing is trained."""

    def figures(self, scale: Scale, found: Results, store: Store) -> dict[str, Figure]:
        """The one picture, the same at every scale."""
        return {self.name: draw_scaling(scaling_figure())}
