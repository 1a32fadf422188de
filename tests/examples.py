"""How many examples a test asks Hypothesis for, as a part of the profile's number."""

from hypothesis import settings


def examples(share: float) -> settings:
    """For a test whose examples take long (share < 1) or hardly any time (share > 1)."""
    return settings(max_examples=max(2, round(share * settings.default.max_examples)))
