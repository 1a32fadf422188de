"""How short a network is and what that proves: the numbers behind `mdl bound`.

Others take `describe` (`mdl.describe`), `description`, `bound_report`, `external_report` and
`validity`.
"""

__all__ = [
    "bound_report",
    "describe",
    "description",
    "export",
    "external_network",
    "external_report",
    "folded_norms",
    "reparametrized",
    "validity",
]
