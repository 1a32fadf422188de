"""Products of sparse weights with batches, and how a support is kept. The batch lies last."""
