"""Minimise the certified bound: start, quantization-aware training, refine, encode, count.

What is minimised is the binomial tail of the very bits and errors that a certificate has. Training
can only follow it through a rate penalty (`analysis.compress.rate_penalty`), so the bound is
measured along the way, and the network of the lowest one is kept.
"""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from typing import Any

from torch import Tensor

from analysis.bounds.bounds import binomial_tail
from analysis.certify.errors import count_certified_errors
from analysis.certify.prior import split_bits
from analysis.codes import RELATIVE
from analysis.codes.bit_file import decoded_codeword
from analysis.codes.canonical_form import canonical_form
from analysis.codes.checkpoint_message import message_network
from analysis.codes.message import NetworkMessage
from analysis.codes.network_code import Codeword, encode_network
from analysis.codes.prior import adapt_prior
from analysis.compress.close_images import kept_bytes
from analysis.compress.compression import Compression, CompressionSettings, CurvePoint, Progress
from analysis.compress.normalized_qat import new_normalized_network
from analysis.compress.qat_network import QATNetwork, new_qat_network
from analysis.compress.qat_training import (
    EVALUATION_BATCH,
    QATTraining,
    count_wrong,
    evaluate_quantized,
    input_batches,
)
from analysis.compress.rate_penalty import BoundPenalty, score
from analysis.compress.refine import Refinement
from analysis.compress.run_file import RunFile, put_under, take_from
from analysis.compress.start import prior_network, qat_network, try_starts
from analysis.quantize.formats import NumberFormat, find_format
from training.checkpoint.checkpoint import Checkpoint, restore_network
from training.data.image_set import ImageSet
from training.data.input_map import InputMap
from training.networks.models import fold_batch_norm
from training.run.evaluate import answering_bytes, evaluation_data
from training.spec.architectures import NetworkSpec
from training.system.memory import check_memory

_NUM_POINTS = 24
_BYTES_A_WEIGHT = 120
"""Memory for each weight: latents, their gradients, Adam's means, the graph of the rate, copies."""
_START_IMAGES = 5_000
_MAX_REFINED = 20_000
"""Networks of more weights are not refined: each change tried is a pass over images."""


def compress(
    checkpoint: Checkpoint,
    *,
    data: str | None = None,
    bits: int | None = 8,
    number_format: str | None = None,
    progress: Progress | None = None,
    **settings: Any,
) -> Compression:
    """Shorten a trained network where that lowers its certified bound, as `mdl compress` does.

    Args:
        checkpoint: The network; it names its m training images.
        data: Where the same images lie now; None looks where they lay in training.
        bits: b, bits a number: 32, 16 or 8, for the numbers that are not levels.
        number_format: The set of numbers by its name, such as "e4m3fn", in place of `bits`.
        progress: Told of every step.
        **settings: Those of `CompressionSettings.continued`: epochs, levels, delta, ...

    Raises:
        CheckpointError: The checkpoint does not name its data.
        DataError: The images cannot be loaded, or are not those of the checkpoint.
        ValueError: A setting outside its range.

    >>> from training.run.train import train
    >>> from training.spec.config import DataConfig
    >>> images = DataConfig(image_size=8, num_train=200, num_test=50)
    >>> trained = train("s-conv", data=images, base_channels=1, epochs=1, batch_size=50)
    >>> short = compress(trained, epochs=1, batch_size=50, levels=(1,))
    >>> short.codeword.num_bits < 100_000, short.bound <= 1
    (True, True)
    """
    images = evaluation_data(checkpoint, source=data)
    return compress_state(
        checkpoint.network,
        dict(fold_batch_norm(restore_network(checkpoint)).state_dict()),
        images.train,
        images.inputs,
        number_format=find_format(None if number_format else bits, number_format),
        settings=CompressionSettings.continued(**settings),
        progress=progress,
    )


def compress_state(
    spec: NetworkSpec,
    state: dict[str, Tensor],
    images: ImageSet,
    inputs: InputMap,
    *,
    number_format: NumberFormat,
    settings: CompressionSettings,
    progress: Progress | None = None,
    file: RunFile | None = None,
) -> Compression:
    """Compress a trained network.

    Args:
        spec: The network.
        state: Its folded tensors.
        images: All m training images, on the CPU.
        inputs: What they are put through.
        number_format: R_b.
        settings: How.
        progress: Told of every step.
        file: Where the state is saved, and what it holds is continued; None to save nothing.

    Raises:
        StoppedError: `file` was asked to stop.
    """
    _check_memory(spec, len(images))
    run = _Run(images, inputs, number_format, settings, progress=progress, file=file)
    if not run.starts:
        starts = try_starts(
            spec,
            state,
            number_format,
            ImageSet(images.images[:_START_IMAGES], images.labels[:_START_IMAGES]),
            inputs,
            num_samples=len(images),
            delta=settings.delta,
            levels=settings.levels,
            on_batch=run.pause,
        )
        run.starts = [asdict(start) for start in starts]
    best = min(run.starts, key=lambda start: float(start["score"]))
    chosen = {name: best[name] for name in ("max_level", "threshold")}
    return run.finish(qat_network(spec, state, number_format, **chosen))


def compress_from_scratch(
    spec: NetworkSpec,
    images: ImageSet,
    inputs: InputMap,
    *,
    number_format: NumberFormat,
    settings: CompressionSettings,
    progress: Progress | None = None,
    file: RunFile | None = None,
) -> Compression:
    """Train a network in levels from the beginning. Arguments as `compress_state` has them."""
    _check_memory(spec, len(images))
    begin = new_normalized_network if settings.normalized else new_qat_network
    level, seed = settings.levels[0], settings.training.seed
    network = begin(spec, max_level=level, seed=seed, round_scale=number_format.round)
    run = _Run(images, inputs, number_format, settings, progress=progress, file=file)
    return run.finish(network)


def compress_from_prior(
    spec: NetworkSpec,
    prior: Codeword,
    images: ImageSet,
    *,
    is_split: bool = False,
    number_format: NumberFormat,
    settings: CompressionSettings,
    progress: Progress | None = None,
    file: RunFile | None = None,
) -> Compression:
    """Train a network in levels from a prior on, so that few numbers differ from the prior's.

    Args:
        spec: The network: the prior's, but for its number of classes.
        prior: A network in levels, fixed before the images; its inputs are taken too.
        images: The m images, which the prior has not seen.
        is_split: Whether the prior is a split one, whose bits count by `split_bits`.
        number_format: R_b.
        settings: How; the first of the levels, or what the prior has if that is more.
        progress: Told of every step.
        file: As `compress_state` has it.

    Raises:
        StoppedError: `file` was asked to stop.
        ValueError: The prior does not fit the network, or is not in levels.
    """
    _check_memory(spec, len(images))
    state = adapt_prior(prior.message, spec, number_format)
    network = prior_network(spec, state, number_format, max_level=settings.levels[0])
    inputs = prior.message.known_inputs
    run = _Run(
        images,
        inputs,
        number_format,
        settings,
        progress=progress,
        file=file,
        prior=prior,
        counted=split_bits if is_split else float,
    )
    return run.finish(network)


def _check_memory(spec: NetworkSpec, num_images: int) -> None:
    needed = _BYTES_A_WEIGHT * spec.num_weights
    needed += answering_bytes(spec, min(EVALUATION_BATCH, num_images))
    if spec.num_weights <= _MAX_REFINED:
        needed += kept_bytes(spec, num_images)
    check_memory(needed, f"to compress {spec.name} with {spec.num_weights:,} weights")


class _Run:
    """One compression: the curve so far and the best network on it.

    All that it comes to follows from `_state`, whenever that is asked for.
    """

    def __init__(
        self,
        images: ImageSet,
        inputs: InputMap,
        number_format: NumberFormat,
        settings: CompressionSettings,
        *,
        progress: Progress | None,
        file: RunFile | None,
        prior: Codeword | None = None,
        counted: Callable[[int], float] = float,
    ) -> None:
        # What bits that are relative to the prior count as in a bound is `counted` of them.
        self.prior, self.counted = prior, counted
        self.images, self.inputs, self.number_format = images, inputs, number_format
        self.settings, self.progress = settings, progress or Progress()
        self.file = file
        saved = self.saved = {} if file is None else file.read()
        with self._taking_up():
            self.curve = [CurvePoint(**point) for point in saved.get("curve", [])]
            self.starts: list[dict[str, Any]] = saved.get("starts", [])
            self.best: dict[str, Tensor] = take_from("best", saved)
            self.best_score = float(saved.get("best_score", "inf"))
            self.start = time.monotonic() - float(saved.get("seconds", 0.0))
        self.training: QATTraining | None = None
        self.refinement: Refinement | None = None

    def _taking_up(self) -> AbstractContextManager[None]:
        return nullcontext() if self.file is None else self.file.refusing_damage()

    def finish(self, network: QATNetwork) -> Compression:
        images, settings = self.images, self.settings
        self._train(network)
        network = network.folded()
        network.load_state_dict(self.best)
        if settings.num_trials and network.spec.num_weights <= _MAX_REFINED:
            self._refine(network)
            network.load_state_dict(self.best)
        if self.file is not None:
            self.file.save(self._state())
        codeword, counted_bits = self._describe(network)
        message, bits = codeword.message, codeword.num_bits

        def on_count(done: int, total: int) -> None:
            self.pause()
            self.progress.on_count(done, total)

        errors = count_certified_errors(
            message_network(message), images, message.known_inputs, progress=on_count
        )
        self._add("certified", settings.training.epochs, bits, counted_bits, errors.num_errors)
        return Compression(
            codeword=codeword,
            errors=errors,
            delta=settings.delta,
            counted_bits=counted_bits,
            curve=self.curve,
            seconds=time.monotonic() - self.start,
            starts=self.starts,
        )

    def pause(self) -> None:
        """Between any two pieces of work: save if that is due.

        Raises:
            StoppedError: It was asked to stop.
        """
        if self.file is not None:
            self.file.pause(self._state)

    def _state(self) -> dict[str, Any]:
        state = {
            "curve": [asdict(point) for point in self.curve],
            "starts": self.starts,
            "seconds": time.monotonic() - self.start,
            **put_under("best", self.best),
        }
        if self.best:
            state["best_score"] = self.best_score
        if self.training is not None:
            state |= put_under("training", self.training.state())
        if self.refinement is not None:
            state |= put_under("refinement", self.refinement.state())
        return state

    def _train(self, network: QATNetwork) -> None:
        settings, epochs = self.settings, self.settings.training.epochs
        every = max(1, epochs // _NUM_POINTS)
        training = QATTraining(
            network,
            self.images,
            self.inputs,
            settings.training,
            penalty=BoundPenalty(len(self.images), settings.delta, settings.penalty_factor),
        )
        if saved := take_from("training", self.saved):
            with self._taking_up():
                training.restore(saved)
        self.training, is_epoch_end = training, True
        while True:
            epoch = training.epoch
            last = max((point.epoch for point in self.curve), default=-1)
            is_due = epoch % every == 0 or training.is_done
            if is_epoch_end and is_due and last < epoch:
                some = self.images.images[:_START_IMAGES]
                folded = network.folded(input_batches(some, self.inputs, self.pause))
                self._measure(folded, "training" if epoch else "start", epoch)
            if training.is_done:
                return
            metrics = training.take_step()
            is_epoch_end = metrics is not None
            if metrics is not None:
                self.progress.on_epoch(metrics, epochs)
            self.pause()

    def _refine(self, network: QATNetwork) -> None:
        if self.curve[-1].stage == "refined":
            return
        refinement = Refinement(
            network,
            self.images,
            self.inputs,
            count_bits=lambda network: self.counted(self._count_bits(network)),
            num_trials=self.settings.num_trials,
            delta=self.settings.delta,
            on_trial=self.progress.on_trial,
            on_batch=self.pause,
        )
        if saved := take_from("refinement", self.saved):
            with self._taking_up():
                refinement.restore(saved)
        self.refinement = refinement
        refinement.run()
        self._measure(network, "refined", self.settings.training.epochs)

    def _measure(self, network: QATNetwork, stage: str, epoch: int) -> None:
        images = self.images
        logits = evaluate_quantized(network, images, self.inputs, on_batch=self.pause)
        errors = count_wrong(logits, images.labels)
        bits = self._count_bits(network)
        value = score(errors, len(images), self.counted(bits), self.settings.delta)
        if value <= self.best_score:
            self.best_score = value
            self.best = {key: each.clone() for key, each in network.state_dict().items()}
        self._add(stage, epoch, bits, self.counted(bits), errors)

    def _add(self, stage: str, epoch: int, bits: int, counted: float, errors: int) -> None:
        bound = binomial_tail(errors, len(self.images), counted, self.settings.delta)
        point = CurvePoint(
            stage=stage, epoch=epoch, description_bits=bits, num_errors=errors, bound=bound
        )
        self.curve.append(point)
        self.progress.on_point(point)

    def _count_bits(self, network: QATNetwork) -> int:
        code = "context" if self.prior is None else RELATIVE
        return encode_network(self._message(network), code, prior=self.prior).num_bits

    def _describe(self, network: QATNetwork) -> tuple[Codeword, float]:
        """The bits, decoded, and what they count as; relative to the prior if that is fewer."""
        message = self._message(network)
        plain = decoded_codeword(canonical_form(message))
        forms = [(plain, float(plain.num_bits))]
        if self.prior is not None:
            relative = decoded_codeword(message, RELATIVE, prior=self.prior)
            forms.append((relative, self.counted(relative.num_bits)))
        return min(forms, key=lambda form: form[1])

    def _message(self, network: QATNetwork) -> NetworkMessage:
        state = network.folded_state()
        return NetworkMessage(
            spec=network.spec,
            number_format=self.number_format,
            state={name: self.number_format.round(tensor) for name, tensor in state.items()},
            inputs=self.inputs,
        )
