"""Certificates: bits, errors and images joined in a folder that others can check.

Others take `certify` and `verify` (the public names), `certificate`, `folder`, `prior` and `errors`
(exact counts).
"""

__all__ = ["certificate", "certify", "errors", "folder", "images", "prior", "verify"]
