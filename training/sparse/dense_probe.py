"""What share of the rows of dense layers would be screened: one look at one step."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from training.sparse.weight import screen_step


class DenseProbe:
    """Watches one forward and backward pass of some linear layers. It changes no number.

    Args:
        layers: Name to layer, with values (N, in_features) to (N, out_features).
    """

    def __init__(self, layers: Mapping[str, nn.Module]) -> None:
        self._inputs: dict[str, Tensor] = {}
        self._deltas: dict[str, Tensor] = {}
        self._handles = [
            layer.register_forward_hook(self._make_hook(name)) for name, layer in layers.items()
        ]

    def measure(self, settings: Mapping[str, tuple[float, float]]) -> dict[str, float]:
        """Share of screened rows of each layer that took part; then the layers are let go.

        Args:
            settings: η and βλ > 0 of each layer.
        """
        for handle in self._handles:
            handle.remove()
        shares = {}
        for name, deltas in self._deltas.items():
            lr, threshold = settings[name]
            parts = (deltas.t().contiguous(), self._inputs[name].t().contiguous())
            shares[name] = screen_step(*parts, lr=lr, threshold=threshold).screened_share
        return shares

    def _make_hook(self, name: str) -> Any:
        def on_forward(layer: nn.Module, inputs: tuple[Tensor, ...], outputs: Tensor) -> None:
            if outputs.requires_grad:
                self._inputs[name] = inputs[0].detach()
                outputs.register_hook(on_backward)  # type: ignore[no-untyped-call]

        def on_backward(deltas: Tensor) -> None:
            self._deltas[name] = deltas.detach()

        return on_forward
