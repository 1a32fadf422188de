"""Several ranks: who they are, how they share weights and batches, what happens when one dies.

Others take `ranks`, `replicas`, `shards`, `sharding` and `votes`.
"""
