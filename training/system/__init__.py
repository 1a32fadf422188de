"""Files, memory, signals: what a run needs of the machine, without torch.

Others take `files`, `file_bytes`, `field_checks`, `memory`, `signals` and
`cache_folder`.
"""
