"""The two-part code of a small network: every machine's bits, and where nothing can be coded."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from analysis.certify.errors import count_certified_errors
from analysis.codelength.label_code import decode_labels
from analysis.codelength.two_part import measure_two_part, network_logits
from analysis.codes.bit_file import decode_whole, decoded_codeword
from analysis.codes.checkpoint_message import message_network
from analysis.codes.network_code import Codeword
from tests.analysis.codes.conftest import random_message, small_spec  # noqa: F401  # fixtures
from training.data.image_set import ImageSet
from training.errors import DataError


@pytest.fixture
def codeword(
    small_spec: Callable[..., object],  # noqa: F811
    random_message: Callable[..., object],  # noqa: F811
) -> Codeword:
    return decoded_codeword(random_message(small_spec("s-conv")))  # type: ignore[arg-type]


def make_images(num: int) -> ImageSet:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (num, 3, 8, 8), generator=generator, dtype=torch.uint8)
    return ImageSet(pixels, torch.randint(0, 4, (num,), generator=generator))


def test_bits_and_images_give_back_the_labels(codeword: Codeword) -> None:
    images = make_images(120)
    found = measure_two_part(codeword, images, network_logits(codeword, images.images))
    received = decode_whole(codeword.data)
    logits = network_logits(received, images.images)
    assert decode_labels(found.labels.data, logits).labels.tolist() == images.labels.tolist()
    assert found.total_bits == codeword.num_bits + found.labels.num_bits
    assert found.num_labels == 120
    assert found.uniform_bits == 240
    assert found.to_dict()["bits_per_label"] == found.total_bits / 120
    errors = count_certified_errors(
        message_network(codeword.message), images, codeword.message.known_inputs
    )
    assert found.num_errors == errors.num_errors


def test_labels_that_a_network_knows_take_hardly_any_bits(codeword: Codeword) -> None:
    images = make_images(200)
    logits = network_logits(codeword, images.images)
    known = ImageSet(images.images, torch.from_numpy(logits.argmax(axis=1)))
    found = measure_two_part(codeword, known, logits)
    assert found.num_errors == 0
    assert found.label_bits < 20
    assert found.compression_ratio == found.uniform_bits / found.total_bits


def test_batches_do_not_change_a_bit(codeword: Codeword) -> None:
    images = make_images(50)
    whole = network_logits(codeword, images.images)
    single = [network_logits(codeword, images.images[at : at + 1]) for at in range(50)]
    assert np.array_equal(whole, np.concatenate(single))


def test_no_images_and_other_classes_are_refused(codeword: Codeword) -> None:
    images = make_images(3)
    with pytest.raises(DataError, match="no images"):
        measure_two_part(codeword, make_images(0), np.zeros((0, 4)))
    other = ImageSet(images.images, torch.tensor([0, 1, 4]))
    with pytest.raises(ValueError, match=r"labels must lie in 0\.\.3"):
        measure_two_part(codeword, other, network_logits(codeword, images.images))
