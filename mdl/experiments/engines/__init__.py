"""What turns configurations into results: local processes, a job array, a Ray cluster."""

__all__ = ["engine", "local_engine", "measure", "ray_engine", "trial_progress"]
