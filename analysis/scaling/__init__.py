"""Tables 3 and 4, Table 1's sizes and Figure 1, printed against exact. No torch."""

__all__ = ["formulas", "growth", "report", "scaling"]
