"""One small module a command; each imports what is heavy inside its function."""
