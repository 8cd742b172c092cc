"""Assign: which annotator gets which task, when several share a project.

May know the order of a project (`score`) and Label Studio; knows nothing of training."""
