"""Analysis: nonzeros, description lengths, generalization bounds, scaling and filters."""
