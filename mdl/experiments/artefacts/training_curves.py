"""Nonzeros of each layer of s-fc while it is trained, by training method."""

from matplotlib.figure import Figure

from figures.training_curves import LayerCurve, NonzerosHistory, draw_nonzeros_history
from mdl.experiments.artefacts.figure3 import TWINS
from mdl.experiments.artefacts.method_runs import (
    BETA_LASSO,
    CHOSEN_NETWORK,
    METHODS,
    TrainingMethod,
    method_runs,
    network_of,
)
from mdl.experiments.reproduce.artefact import Artefact, Store, stems
from mdl.experiments.reproduce.footnotes import figure_note
from mdl.experiments.reproduce.run_plan import RunPlan
from mdl.experiments.reproduce.scales import Scale
from mdl.experiments.store.result_store import Results
from mdl.experiments.store.run_result import RunResult

_SHOWN = tuple(each for each in METHODS if each.beta is not None and each.beta > 0)
"""Methods that set weights to zero."""


class TrainingCurves(Artefact):
    """Nonzeros by layer over the epochs of s-fc by β-lasso with β = 1 and 50, first seed."""

    name = "training"
    about = "Nonzeros by layer over the training of s-fc by β-lasso with β = 1 and 50."

    def collect(self, scale: Scale, runs: RunPlan) -> None:
        """Ask for the long runs."""
        for one in scale.by_data_set():
            for training in _SHOWN:
                method_runs(one, runs, training)

    def figures(self, scale: Scale, found: Results, store: Store) -> dict[str, Figure]:
        """A picture a data set, a panel a method that has a result."""
        drawn = {}
        for stem, one in stems(self.name, scale):
            runs = RunPlan(found)
            trained = [(training, method_runs(one, runs, training)) for training in _SHOWN]
            first = [(training, results[0]) for training, results in trained if results]
            histories = [_history(training, result) for training, result in first]
            if histories:
                note = (
                    f"Data: {first[0][1].data_name}. First seed. Dashed: sizes of conv1 in s-conv "
                    f"and s-local. {figure_note(one, runs, (CHOSEN_NETWORK,))}"
                )
                drawn[stem] = draw_nonzeros_history(histories, note=note)
        return drawn


def _history(training: TrainingMethod, result: RunResult) -> NonzerosHistory:
    spec = network_of(result)
    first = spec.layers[0].name
    references = {
        twin.name: twin.layers[0].num_weights for twin in (spec.twin(kind) for kind in TWINS)
    }
    epochs = tuple(point.epoch for point in result.history)
    return NonzerosHistory(
        title=f"{CHOSEN_NETWORK}, {training.label}",
        curves=tuple(
            LayerCurve(
                layer=layer,
                epochs=epochs,
                num_nonzeros=tuple(point.num_nonzeros.get(layer) for point in result.history),
                references=references if layer == first and training is BETA_LASSO else {},
            )
            for layer in result.num_weights
        ),
    )
