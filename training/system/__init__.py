"""Files, memory, signals: what a run needs of the machine, without torch.

Others take `files`, `checks`, `memory`, `signals` and `random_streams`.
"""
