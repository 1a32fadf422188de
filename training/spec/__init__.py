"""What a run is, as data: tables of layers, configurations, recipes, policies, input constants.

Frozen and checked when they are made. Every other room may use it; nothing here imports torch.
"""
