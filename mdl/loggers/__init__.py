"""Logs of training outside the run folder: one adapter a service, fed with each epoch."""

__all__ = ["logged_progress", "logger"]
