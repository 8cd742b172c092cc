"""Research: what only experiments, synthetic data and pre-training use; the service runs without it."""
