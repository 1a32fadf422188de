"""All that `mdl scaling` shows, gathered in one result that reads as JSON too."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any

from analysis.scaling.formulas import TABLE_1_BASE_CHANNELS, to_unicode
from analysis.scaling.growth import (
    RESNET18_BASE_CHANNELS,
    BudgetWidth,
    base_channels_for_budget,
    max_weights,
    spec_of_width,
    width_of,
)
from analysis.scaling.scaling import (
    SLIP_REASONS,
    Comparison,
    NetworkScaling,
    PublishedComparison,
    compare,
    compare_published,
)
from training.spec.architectures import NETWORKS


@dataclass(frozen=True, kw_only=True)
class MemoryFit:
    """Whether a network fits a GPU's memory.

    Attributes:
        network: Its name.
        width: α (3-fc: h) in question.
        num_weights: Its exact number of weights.
        memory_gib: What they take, in units of 2³⁰ bytes.
        fits: Whether that is within the memory.
        max_width: The largest α (3-fc: h) that fits; 0 if none does.
    """

    network: str
    width: int
    num_weights: int
    memory_gib: float
    fits: bool
    max_width: int


@dataclass(frozen=True, kw_only=True)
class ScalingReport:
    """The numbers behind `mdl scaling`.

    Attributes:
        image_size: s.
        num_classes: c.
        in_channels: Channels of the images.
        networks: Every network, by name: six with printed formulas, then 3-fc and ResNet18.
        published: Table 1's sizes beside the exact ones.
        budget: Weights that the widths in `budget_widths` stay within.
        budget_widths: The widest of every network.
        memory_gib: Memory of the GPU in units of 2³⁰ bytes.
        bytes_per_weight: What training keeps for a weight.
        max_weights: The most weights that the memory holds.
        memory_fits: Which networks fit, at the widths of `networks`.
    """

    image_size: int
    num_classes: int
    in_channels: int
    networks: dict[str, NetworkScaling]
    published: tuple[PublishedComparison, ...]
    budget: float
    budget_widths: tuple[BudgetWidth, ...]
    memory_gib: float
    bytes_per_weight: float
    max_weights: int
    memory_fits: tuple[MemoryFit, ...]

    def width(self, name: str) -> int:
        """α of a network in this report; h for 3-fc."""
        return width_of(self.networks[name].spec)

    def as_json(self) -> dict[str, Any]:
        """Primitives only; formulas as text."""
        return {
            "image_size": self.image_size,
            "num_classes": self.num_classes,
            "in_channels": self.in_channels,
            "networks": {name: self._network_json(name) for name in self.networks},
            "table_1": [
                {
                    "network": row.network,
                    "column": row.column,
                    "printed_millions": row.millions,
                    "width": row.width,
                    "num_weights": row.num_exact,
                    "slips": [] if row.slip is None else [row.slip.value],
                }
                for row in self.published
            ],
            "budget": {
                "num_weights": _number(Fraction(self.budget)),
                "widths": _by_network(self.budget_widths),
            },
            "v100": {
                "memory_gib": self.memory_gib,
                "bytes_per_weight": self.bytes_per_weight,
                "max_weights": self.max_weights,
                "networks": _by_network(self.memory_fits),
            },
            "slips": {slip.value: reason for slip, reason in SLIP_REASONS.items()},
        }

    def _network_json(self, name: str) -> dict[str, Any]:
        scaling = self.networks[name]
        return {
            "width": self.width(name),
            "layers": [_comparison_json(row) for row in scaling.layers],
            "total": _comparison_json(scaling.total),
            "num_padding": scaling.num_padding,
            "num_convolutional": scaling.num_convolutional,
        }


def build_report(
    *,
    image_size: int,
    num_classes: int,
    in_channels: int,
    base_channels: int | None,
    budget: float,
    memory_gib: float,
    bytes_per_weight: float,
) -> ScalingReport:
    """Gather every number of the report.

    Args:
        image_size: s, side of the images in pixels.
        num_classes: c.
        in_channels: Channels of the images.
        base_channels: α of the d- and s- networks; None for 15 and 150, as in Table 1. ResNet18
            has 64 base channels, 3-fc the hidden units that the budget allows.
        budget: Weights to stay within when widths are chosen.
        memory_gib: Memory of the GPU in units of 2³⁰ bytes.
        bytes_per_weight: What training keeps for a weight.

    Raises:
        ValueError: A value outside its range.
    """
    image = {"image_size": image_size, "num_classes": num_classes, "in_channels": in_channels}
    limit = max_weights(memory_gib, bytes_per_weight)
    found = {name: base_channels_for_budget(name, budget, **image) for name in NETWORKS}
    specs = {}
    for name in NETWORKS:
        width = TABLE_1_BASE_CHANNELS.get(name[0], RESNET18_BASE_CHANNELS)
        if name[0] in TABLE_1_BASE_CHANNELS and base_channels is not None:
            width = base_channels
        if name == "3-fc":
            width = max(1, found[name].width)
        specs[name] = spec_of_width(name, width, **image)
    networks = {name: compare(spec) for name, spec in specs.items()}
    fits = tuple(
        MemoryFit(
            network=name,
            width=width_of(spec),
            num_weights=spec.num_weights,
            memory_gib=spec.num_weights * bytes_per_weight / 2**30,
            fits=spec.num_weights <= limit,
            max_width=base_channels_for_budget(name, max(1, limit), **image).width,
        )
        for name, spec in specs.items()
    )
    return ScalingReport(
        **image,
        networks=networks,
        published=tuple(compare_published()),
        budget=budget,
        budget_widths=tuple(found.values()),
        memory_gib=memory_gib,
        bytes_per_weight=bytes_per_weight,
        max_weights=limit,
        memory_fits=fits,
    )


def _by_network(rows: Sequence[BudgetWidth | MemoryFit]) -> dict[str, dict[str, Any]]:
    fields = [asdict(row) for row in rows]
    return {each.pop("network"): each for each in fields}


def _comparison_json(row: Comparison) -> dict[str, Any]:
    return {
        "layer": row.layer,
        "printed": None if row.printed is None else to_unicode(row.printed),
        "exact": to_unicode(row.exact),
        "num_printed": None if row.num_printed is None else _number(row.num_printed),
        "num_exact": row.num_exact,
        "slips": [slip.value for slip in row.slips],
    }


def _number(value: Fraction) -> int | float:
    return int(value) if value.denominator == 1 else float(value)
