"""The generators of `training.spec.config.GENERATED` by the name of their data set."""

from training.data.generators.drawing import Generator
from training.data.generators.glyphs import GLYPHS
from training.data.generators.handwriting import HANDWRITING
from training.data.generators.leaves import LEAVES

_GENERATORS = {each.name: each for each in (GLYPHS, HANDWRITING, LEAVES)}


def generator(source: str) -> Generator:
    """What draws a generated data set, and its classes."""
    return _GENERATORS[source]
