"""A claim as an experiment: groups of runs shared with tables and figures, and comparisons."""

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mdl.experiments.claims.claim import Comparison
from mdl.experiments.claims.statistics import Sample, contrast
from mdl.experiments.reproduce.footnotes import settings_text
from mdl.experiments.reproduce.paper_numbers import (
    LONG_EPOCHS,
    SHORT_EPOCHS,
    SOURCE_1,
    SOURCE_2,
    TABLE_1,
    TABLE_2,
    paper_data_set,
)
from mdl.experiments.reproduce.run_plan import RunPlan, kernel_steps, size_steps
from mdl.experiments.reproduce.scale import Scale
from mdl.experiments.store.run_result import RunResult
from training.spec.config import TrainConfig

USUAL_BETA = 50.0
PERMUTATION_SEED = 0
LENGTHS = SHORT, LONG = ("short", "long")
LEARNED = 0.2
"""Training accuracy below which a network has not learned: twice chance with ten classes."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """Runs that differ by their seed alone.

    Attributes:
        label: As "s-fc, β = 50".
        runs: Those that there are.
        published: Test accuracy that the paper prints, a fraction; None where it prints none.
        source: Where it does.
    """

    label: str
    runs: tuple[RunResult, ...]
    published: float | None = None
    source: str = ""

    @property
    def seeds(self) -> tuple[int, ...]:
        """Of the runs that there are."""
        return tuple(run.config.seed for run in self.runs)

    @property
    def train_accuracy(self) -> float:
        """Mean over the runs, without augmentation."""
        return sum(run.train.accuracy for run in self.runs) / len(self.runs)

    @property
    def num_weights(self) -> int:
        """Of one run; all have the same."""
        return self.runs[0].total_weights

    def quantity(self, measure: Callable[[RunResult], float]) -> Sample:
        """A number of each run that is not a share of images."""
        return Sample(values={run.config.seed: measure(run) for run in self.runs})

    @property
    def test(self) -> Sample:
        """Test accuracies."""
        return Sample(
            values={run.config.seed: run.test.accuracy for run in self.runs},
            num_images=self.runs[0].test.num_samples,
            answers=np.mean([run.right_tests for run in self.runs], axis=0),
        )

    @property
    def validation(self) -> Sample:
        """Accuracies on the images held out, where there are any in every run.

        Raises:
            ValueError: A run held out none.
        """
        counts = {run.config.seed: run.validation for run in self.runs}
        accuracies = {seed: count.accuracy for seed, count in counts.items() if count is not None}
        if len(accuracies) < len(counts):
            raise ValueError(f"a run of {self.label} held out no validation images")
        num_images = next(count.num_samples for count in counts.values() if count is not None)
        return Sample(values=accuracies, num_images=num_images)


Groups = Mapping[str, Group]


class Lineup:
    """Asks a `RunPlan` for groups of runs, with the settings that the tables and figures use.

    Args:
        scale: Of one data set.
        runs: Gathers what is needed, and knows what is there.
    """

    def __init__(self, scale: Scale, runs: RunPlan) -> None:
        self.scale = scale
        self._runs = runs
        self._column = paper_data_set(scale.data.source)

    def table1(self, network: str, *, long: bool, permuted: bool = False) -> Group:
        """A network by SGD, as in Table 1."""
        pair = None if self._column is None or permuted else TABLE_1[network][self._column]
        percent = None if pair is None else pair.long if long else pair.short
        label = f"{network}, permuted" if permuted else network
        settings = self._runs.chosen(self.scale, network, "sgd")
        return self._group(label, settings, long=long, permuted=permuted, percent=percent)

    def table1_both(self, networks: Sequence[str]) -> Groups:
        """Networks of `table1` after short and after long training, as "s-fc, short"."""
        return {
            f"{network}, {length}": self.table1(network, long=length == LONG)
            for length in LENGTHS
            for network in networks
        }

    def table2(self, beta: float | None, *, long: bool = True, permuted: bool = False) -> Group:
        """s-fc by β-lasso, or by SGD where β is None, with chosen settings, as in Table 2."""
        method = "sgd" if beta is None else "beta-lasso"
        settings = self._runs.chosen(
            self.scale, "s-fc", "sgd" if beta is None else "beta-lasso", beta=beta
        )
        percent = None
        if self._column is not None and long and not permuted:
            row = next(
                row
                for row in TABLE_2
                if (row.network, row.method, row.beta) == ("s-fc", method, beta)
            )
            percent = row.accuracy[self._column]
        label = "s-fc by SGD" if beta is None else f"s-fc by β-lasso, β = {beta:g}"
        return self._group(
            f"{label}, permuted" if permuted else label,
            settings,
            long=long,
            permuted=permuted,
            percent=percent,
            source=SOURCE_2,
        )

    def sizes(self) -> Groups:
        """Every size of the four families by SGD, as in Figure 2."""
        return by_label(
            Group(
                label=f"{step.network}, {'h' if step.network == '3-fc' else 'α'} = {step.width}",
                runs=tuple(step.results),
            )
            for step in size_steps(self.scale, self._runs)
        )

    def kernels(self) -> Groups:
        """ResNet18 with every kernel size, by both methods, as in Figure 5."""
        return by_label(
            Group(
                label=f"resnet18, kernel {step.kernel_size}, "
                + ("SGD" if step.method == "sgd" else "β-lasso"),
                runs=tuple(step.results),
            )
            for step in kernel_steps(self.scale, self._runs)
        )

    def cells(self, beta: float) -> Groups:
        """The trials of s-fc among which validation chooses: a group a setting."""
        results = self._runs.need(self.scale.trials("s-fc", "beta-lasso", beta=beta))
        by_setting: dict[TrainConfig, list[RunResult]] = {}
        for result in results:
            by_setting.setdefault(replace(result.config, seed=0), []).append(result)
        return by_label(
            Group(label=settings_text(setting), runs=tuple(runs))
            for setting, runs in by_setting.items()
        )

    def _group(
        self,
        label: str,
        settings: TrainConfig | None,
        *,
        long: bool,
        permuted: bool,
        percent: float | None,
        source: str = SOURCE_1,
    ) -> Group:
        if settings is not None and permuted:
            data = replace(settings.data, permute_pixels=PERMUTATION_SEED)
            settings = replace(settings, data=data)
        scale = self.scale
        runs = self._runs.over_seeds(
            settings,
            epochs=scale.long_epochs if long else scale.short_epochs,
            seeds=scale.long_seeds if long else scale.short_seeds,
        )
        epochs = LONG_EPOCHS if long else SHORT_EPOCHS
        return Group(
            label=label,
            runs=tuple(runs),
            published=None if percent is None else percent / 100,
            source="" if percent is None else f"{source}, {epochs} epochs",
        )


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What a claim's runs say.

    Attributes:
        comparisons: All that must hold.
        unmet: A sentence for each condition without which the comparisons make no sense here.
        notes: Further sentences.
    """

    comparisons: tuple[Comparison, ...]
    unmet: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One claim of the paper.

    Attributes:
        number: From 1.
        name: Short.
        statement: The claim in one sentence.
        source: Where the paper makes it.
        gather: Its groups of runs by label.
        compare: What is compared; called once every group has a run.
        must_learn: Whether every network must have learned its training images.
        needs_all: Whether every run must be there, and not only one of each group.
    """

    number: int
    name: str
    statement: str
    source: str
    gather: Callable[[Lineup], Groups]
    compare: Callable[[Groups], Findings]
    must_learn: bool = True
    needs_all: bool = False


def by_label(groups: Iterable[Group]) -> Groups:
    """Groups by their labels, in order."""
    return {group.label: group for group in groups}


def accuracy_effect(
    label: str,
    terms: Sequence[tuple[float, Group]],
    *,
    above: float = 0.0,
    within: float | None = None,
    published: float | None = None,
    source: str = "",
) -> Comparison:
    """Σ coefficient · test accuracy, beside the same sum of the paper's figures.

    Args:
        label: What is compared.
        terms: Coefficients and groups.
        above: What the effect must exceed, a fraction.
        within: The margin of an equivalence test, a fraction; None for none.
        published: The paper's figure where it is not a sum of its tables' accuracies.
        source: Where that is.
    """
    printed = [group.published for _, group in terms]
    if published is None and None not in printed:
        published = math.fsum(
            coefficient * value
            for (coefficient, _), value in zip(terms, printed, strict=True)
            if value is not None
        )
        source = "; ".join(dict.fromkeys(group.source for _, group in terms))
    return Comparison(
        label=label,
        measured=contrast([(coefficient, group.test) for coefficient, group in terms]),
        above=above,
        within=within,
        published=published,
        source=source,
    )


def steps_down(*groups: Group) -> tuple[Comparison, ...]:
    """An order, best first, as the comparisons of neighbours: all must hold."""
    return tuple(
        accuracy_effect(f"{upper.label} over {lower.label}", [(1, upper), (-1, lower)])
        for upper, lower in itertools.pairwise(groups)
    )
