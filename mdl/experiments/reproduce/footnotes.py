"""What must be said below a table or figure: data, reductions, seeds, and what is missing."""

from collections.abc import Sequence
from pathlib import PurePath

from mdl.experiments.engines.trial_progress import describe_trial
from mdl.experiments.reproduce.run_plan import RunPlan
from mdl.experiments.reproduce.scale import CHOSEN_NETWORK, Scale
from mdl.experiments.reproduce.scales import SCALES
from mdl.terminal.console import epochs_text
from training.spec.config import TrainConfig

SIZED = ("d-fc", "s-fc", "3-fc", "resnet18")
"""Networks whose widths say how large a scale is: their conv and local twins have the same α."""
_NAMED = 4


def data_name(scale: Scale, runs: RunPlan) -> str:
    """Name of a data set: as a result has it, else the last part of its source."""
    found = runs.results
    return found[0].data_name if found else PurePath(scale.data.source).name


def settings_text(config: TrainConfig) -> str:
    """The method with its settings.

    >>> settings_text(TrainConfig(network="s-fc", base_channels=2, l1_conv=1e-4, l1_fc=2e-5))
    'β = 50, λ = 0.0001, 2e-05, η = 0.1'
    """
    rest = f", η = {config.lr:g}" + (f", dropout {config.dropout:g}" if config.dropout else "")
    if config.method == "sgd":
        return f"SGD {config.momentum:g}, {config.weight_decay:g}{rest}"
    penalties = f"λ = {config.l1_conv:.3g}, {config.l1_fc:.3g}"
    if config.shrinkage is not None:
        conv, fc = config.shrinkage
        penalties = f"shrinkage {conv:g}, {fc:g} ({penalties})"
    return f"β = {config.beta:g}, {penalties}{rest}"


def seed_note(*seeds: Sequence[int], is_whole: bool = True) -> str:
    """How many seeds there are, and what ± means.

    Args:
        *seeds: Those asked for, a list for each kind of run.
        is_whole: Whether all runs are there.

    >>> seed_note((0, 1, 2), (0,))
    'Means over 3 seeds, or 1; ± is half the t interval at 95%; one seed has none.'
    """
    counts = [str(number) for number in dict.fromkeys(map(len, seeds))]
    if counts == ["1"]:
        return "One seed, so no interval."
    of = f"{counts[0]} seeds" + "".join(f", or {each}" for each in counts[1:])
    single = "; one seed has none" if "1" in counts or not is_whole else ""
    means = "Means over" if is_whole else "Means over at most"
    return f"{means} {of}; ± is half the t interval at 95%{single}."


def missing_note(runs: RunPlan) -> str:
    """Which runs have no result yet; "" where all have one."""
    missing = runs.missing
    if not missing:
        return ""
    named = "; ".join(map(describe_trial, missing[:_NAMED]))
    rest = f"; and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
    total = len(runs.configs)
    return f"Missing: {len(missing)} of {total} runs known so far ({named}{rest})."


def reductions(scale: Scale, networks: Sequence[str] = SIZED) -> tuple[str, ...]:
    """What is smaller here than in the paper, a sentence each; nothing at the paper's scale.

    Args:
        scale: Which.
        networks: Whose widths are named; none where widths are what is shown.

    >>> reductions(SCALES["paper"])
    ()
    """
    if scale.name == "paper":
        return ()
    paper = SCALES["paper"]
    counts = (scale.data.num_train, scale.data.num_test)
    train, test = ("all" if each is None else f"{each:,}" for each in counts)
    images = f"{train} training and {test} test images" if any(counts) else "all images"
    side = scale.data.image_size
    size = f", {side} x {side} pixels" if side else ""
    widths = ", ".join(
        f"{name} {'h' if name == '3-fc' else 'α'} = {scale.widths[name]:,} "
        f"(paper: {paper.widths[name]:,})"
        for name in networks
    )
    augmentation = scale.config("s-fc").augmentation
    parts = ["flip"] if augmentation.flip else []
    parts += [f"crop {augmentation.crop}"] if augmentation.crop else []
    return (
        *([f"Widths: {widths}."] if widths else []),
        f"Epochs: {scale.short_epochs} for the paper's {paper.short_epochs}, "
        f"{scale.long_epochs} for its {paper.long_epochs}.",
        f"Images: {images}{size}.",
        f"Augmentation: {' and '.join(parts) or 'none'}, no cutout and no policy.",
    )


def scale_note(scale: Scale, networks: Sequence[str] = SIZED) -> str:
    """What the scale reduces, in one line.

    Args:
        scale: Which.
        networks: Whose widths are named.
    """
    reduced = reductions(scale, networks)
    if not reduced:
        return f"Scale: {scale.name}; sizes as in the paper. Arithmetic: {scale.precision}."
    return f"Scale: {scale.name}, reduced. {' '.join(reduced)} Arithmetic: {scale.precision}."


def tuned_note(scale: Scale, quantity: str, network: str = CHOSEN_NETWORK) -> str:
    """Whether validation chose the settings of SGD, and that it was once for all values.

    Args:
        scale: Which.
        quantity: What the values are of, as "size".
        network: One of those that are shown.
    """
    trials = scale.trials(network, "sgd")
    if len(trials) == 1:
        return "Settings of SGD not chosen by validation."
    length = epochs_text(trials[0].epochs)
    return f"Settings chosen by validation once, after {length}, for every {quantity}."


def figure_note(scale: Scale, *runs: RunPlan, networks: Sequence[str] = SIZED) -> str:
    """What stands below a figure: the reductions, and how many runs are missing.

    Args:
        scale: Which.
        *runs: Of each data set that the figure shows.
        networks: Whose widths are named.
    """
    missing = sum(len(each.missing) for each in runs)
    total = sum(len(each.configs) for each in runs)
    lacking = f" Missing: {missing} of {total} runs known so far." if missing else ""
    return scale_note(scale, networks) + lacking
