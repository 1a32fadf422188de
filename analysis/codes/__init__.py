"""Descriptions that are real bit strings: prefix-free codes of whole networks, both directions."""
