"""Training: when it starts, what it learns from, the training itself, and the judgement of its version.

Uses `score` to evaluate versions and to request their scores."""
