"""The work done in the background: train, score, publish."""
