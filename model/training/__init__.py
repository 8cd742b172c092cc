"""Training: examples, batches, the training run with its checkpoints, and the choice of its best weights."""
