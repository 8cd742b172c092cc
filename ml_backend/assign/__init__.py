"""Assignment: which annotator gets which task when several share a project.

Uses the order of a project (`score`) and Label Studio; knows nothing about training."""
