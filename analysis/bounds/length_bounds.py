"""All bounds that rest on one description length, and which length to quote."""

from collections.abc import Mapping
from dataclasses import replace

from analysis.bounds.bounds import Bound, binomial_tail, compare_bounds, theorem_2
from analysis.bounds.lengths import DescriptionLength, index_bits


def bounds_of_length(
    length: DescriptionLength, num_errors: int, num_samples: int, num_weights: int, delta: float
) -> tuple[Bound, ...]:
    """All bounds from the whole-bit length; Theorem 2 with its own terms where there is a map.

    Args:
        length: Of the description.
        num_errors: e, of the network that it describes.
        num_samples: m.
        num_weights: n.
        delta: δ of each bound by itself.
    """
    bounds = compare_bounds(num_errors, num_samples, length.whole_bits, delta)
    if not length.has_map:
        return bounds
    values = next(term for term in length.terms if term.name == "values")
    second = Bound(
        name="theorem_2",
        title="Theorem 2, as printed",
        formula="e/m + sqrt((k b + |d(g)| + ln(2n/δ)) / 2m)",
        value=theorem_2(
            num_errors,
            num_samples,
            delta,
            value_bits=values.bits,
            map_bits=length.map_bits,
            num_weights=num_weights,
        ),
    )
    return (bounds[0], second, *bounds[1:])


def shortest_length(lengths: Mapping[str, DescriptionLength]) -> DescriptionLength:
    """The description of fewest whole bits."""
    return min(lengths.values(), key=lambda length: length.whole_bits)


def quoted_bits(lengths: Mapping[str, DescriptionLength]) -> int:
    """B of the shortest description, with the bits that say which of them it is."""
    return shortest_length(lengths).whole_bits + index_bits(len(lengths))


def quoted_bound(
    lengths: Mapping[str, DescriptionLength],
    bounds: Mapping[str, tuple[Bound, ...]],
    num_errors: int,
    num_samples: int,
    delta: float,
) -> Bound:
    """The one bound to quote: the binomial tail at `quoted_bits`."""
    value = binomial_tail(num_errors, num_samples, quoted_bits(lengths), delta)
    return replace(bounds[shortest_length(lengths).name][-1], value=value)
