"""Certificates: bits, errors and images joined in a folder that others can check.

Others take `certificate`, `verify`, `folder`, `errors` (exact counts) and `images`.
"""
