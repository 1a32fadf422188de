"""`mdl compress`: what it works on, a checkpoint or a recipe, and what it leaves and prints."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from analysis.bounds.bounds import binomial_tail, percent_up
from analysis.certify.prior import SPLIT, Prior, kind_of, load_prior, load_samples
from analysis.codes.bit_file import PRIOR_FILE, save_codeword
from analysis.codes.checkpoint_message import message_network
from analysis.compress.compress import (
    Compression,
    CompressionSettings,
    Progress,
    compress_from_prior,
    compress_from_scratch,
    compress_state,
)
from analysis.compress.qat_training import QATSettings
from analysis.compress.recipes import RECIPES, CompressionRecipe, find_recipe
from analysis.quantize.formats import NumberFormat
from mdl.terminal import console
from mdl.terminal.answers import bound_answer
from training.checkpoint.checkpoint import (
    Checkpoint,
    DataRecord,
    load_checkpoint,
    restore_network,
    save_checkpoint,
)
from training.data.image_set import ImageSet
from training.data.input_map import InputMap
from training.data.loading import load_dataset, split_validation
from training.data.telling import count_repeated, repeats_line, tell_dataset
from training.errors import DataError
from training.networks.models import fold_batch_norm
from training.run.evaluate import count_errors, evaluation_data
from training.run.provenance import collect_versions
from training.spec.architectures import NetworkSpec
from training.spec.config import DataConfig
from training.spec.normalization import fixed_normalization
from training.system.files import write_text_atomically

BITS_FILE = "network.mdl"
CHECKPOINT_FILE = "checkpoint.pt"
REPORT_FILE = "compression.json"
PLOT_FILE = "compression.png"
_LONGER = 3
"""Times as many epochs are suggested where the bound is no better than a guess."""


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What the command line asks for; None leaves the default.

    Attributes:
        epochs: Of quantization-aware training.
        levels: L to choose from.
        batch_size: Images per step.
        lr: Learning rate of it.
        trials: Single changes tried at the end.
        width: α of a recipe's network.
        seed: Of everything random.
        delta: δ.
    """

    epochs: int | None
    levels: Sequence[int] | None
    batch_size: int | None
    lr: float | None
    trials: int | None
    width: int | None
    seed: int
    delta: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Job:
    """A compression that is ready to run.

    Attributes:
        spec: The network.
        state: Its folded tensors; None to train from scratch.
        images: The m training images.
        inputs: What they are put through.
        test: Test images.
        record: The data set, for the compressed checkpoint.
        number_format: R_b.
        settings: How.
        made_by: Settings that the compressed checkpoint is to name, plain values.
        prior: What training starts at and the bits are relative to, or None.
        kind: Which kind the prior is, as a certificate has it; "" without one.
    """

    spec: NetworkSpec
    state: dict[str, Tensor] | None
    images: ImageSet
    inputs: InputMap
    test: ImageSet
    record: DataRecord
    number_format: NumberFormat
    settings: CompressionSettings
    made_by: dict[str, Any]
    prior: Prior | None = None
    kind: str = ""

    def run(self, progress: Progress) -> Compression:
        """Do it."""
        given: dict[str, Any] = {
            "number_format": self.number_format,
            "settings": self.settings,
            "progress": progress,
        }
        if self.prior is not None:
            return compress_from_prior(self.spec, self.prior.codeword, self.images, **given)
        if self.state is None:
            return compress_from_scratch(self.spec, self.images, self.inputs, **given)
        return compress_state(self.spec, self.state, self.images, self.inputs, **given)


def plan_checkpoint(
    path: Path, data: str | None, number_format: NumberFormat, wishes: Wishes
) -> Job:
    """A job from a checkpoint.

    Raises:
        CheckpointError: It cannot be read, or does not name its data.
        DataError: The data cannot be loaded, or are others.
        ValueError: A setting outside its range.
    """
    checkpoint = load_checkpoint(path)
    images = evaluation_data(checkpoint, source=data)
    chosen = {name: value for name, value in asdict(wishes).items() if value is not None}
    trained = {name: value for name, value in checkpoint.config.items() if name != "data"}
    return Job(
        spec=checkpoint.network,
        state=dict(fold_batch_norm(restore_network(checkpoint)).state_dict()),
        images=images.train,
        inputs=images.inputs,
        test=images.test,
        record=checkpoint.known_data,
        number_format=number_format,
        settings=CompressionSettings.continued(**chosen),
        made_by={"command": "mdl compress", **chosen, "trained": trained},
    )


def plan_recipe(name: str, config: DataConfig, number_format: NumberFormat, wishes: Wishes) -> Job:
    """A job from a recipe: all training images that are not held out are the m samples.

    Raises:
        DataError: The data cannot be loaded.
        ValueError: An unknown recipe, or a setting outside its range.
    """
    recipe = find_recipe(name)
    dataset = load_dataset(config)
    for line in tell_dataset(dataset):
        console.stderr().print(line, markup=False)
    images, held_out = split_validation(dataset.train, config.validation, seed=config.seed)
    spec = NetworkSpec(
        name=recipe.network,
        image_size=dataset.image_size,
        num_classes=dataset.num_classes,
        in_channels=dataset.in_channels,
        base_channels=wishes.width or recipe.base_channels,
    )
    return Job(
        spec=spec,
        state=None,
        images=images,
        inputs=InputMap(fixed_normalization(dataset.in_channels)),
        test=dataset.test,
        record=DataRecord.of(
            config, dataset, num_samples=len(images), num_validation=len(held_out)
        ),
        number_format=number_format,
        settings=_recipe_settings(recipe, wishes),
        made_by=_made_by(recipe, spec, wishes),
    )


def plan_prior(
    name: str, config: DataConfig, number_format: NumberFormat, wishes: Wishes, path: Path
) -> Job:
    """A job from a prior, by the settings of a recipe; the network is the prior's.

    The m samples are the images that a split prior left out, else all training images.

    Raises:
        CheckpointError: The prior cannot be read.
        DataError: The data cannot be loaded, are not for the prior's network, or are images that
            the prior may have seen.
        ValueError: An unknown recipe, or a setting outside its range.
    """
    recipe = find_recipe(name)
    prior = load_prior(path, number_format)
    own = prior.codeword.message.network
    config = replace(config, image_size=config.image_size or own.image_size)
    data, images = load_samples(prior, config)
    kind = kind_of(prior.origin, data)
    spec = replace(own, num_classes=data.num_classes)
    ours, theirs = ((each.in_channels, each.image_size) for each in (data, own))
    if ours != theirs:
        raise DataError(
            f"{data.name} has images of {ours[0]}x{ours[1]}x{ours[1]}, but the prior takes "
            f"{theirs[0]}x{theirs[1]}x{theirs[1]}; train a prior on images of that kind"
        )
    # Training sees all images: those of the samples, and the rest by way of a split prior.
    num_train = data.num_train if kind == SPLIT else len(images.samples)
    record = DataRecord(
        config=asdict(replace(config, validation=0, seed=data.seed)),
        name=data.name,
        fingerprint=data.fingerprint,
        num_samples=num_train,
        num_validation=0,
        num_test=len(images.test),
        image_size=data.image_size,
        in_channels=data.in_channels,
        num_classes=data.num_classes,
        class_names=images.class_names,
    )
    return Job(
        spec=spec,
        state=None,
        images=images.samples,
        inputs=prior.codeword.message.known_inputs,
        test=images.test,
        record=record,
        number_format=number_format,
        settings=_recipe_settings(recipe, wishes),
        made_by=_made_by(recipe, spec, wishes) | {"prior_sha256": prior.codeword.sha256},
        prior=prior,
        kind=kind,
    )


def _recipe_settings(recipe: CompressionRecipe, wishes: Wishes) -> CompressionSettings:
    training = QATSettings(
        epochs=wishes.epochs or recipe.epochs,
        batch_size=wishes.batch_size or recipe.batch_size,
        lr=wishes.lr or recipe.lr,
        seed=wishes.seed,
    )
    return CompressionSettings(
        training=training,
        levels=tuple(wishes.levels or (recipe.max_level,)),
        num_trials=recipe.num_trials if wishes.trials is None else wishes.trials,
        penalty_factor=recipe.penalty_factor,
        delta=wishes.delta,
    )


def _made_by(recipe: CompressionRecipe, spec: NetworkSpec, wishes: Wishes) -> dict[str, Any]:
    """What `mdl compress` was asked for, to be asked for again."""
    settings = _recipe_settings(recipe, wishes)
    training = settings.training
    return {
        "command": "mdl compress",
        "recipe": recipe.name,
        "width": spec.base_channels,
        "levels": list(settings.levels),
        "epochs": training.epochs,
        "batch_size": training.batch_size,
        "lr": training.lr,
        "trials": settings.num_trials,
        "seed": training.seed,
        "delta": settings.delta,
    }


def compressed_checkpoint(job: Job, compression: Compression) -> Checkpoint:
    """A checkpoint of the decoded network, folded, with the data set that it belongs to."""
    message = compression.codeword.message
    return Checkpoint(
        network=job.spec,
        state=message.state,
        data=job.record,
        normalization=job.inputs.normalization,
        versions=collect_versions(),
        metrics={
            "train_errors": compression.errors.num_errors,
            "num_samples": compression.errors.num_samples,
            "description_bits": compression.codeword.num_bits,
            "bound": compression.bound,
            "compress": job.made_by,
        },
    )


def compression_report(job: Job, compression: Compression) -> dict[str, object]:
    """All that is known of it, as plain values for JSON."""
    message = compression.codeword.message
    report: dict[str, object] = compression.to_dict()
    report["test_errors"] = count_errors(message_network(message), job.test, message.known_inputs)
    report["num_test"] = len(job.test)
    report["num_repeated"] = count_repeated(job.images)
    report["network"] = asdict(job.spec)
    report["data"] = job.record.name
    report["training"] = asdict(job.settings.training)
    report["versions"] = collect_versions()
    if job.prior is not None:
        own = job.prior.codeword
        report["prior"] = {"kind": job.kind, "sha256": own.sha256, "description_bits": own.num_bits}
    return report


def write_compression(
    out: Path, job: Job, compression: Compression, report: dict[str, object], *, plot: bool
) -> None:
    """Write the folder, each file whole, the bits first.

    Raises:
        OSError: It cannot be written.
    """
    out.mkdir(exist_ok=True)
    if job.prior is not None and compression.codeword.prior_sha256 is not None:
        save_codeword(job.prior.codeword, out / PRIOR_FILE)
    save_codeword(compression.codeword, out / BITS_FILE)
    save_checkpoint(compressed_checkpoint(job, compression), out / CHECKPOINT_FILE)
    text = json.dumps(report, indent=2, sort_keys=True, allow_nan=False) + "\n"
    write_text_atomically(out / REPORT_FILE, text)
    if plot:
        _plot(out / PLOT_FILE, job, compression)


def _plot(path: Path, job: Job, compression: Compression) -> None:
    from figures.compression import CompressionFigure, plot_compression  # noqa: PLC0415
    from figures.style.look import figure_style, literal, save_figure  # noqa: PLC0415

    num_samples = compression.errors.num_samples
    with figure_style():
        figure = plot_compression(
            CompressionFigure(
                title=literal(f"{job.spec.name} on {job.record.name}"),
                bits=[point.description_bits for point in compression.curve],
                errors=[point.num_errors / num_samples for point in compression.curve],
                bounds=[point.bound for point in compression.curve],
                num_samples=num_samples,
                delta=compression.delta,
            )
        )
        save_figure(figure, path)


def print_compression(
    out: Path,
    job: Job,
    compression: Compression,
    report: dict[str, object],
    *,
    checkpoint: Path | None,
    given: Mapping[str, object],
) -> None:
    """Print the bound, how each stage ended, the test errors, and what to run next.

    Args:
        out: The folder.
        job: What was compressed.
        compression: What came out.
        report: From `compression_report`.
        checkpoint: What it came from; None for a recipe.
        given: The options as the user gave them, by name; None or a default where not.
    """
    best: dict[str, dict[str, Any]] = {}
    points: list[dict[str, Any]] = report["curve"]  # type: ignore[assignment]
    for point in points:
        stage = point["stage"]
        if stage not in best or point["bound"] <= best[stage]["bound"]:
            best[stage] = point
    m = len(job.images)
    delta: Any = report["delta"]
    answer, why = bound_answer(
        f"{job.spec.name} on {job.record.name}",
        compression.bound,
        compression.errors,
        bits=compression.codeword.num_bits,
        code=f"{compression.codeword.code} code",
        delta=delta,
        num_classes=job.spec.num_classes,
        way_out=" Longer training and fewer levels help, or a network that is short from the start."
        if checkpoint
        else " Longer training helps.",
    )
    num_test = report["num_test"]
    tested = [f"Test errors: {report['test_errors']:,} of {num_test:,}."] if num_test else []
    num_repeated: Any = report["num_repeated"]
    tested += filter(None, [repeats_line(num_repeated, m), _prior_line(job, compression)])
    console.print_answer(
        answer,
        *tested,
        f"Written: {out}",
        why=why,
        table=console.Rows(
            columns=("stage, at its best", "epoch", "bits", "training errors", "bound"),
            rows=[
                (
                    stage,
                    f"{point['epoch']:,}",
                    f"{point['description_bits']:,}",
                    f"{point['num_errors'] / m:.2%}",
                    percent_up(point["bound"]),
                )
                for stage, point in best.items()
            ],
        ),
        next_=_next_commands(
            out,
            job,
            checkpoint=checkpoint,
            given=given,
            is_telling=compression.bound < 1 - 1 / job.spec.num_classes,
        ),
    )


def _prior_line(job: Job, compression: Compression) -> str:
    """What is to be said of the prior; "" without one."""
    if job.prior is None:
        return ""
    codeword, own = compression.codeword, job.prior.codeword.num_bits
    if codeword.prior_sha256 is None:
        return "The bits are fewer without the prior, and are relative to none."
    errors = compression.errors
    counted = binomial_tail(
        errors.num_errors, errors.num_samples, codeword.num_bits + own, compression.delta
    )
    return (
        f"Relative to a prior ({job.kind}) of {own:,} bits; with these counted in, the bound is "
        f"{percent_up(counted)}."
    )


def _next_commands(
    out: Path, job: Job, *, checkpoint: Path | None, given: Mapping[str, object], is_telling: bool
) -> list[str]:
    """To certify the bits, or, where they prove no more than a guess does, to get fewer.

    What the user gave stays; a recipe has its own epochs where three times as many are not more.
    """
    if is_telling:
        images, cert = _data_options(job, given["data"]), console.new_name(f"{out}-cert")
        images["prior"] = given["prior"] if (out / PRIOR_FILE).exists() else None
        delta = given["delta"]
        return [console.command("certify", out / BITS_FILE, **images, delta=delta, out=cert)]
    epochs = _LONGER * job.settings.training.epochs
    again = dict(given)
    if checkpoint is not None:
        more: dict[str, object] = again | {"epochs": epochs, "levels": 1}
        longer = console.command("compress", checkpoint, **more, out=console.new_name(str(out)))
        recipe = next(iter(RECIPES))
        config = job.record.config
        tight = {"data": given["data"] or config["source"], "label_column": config["label_column"]}
        kept = {name: given[name] for name in ("delta", "seed", "threads")}
        short = console.new_name("tight")
        return [longer, console.command("compress", recipe=recipe, **tight, **kept, out=short)]
    is_more = epochs > find_recipe(str(given["recipe"])).epochs
    again["epochs"] = epochs if is_more else None
    return [console.command("compress", **again, out=console.new_name(str(out)))]


def _data_options(job: Job, data: object) -> dict[str, object]:
    """The options by which `mdl certify` finds the same m images for a file of bits."""
    config = job.record.config
    chosen = {name: config[name] or None for name in ("num_train", "num_test", "validation")}
    chosen["label_column"] = config["label_column"]
    return {"data": data or config["source"], **chosen, "data_seed": config["seed"] or None}
