"""A whole training of a network in levels, in place, from its first step to its last."""

from collections.abc import Callable

from analysis.compress.qat_network import QATNetwork
from analysis.compress.qat_training import Penalty, QATEpoch, QATSettings, QATTraining
from training.data.image_set import ImageSet
from training.data.input_map import InputMap


def train_quantized(
    network: QATNetwork,
    images: ImageSet,
    inputs: InputMap,
    settings: QATSettings,
    *,
    penalty: Penalty,
    on_epoch: Callable[[QATEpoch], None] = lambda metrics: None,
) -> list[QATEpoch]:
    """What each epoch came to, of which `on_epoch` is told."""
    training = QATTraining(network, images, inputs, settings, penalty=penalty)
    history = []
    while not training.is_done:
        if (metrics := training.take_step()) is not None:
            history.append(metrics)
            on_epoch(metrics)
    return history
