"""Training: examples, batches, the training run and its checkpoints, and the choice of the best weights."""
