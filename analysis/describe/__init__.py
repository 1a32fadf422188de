"""How short a network is and what that proves: the numbers behind `mdl bound`.

Others take `describe` (`mdl.describe`), `description`, `bound_report`, `external_report` and
`validity`.
"""
