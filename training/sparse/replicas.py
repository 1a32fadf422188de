"""A network on one rank whose layers become sparse when that pays, and dense again if it must.

The iterates are those of dense β-lasso. A layer is handed over at the start of an epoch, by its
costs on this machine; or, so that the run repeats exactly, by typical costs or by the memory it
takes. Other programs may disturb a measurement, so it is made again before a layer is handed over
and in the epochs 1, 2, 4, 8 ..., and the quietest one counts. It is saved with the run, and counts
on after a stop where it was made on such a processor.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from training.distributed.run_options import RunOptions
from training.distributed.weights import Replicas
from training.networks.models import Network, network_from_state
from training.sparse.costs import (
    LayerCosts,
    may_be_sparse,
    measure_costs,
    memory_costs,
    typical_costs,
)
from training.sparse.weight import SparseLinear, SparseWeight, screen_step
from training.spec.architectures import LayerSpec
from training.spec.config import TrainConfig
from training.system.memory import give_back_memory

LARGEST_DENSITY = 0.5
"""Share of nonzeros above which a layer stays dense and nothing is measured."""


@dataclass
class _SparseLayer:
    """A layer that has been handed over.

    Attributes:
        sparse: What computes now.
        dense: What it took the place of; its weight is empty.
        num_nonzeros: After the last step.
        share_sum: Sum of the shares of screened rows, over the epoch's steps.
        num_steps: How many these are.
    """

    sparse: SparseLinear
    dense: nn.Module
    num_nonzeros: int
    share_sum: float = 0.0
    num_steps: int = 0


class SparseReplicas(Replicas):
    """`training.distributed.weights.Replicas` for β-lasso on one rank, with sparse layers.

    A parameter whose layer is sparse stays where it is, in the optimizer's groups too, but has no
    entries. What is saved are the weights alone, so that any other run may resume from them; beside
    them stands what a sparse run needs to resume bit for bit.
    """

    def __init__(self, network: Network, config: TrainConfig, options: RunOptions) -> None:
        super().__init__(network, config, options)
        self._config, self._device, self._sparsity = config, options.device, options.sparsity
        self._names = list(network.state_dict())
        self._candidates = {
            layer.name: layer for layer in network.spec.layers if may_be_sparse(layer, config)
        }
        self._sparse: dict[str, _SparseLayer] = {}
        self._costs: dict[str, LayerCosts] = {}
        self._dense_shares: dict[str, float] = {}
        self._probe: DenseProbe | None = None

    @property
    def screened(self) -> dict[str, float]:
        """Layer to the share of its rows in which no zero weight could come back.

        Of a sparse layer it is the mean over the steps since the epoch began, of a dense one the
        share in the epoch's first step.
        """
        shares = dict(self._dense_shares)
        for name, layer in self._sparse.items():
            if layer.num_steps:
                shares[name] = layer.share_sum / layer.num_steps
        return {name: shares[name] for name in self._candidates if name in shares}

    @property
    def sparse_layers(self) -> list[str]:
        """Layers that compute with their nonzeros alone."""
        return [name for name in self._candidates if name in self._sparse]

    @property
    def is_settled(self) -> bool:
        """Whether a step is the same work on the same tensors as the one before."""
        return self._probe is None and not self._sparse

    @property
    def weight_bytes(self) -> int:
        """Bytes of the layers' weights, their low-precision copies and their supports."""
        sparse = sum(layer.sparse.sparse_weight.num_bytes for layer in self._sparse.values())
        return super().weight_bytes + sparse

    def begin_epoch(self, epoch: int, *, batch_size: int) -> None:
        """Hand over the layers that pay by now, and hand back those that do not any more.

        Args:
            epoch: Its number, from 1.
            batch_size: Images per step.
        """
        shares, counts = self.screened, self.num_nonzeros()
        is_due = epoch & (epoch - 1) == 0
        for name, layer in self._candidates.items():
            if name not in self._sparse:
                if counts[name] <= LARGEST_DENSITY * layer.num_weights:
                    step = (counts[name], shares.get(name, 0.0))
                    pays = self._costs_of(layer, batch_size, again=is_due).pays(*step)
                    if pays and self._costs_of(layer, batch_size, again=True).pays(*step):
                        self.hand_over(name)
            elif name in shares:
                entries = self._sparse[name].sparse.sparse_weight.support.num_entries
                costs = self._costs_of(layer, batch_size, again=is_due)
                if costs.loses(entries, shares[name]):
                    self.hand_back(name)
        for sparse in self._sparse.values():
            sparse.share_sum, sparse.num_steps = 0.0, 0
            sparse.sparse.sparse_weight.drop_zeros()
        if self._sparse:
            give_back_memory()
        self._dense_shares = {}
        dense = [name for name in self._candidates if name not in self._sparse]
        self._probe = DenseProbe({name: self._network.get_submodule(name) for name in dense})

    def hand_over(self, name: str) -> None:
        """Make a layer sparse; its dense weight, working copy and gradient are let go."""
        weight = self._weights[name]
        has_working_copy = self.optimizer.forget(weight)
        sparse = SparseLinear(SparseWeight(weight.detach(), low_precision=has_working_copy))
        weight.data = weight.data.new_empty(0)
        count = sparse.sparse_weight.support.num_entries
        if self._device.type == "cuda":
            torch.cuda.empty_cache()  # so that others may have what the dense weight took
        self._sparse[name] = _SparseLayer(sparse, self._network.get_submodule(name), count)
        self._network.set_submodule(name, sparse)
        self.model = self._make_model()

    def hand_back(self, name: str) -> None:
        """Make a sparse layer dense again."""
        layer, weight = self._sparse.pop(name), self._weights[name]
        weight.data = layer.sparse.sparse_weight.dense()
        if layer.sparse.sparse_weight.working_copy is not None:
            self.optimizer.attach_working_copies([weight])
        self._network.set_submodule(name, layer.dense)
        self.model = self._make_model()

    def step_sparse_layers(self) -> None:
        """Move the sparse weights by the gradients of the last backward pass.

        A layer in which so many weights come back that no screening helps is dense from then on.
        """
        groups = {group["name"]: group for group in self.optimizer.param_groups}
        if self._probe is not None:
            chosen = {name: groups[layer.group] for name, layer in self._candidates.items()}
            limits = {
                name: (float(group["lr"]), group["beta"] * group["l1_coef"])
                for name, group in chosen.items()
            }
            self._dense_shares, self._probe = self._probe.measure(limits), None
        for name, layer in list(self._sparse.items()):
            group = groups[self._candidates[name].group]
            report = layer.sparse.take_step(
                lr=float(group["lr"]), l1_coef=group["l1_coef"], beta=group["beta"]
            )
            layer.num_nonzeros = report.num_nonzeros
            layer.share_sum += report.screen.screened_share
            layer.num_steps += 1
            entries = layer.sparse.sparse_weight.support.num_entries
            if name in self._costs and self._costs[name].loses(entries, screened=1.0):
                self.hand_back(name)

    def num_nonzeros(self) -> dict[str, int]:
        """Nonzero weights by layer."""
        counts = {name: layer.num_nonzeros for name, layer in self._sparse.items()}
        return super().num_nonzeros() | counts

    def local_tensors(self) -> list[Tensor]:
        """Every tensor of the network, as it is stored."""
        sparse = [layer.sparse.sparse_weight.values for layer in self._sparse.values()]
        return super().local_tensors() + sparse

    def exact_network(self) -> Network:
        """A dense network, computing in the type of its weights: what a checkpoint gives."""
        if not self._sparse:
            return self._network
        dense = {
            f"{name}.weight": layer.sparse.sparse_weight.dense()
            for name, layer in self._sparse.items()
        }
        return network_from_state(self._network.spec, self.whole_state() | dense)

    def whole_state(self) -> dict[str, Tensor]:
        """The network's state dict; the weights of sparse layers are copies, in CSR if smaller."""
        state = super().whole_state()
        for name, layer in self._sparse.items():
            state[f"{name}.weight"] = layer.sparse.sparse_weight.packed()
        return {name: state[name] for name in self._names}

    def whole_optimizer_state(self) -> dict[str, Any]:
        """The optimizer's state dict, and in "sparse" what this class has beside it."""
        layers = {
            name: {
                "zeros": layer.sparse.sparse_weight.stored_zeros(),
                "share_sum": layer.share_sum,
                "num_steps": layer.num_steps,
            }
            for name, layer in self._sparse.items()
        }
        own = {
            "layers": layers,
            "costs": {name: asdict(each) for name, each in self._costs.items()},
            "costs_of": self._processor(),
            "dense_shares": dict(self._dense_shares),
        }
        return super().whole_optimizer_state() | {"sparse": own}

    def load(self, state: dict[str, Tensor], optimizer_state: dict[str, Any]) -> None:
        """Take over what `whole_state` and `whole_optimizer_state` of any run gave.

        Raises:
            AttributeError, KeyError, TypeError, RuntimeError, ValueError: They do not fit.
        """
        for name in list(self._sparse):
            self.hand_back(name)
        super().load(state, optimizer_state)
        saved = optimizer_state.get("sparse", {"layers": {}, "costs": {}, "dense_shares": {}})
        self._dense_shares = {name: float(each) for name, each in saved["dense_shares"].items()}
        self._costs = {}
        if saved.get("costs_of") == self._processor():
            self._costs = {name: LayerCosts(**saved["costs"][name]) for name in saved["costs"]}
        for name in saved["layers"]:
            if name not in self._candidates:
                raise ValueError(f"layer {name} cannot be sparse in this run")
            self.hand_over(name)
            layer, own = self._sparse[name], saved["layers"][name]
            layer.sparse.sparse_weight.store_zeros(own["zeros"])
            layer.share_sum, layer.num_steps = float(own["share_sum"]), int(own["num_steps"])

    def _processor(self) -> str:
        """What costs depend on, as far as it can be told apart."""
        instructions = torch.backends.cpu.get_cpu_capability()
        return f"{self._device.type}, {torch.get_num_threads()} threads, {instructions}"

    def _costs_of(self, layer: LayerSpec, batch_size: int, *, again: bool) -> LayerCosts:
        shape = (layer.out_features, layer.in_features)
        needs_input_gradient = layer.name != self._network.spec.layers[0].name
        if self._sparsity == "always":
            self._costs[layer.name] = memory_costs(layer.num_weights)
        elif self._sparsity == "typical" and self._device.type == "cpu":
            self._costs[layer.name] = typical_costs(
                shape, batch=batch_size, with_input_gradient=needs_input_gradient
            )
        elif again or layer.name not in self._costs:
            low = self._config.precision == "bf16"
            measured = measure_costs(
                shape,
                batch=batch_size,
                dtype=torch.bfloat16 if low else self._weights[layer.name].dtype,
                with_input_gradient=needs_input_gradient,
                device=self._device,
            )
            before = self._costs.get(layer.name, measured)
            self._costs[layer.name] = min(
                before, measured, key=lambda costs: costs.total(layer.num_weights)
            )
        return self._costs[layer.name]


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
