"""The one error of the codes: bits that no encoder wrote."""


class CodecError(ValueError):
    """A bit string that cannot be decoded: it ends too early, or no encoder writes it."""
