"""The network of a result, with the shape of its images read off its numbers of weights."""

from collections.abc import Iterator

from mdl.experiments.store.run_result import RunResult
from mdl.experiments.store.time_estimate import DataShape, expected_shape
from training.spec.architectures import NetworkSpec

_SIDES = range(8, 257)
_CHANNELS = (1, 3)


def network_of(result: RunResult) -> NetworkSpec:
    """The network that was trained, from the configuration and the counts of weights by layer.

    Raises:
        ValueError: No shape of images gives these counts.
    """
    for shape in _shapes(result):
        spec = result.config.network_spec(
            image_size=shape.image_size,
            num_classes=shape.num_classes,
            in_channels=shape.in_channels,
        )
        if {layer.name: layer.num_weights for layer in spec.layers} == result.num_weights:
            return spec
    raise ValueError(f"result {result.key}: its numbers of weights fit no {result.config.network}")


def _shapes(result: RunResult) -> Iterator[DataShape]:
    """The shape that the data set's name says, then all others."""
    expected = expected_shape(result.config.data)
    yield expected
    guess = result.config.network_spec(
        image_size=expected.image_size, num_classes=2, in_channels=expected.in_channels
    )
    last = guess.layers[-1].name
    for in_channels in _CHANNELS:
        for image_size in _SIDES:
            two_classes = result.config.network_spec(
                image_size=image_size, num_classes=2, in_channels=in_channels
            ).layers[-1]
            num_classes, rest = divmod(2 * result.num_weights.get(last, 0), two_classes.num_weights)
            if rest == 0 and num_classes >= 2:
                yield DataShape(
                    num_train=expected.num_train,
                    image_size=image_size,
                    in_channels=in_channels,
                    num_classes=num_classes,
                )
