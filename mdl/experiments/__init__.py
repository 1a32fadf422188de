"""Many trainings: kept results, engines that make them, sweeps, the paper's tables and claims.

`store` is at the bottom; `engines`, `sweep`, `reproduce`, `claims` and `artefacts` build on it.
"""

__all__: list[str] = []
