"""Masks and scores for tasks, their order under a query strategy, and the publication of versions.

Uses the database, the queue, Label Studio and the model's segmenter; knows nothing about training."""
