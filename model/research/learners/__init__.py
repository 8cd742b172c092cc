"""Comparison of ways to train: paired seeds, equal cost, Dice of each label (docs/science.md)."""
