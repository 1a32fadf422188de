"""Augmentation policies as plain data: which operations, how likely and how strong. No torch.

The operations are those of AutoAugment (Cubuk et al. 2019) and work as Pillow's do. What the
magnitude of each means:

| operation | magnitude |
|---|---|
| Identity, AutoContrast, Invert, Equalize | 0, without meaning |
| ShearX, ShearY | pixels of shift for each pixel of distance from the top left corner |
| TranslateX, TranslateY | shift as a share of the side |
| Rotate | degrees, counter-clockwise around the centre |
| Solarize | values from here on are inverted, 0 to 256 |
| Posterize | bits that stay, whole, 1 to 8 |
| Contrast, Color, Brightness, Sharpness | factor, >= 0; 1 changes nothing |
| Cutout | side of the square as a share of the image's side; 0 for none |

Shears, translations and rotations go one way or the other with equal chances.
"""

from dataclasses import dataclass

MIRRORED = ("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate")
"""Operations whose magnitude gets a random sign."""
OPERATIONS = (
    *MIRRORED,
    "AutoContrast",
    "Invert",
    "Equalize",
    "Solarize",
    "Posterize",
    "Contrast",
    "Color",
    "Brightness",
    "Sharpness",
    "Cutout",
    "Identity",
)


@dataclass(frozen=True, kw_only=True)
class PolicyStep:
    """One operation that may happen to an image.

    Attributes:
        operation: One of `OPERATIONS`.
        probability: That it happens, in [0, 1].
        magnitude: In the operation's own unit; see the module.
    """

    operation: str
    probability: float
    magnitude: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Policy:
    """What is done to every image: `rounds` times, the steps of one sub-policy drawn uniformly.

    Two policies are equal only if they are one object, so that a policy is a cheap key.

    Attributes:
        name: For people.
        subpolicies: At least one; each has at least one step, and they happen in order.
        rounds: Independent draws of a sub-policy for an image, >= 1.
    """

    name: str
    subpolicies: tuple[tuple[PolicyStep, ...], ...]
    rounds: int = 1

    @property
    def num_steps(self) -> int:
        """Steps of the longest sub-policy."""
        return max(len(subpolicy) for subpolicy in self.subpolicies)
