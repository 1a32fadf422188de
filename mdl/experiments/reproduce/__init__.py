"""Scales, stages and tables that all artefacts of the paper share."""
