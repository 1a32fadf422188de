"""How short a network is and what that proves: the numbers behind `mdl bound`.

Others take `bound_report`, `file_description`, `external_report` and `validity`.
"""
