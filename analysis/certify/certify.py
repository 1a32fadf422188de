"""From a network to its certificate: described, decoded, its errors counted, and stated."""

from dataclasses import replace
from pathlib import Path

import torch

from analysis.certify.certificate import Certificate, make_certificate
from analysis.certify.errors import counting_bytes
from analysis.certify.folder import check_folder, write_certificate
from analysis.certify.fresh import FreshImages, choose_fresh
from analysis.certify.images import (
    TRAINING,
    VALIDATION_ALONE,
    WITH_VALIDATION,
    CertifiedData,
    CertifiedImages,
    load_images,
)
from analysis.certify.prediction_files import (
    Expected,
    Predictions,
    given_predictions,
    read_predictions,
)
from analysis.certify.prior import Prior, load_prior, load_samples
from analysis.codes import RELATIVE
from analysis.codes.bit_file import decoded_codeword, is_bit_file, load_codeword
from analysis.codes.checkpoint_message import checkpoint_message, described_codeword
from analysis.codes.network_code import Codeword
from analysis.quantize.formats import NumberFormat, find_format
from training.checkpoint.checkpoint import Checkpoint, load_checkpoint
from training.errors import CheckpointError, ConfigError
from training.run.progress import OnCount
from training.spec.config import DataConfig


def certify(
    network: Checkpoint | Codeword | Path | str,
    *,
    data: DataConfig | str | None = None,
    folder: Path | str | None = None,
    bits: int | None = None,
    number_format: str | None = None,
    code: str = "auto",
    canonical: bool = True,
    delta: float = 0.05,
    count_validation: bool = False,
    held_out: str | None = None,
    images: DataConfig | str | None = None,
    target: object = None,
    prior: Path | str | None = None,
    device: torch.device | str = "cpu",
    progress: OnCount | None = None,
) -> Certificate:
    """Bound the true error of a network by its bits and its errors on the m training images.

    The network is written as bits, the bits are decoded, and the errors of the decoded network are
    counted by an evaluation that every machine repeats exactly. With `held_out`, the bound is the
    better of this one and that of held-out images; with `target` too, it is on the error of another
    classifier, of which nothing but its predictions on these images is known, and the network is
    its surrogate.

    With a prior, a network that was fixed before the data, the bits are the difference from it. Of
    a checkpoint the certificate is the best one of those with and without the prior, at no cost in
    δ: the weights of all forms sum to at most 1. Held-out images have no part in that choice.

    Args:
        network: A checkpoint or a codeword, or the file of one.
        data: Where the images lie: "glyphs", "leaves", a folder or a name on the hub. A checkpoint
            names its data set itself; this says where the same images lie now. A codeword does not;
            it takes a `DataConfig` too, for some of the images.
        folder: A new folder to write the certificate to; None writes nothing.
        bits: b, bits a number: 32, 16 or 8; None for the prior's numbers, without a prior for 16.
            Of a checkpoint alone, as what follows.
        number_format: The set of numbers by its name, such as "e4m3fn".
        code: The code; "auto" takes the shortest.
        canonical: Whether steps that keep the function are taken first to make it shorter.
        delta: δ in (0, 1): the bound may fail with this probability.
        count_validation: Whether validation images are among the m samples.
        held_out: "test" or "validation": the caller states that these images are i.i.d. like the
            samples and had no part in training or choosing the network or the target.
        images: Where held-out images lie that are not of this data set, of which `held_out` names
            the split, "test" or "training"; labels are read without a target alone.
        target: Predictions of a classifier on the held-out images: class numbers in their order, or
            a file as `analysis.certify.prediction_files` has it.
        prior: A folder of `mdl compress`, a checkpoint or a file of bits, as
            `analysis.certify.prior.load_prior` has it. If it was trained with validation images
            left out of this data set, these alone are the m samples.
        device: Where the errors are counted.
        progress: Called with the images done and all of them.

    Raises:
        CheckpointError: The file cannot be used, or the checkpoint does not say what data it was
            trained on.
        DataError: The images cannot be loaded, or are not those that the network was trained on.
        OSError: The folder is there and not empty, or it cannot be written.
        ValueError: A value outside its range, bits of a network whose code is not mdl's, a
            target or images without `held_out`, or a prior that is not the bits' own.

    >>> from training.networks.models import build_model
    >>> from training.data.loading import load_dataset
    >>> from training.spec.normalization import fixed_normalization
    >>> from training.checkpoint.record import DataRecord
    >>> images = DataConfig(image_size=8, num_train=100, num_test=10)
    >>> model = build_model("s-conv", image_size=8, num_classes=10, base_channels=1)
    >>> checkpoint = Checkpoint(
    ...     network=model.spec,
    ...     state=model.state_dict(),
    ...     data=DataRecord.of(images, load_dataset(images), num_samples=100),
    ...     normalization=fixed_normalization(3),
    ... )
    >>> certificate = certify(checkpoint, bits=8)
    >>> certificate.errors.num_samples, certificate.bound <= 1
    (100, True)
    """
    if held_out is None and (target is not None or images is not None):
        raise ConfigError.naming(
            "{target} and {images} take {held_out}: state which images had no part in training or "
            "choosing"
        )
    if folder is not None:
        check_folder(Path(folder))
    number_formats = [find_format(bits, number_format)]
    own = None if prior is None else load_prior(prior, number_formats[0])
    if own is not None and bits is None and number_format is None:
        number_formats.append(own.codeword.message.number_format)
    network = _read_network(network, own)
    if isinstance(network, Codeword):
        forms = [(network, own)]
    elif isinstance(data, DataConfig):
        raise ValueError(
            "data must be a place: a checkpoint says itself what data it was trained on"
        )
    else:
        forms = _describe(network, number_formats, code, canonical, own)
    made = []
    for codeword, base in forms:
        record, known = _find_samples(network, data, count_validation, base)
        fresh = None
        if held_out is not None:
            fresh = _find_fresh(held_out, images, target, record, known)
        certificate = make_certificate(
            codeword,
            record,
            known,
            delta=delta,
            fresh=fresh,
            prior=base,
            device=device,
            progress=progress,
        )
        made.append((certificate, codeword, fresh, base))
    certificate, codeword, fresh, base = min(
        made, key=lambda each: (each[0].bound_by_bits, each[0].counted_bits)
    )
    if folder is not None:
        write_certificate(certificate, codeword, Path(folder), fresh, base)
    return certificate


def _read_network(
    network: Checkpoint | Codeword | Path | str, prior: Prior | None
) -> Checkpoint | Codeword:
    """The checkpoint or the codeword, which goes with the prior or with none.

    Raises:
        ConfigError: Bits that are relative to a prior that is not given, or to none.
    """
    if isinstance(network, Path | str):
        if not is_bit_file(network):
            return load_checkpoint(network)
        own = None if prior is None else prior.codeword
        network = load_codeword(network, prior=own, beside=counting_bytes)
    if isinstance(network, Codeword):
        if network.prior_sha256 is not None and prior is None:
            raise ConfigError.naming("the bits are relative to a prior; give it as {prior}")
        if network.prior_sha256 is None and prior is not None:
            raise ConfigError.naming("the bits are relative to no prior; leave out {prior}")
    return network


def _describe(
    checkpoint: Checkpoint,
    number_formats: list[NumberFormat],
    code: str,
    canonical: bool,
    prior: Prior | None,
) -> list[tuple[Codeword, Prior | None]]:
    """The network in bits, in every set of numbers; and in the last relative to the prior.

    Raises:
        ConfigError: A code was asked for, and there is a prior.
    """
    if prior is not None and code not in ("auto", RELATIVE):
        raise ConfigError.naming("{prior} goes with {code} auto, which takes the shortest")
    plain = "auto" if code == RELATIVE else code
    forms: list[tuple[Codeword, Prior | None]] = [
        (described_codeword(checkpoint, form, plain, canonical=canonical), None)
        for form in dict.fromkeys(number_formats)
    ]
    if prior is not None:
        message = checkpoint_message(checkpoint, number_formats[-1], canonical=False)
        relative = decoded_codeword(message, RELATIVE, prior=prior.codeword)
        forms.append((relative, prior))
    return forms


def _find_samples(
    network: Checkpoint | Codeword,
    data: DataConfig | str | None,
    count_validation: bool,
    prior: Prior | None,
) -> tuple[CertifiedData, CertifiedImages]:
    """The images to count on: those that the prior left out, if it did."""
    samples = WITH_VALIDATION if count_validation else TRAINING
    if isinstance(network, Codeword):
        return load_samples(prior, _named_images(network, data), samples)
    config = _recorded_images(network, data if isinstance(data, str) else None)
    found, images = load_samples(prior, config, samples)
    network.known_data.check(found)
    if found.samples != VALIDATION_ALONE:
        _check_number(network, len(images.samples), count_validation)
    return found, images


def _find_fresh(
    held_out: str,
    images: DataConfig | str | None,
    target: object,
    record: CertifiedData,
    known: CertifiedImages,
) -> FreshImages:
    """The images that are stated to be fresh, with a target's predictions if there is one."""
    own = None if images is None else _own_images(images, record)
    fresh = choose_fresh(held_out, known, own, has_target=target is not None)
    if target is None:
        return fresh
    expected = Expected(
        name=f"the {held_out} split of {(fresh.data or record).name}",
        num_images=len(fresh.images),
        class_names=known.class_names,
        fingerprint=(fresh.data or record).fingerprint,
    )
    predictions = _predictions(target, expected)
    return fresh.with_predictions(predictions.classes, record.num_classes, predictions.order)


def _own_images(
    images: DataConfig | str, record: CertifiedData
) -> tuple[CertifiedData, CertifiedImages]:
    config = DataConfig(source=images) if isinstance(images, str) else images
    return load_images(replace(config, image_size=record.image_size))


def _predictions(target: object, expected: Expected) -> Predictions:
    if isinstance(target, Path | str):
        return read_predictions(target, expected)
    return given_predictions(target, expected)


def _named_images(codeword: Codeword, data: DataConfig | str | None) -> DataConfig:
    """The images that a caller names, at the size that the network takes."""
    size = codeword.message.network.image_size
    if data is None:
        raise ValueError("the bits do not say what data they are about; pass data")
    config = DataConfig(source=data) if isinstance(data, str) else data
    return replace(config, image_size=size)


def _recorded_images(checkpoint: Checkpoint, source: str | None) -> DataConfig:
    """The images that a checkpoint names, and no others."""
    record = checkpoint.known_data
    record.check_size()
    config = DataConfig(**record.config)
    return replace(config, source=source or config.source)


def _check_number(checkpoint: Checkpoint, num_images: int, count_validation: bool) -> None:
    """Refuse a number of images other than the checkpoint says that training saw."""
    record = checkpoint.known_data
    expected = record.num_samples + (record.num_validation if count_validation else 0)
    if num_images != expected:
        raise CheckpointError(
            f"the checkpoint says that training saw {record.num_samples} images, but its data set "
            f"has {num_images} for it; the errors cannot be counted"
        )
