"""The bench: each piece of training and analysis against a floor measured on the same machine."""
