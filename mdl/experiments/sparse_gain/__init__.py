"""What a run gained from its sparse layers, beside the same run without."""
