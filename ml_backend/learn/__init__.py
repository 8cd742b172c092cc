"""Learn: when a training starts, what it learns from, the training, and the judgement of its version.

May know `score`, to evaluate versions and to request their scores."""
