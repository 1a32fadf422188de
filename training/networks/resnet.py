"""ResNet18 for small images: the original basic blocks behind a 3x3 first convolution."""

from torch import Tensor

from training.networks.network import Network


class ResNet18(Network):
    """He et al.'s ResNet18, but with a stride-1 first convolution and no max-pool.

    Eight basic blocks: y = ReLU(BN(conv2(ReLU(BN(conv1(x))))) + shortcut(x)). The shortcut is
    the identity, or a 1x1 convolution with BatchNorm where size or channels change. A global
    average over positions feeds the last layer.
    """

    def compute_logits(self, images: Tensor) -> Tensor:
        """The forward pass on images that `forward` has checked."""
        first, *block_layers, last = self.table
        values = self.apply_layer(first, images, relu=True)
        blocks = dict.fromkeys(name.rpartition("_")[0] for name in block_layers)
        for block in blocks:
            values = self._apply_block(block, values)
        return self.apply_layer(last, values.mean(dim=(2, 3)))

    def _apply_block(self, block: str, values: Tensor) -> Tensor:
        shortcut = values
        if f"{block}_shortcut" in self.table:
            shortcut = self.apply_layer(f"{block}_shortcut", values)
        values = self.apply_layer(f"{block}_conv1", values, relu=True)
        return self.apply_layer(f"{block}_conv2", values, residual=shortcut, relu=True)
