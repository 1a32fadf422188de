"""What turns configurations into results: local processes, a job array, a Ray cluster."""
