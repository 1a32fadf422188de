"""The images on which single changes are tried first, and what each layer takes of them."""

from torch import Tensor

from analysis.compress.qat_network import QATNetwork
from analysis.compress.qat_training import count_wrong
from training.data.image_set import ImageSet
from training.data.input_map import InputMap
from training.networks.models import LayeredNetwork, build_network
from training.spec.architectures import NetworkSpec

NUM_CLOSE = 6_000
"""Images of the smallest margins; their decisions change first."""


class CloseImages:
    """Images of the smallest margins, with the errors of a network that changes layer by layer.

    A change of one layer leaves all that the layers before it give, so what each layer takes is
    kept and a count begins at the changed one. Where the layers are not a row all are computed.

    Args:
        network: The network as it is.
        logits: Its logits of all images, (m, c).
        images: All m images.
        inputs: What they are put through.

    Attributes:
        inputs: Of the close images.
        labels: Theirs.
    """

    def __init__(
        self, network: QATNetwork, logits: Tensor, images: ImageSet, inputs: InputMap
    ) -> None:
        index = images.labels[:, None]
        others = logits.scatter(1, index, float("-inf")).amax(dim=1)
        margins = logits.gather(1, index)[:, 0] - others
        close = margins.abs().argsort()[:NUM_CLOSE]
        self.inputs, self.labels = inputs(images.images[close]), images.labels[close]
        plain = build_network(network.spec, biased=True).eval().requires_grad_(False)
        self._plain = plain.to(self.inputs.device)
        self._kept = {network.spec.layers[0].name: self.inputs}
        self._tried: dict[str, Tensor] = {}

    def count_wrong(self, network: QATNetwork, changed: str) -> int:
        """Errors of a network that differs from the one kept in one layer, on the close images."""
        plain = self._plain
        plain.load_state_dict(network.biased_state())
        if not isinstance(plain, LayeredNetwork):
            return count_wrong(plain(self.inputs), self.labels)
        names = list(plain.table)
        names = names[names.index(changed) :]
        values = self._kept[changed]
        self._tried = {}
        for name, follower in zip(names, [*names[1:], ""], strict=True):
            values = plain.step(name, values)
            self._tried[follower] = values
        return count_wrong(values, self.labels)

    def keep(self) -> None:
        """The network that was counted last is the one kept now."""
        self._kept |= self._tried


def kept_bytes(spec: NetworkSpec, num_images: int) -> int:
    """Memory that the close images take at most: what each layer takes, kept and on trial.

    >>> kept_bytes(NetworkSpec(name="s-fc", image_size=8, num_classes=10, base_channels=1), 1)
    1856
    """
    features = sum(layer.in_features for layer in spec.layers)
    return 2 * 4 * min(num_images, NUM_CLOSE) * features
